/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Rings and buffers behind an IOMMU (vhost-user, "IOMMU support"): what the
 * back-end doesn't know it asks for, once, and waits.
 */
#include "iommu.h"

/* Rings and all: nothing is known at first. */
static void asked_for_all(struct fixture *f, uint64_t features)
{
	struct iommu_bench b;
	unsigned int i;

	iommu_bench_open(&b, f, 1, features);
	driven_start(&b.d[0]);
	for (i = 0; i < 20; i++) {
		iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100 + i);
		iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS + 4000, 10000);
		iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS + 77,
			   IOMMU_HALF - 77);
	}
	assert_true(iommu_is_quiet(&b.mmu));
	for (i = 0; i < b.mmu.count; i++)
		assert_true(b.mmu.pages[i].asked <= 1);
	for (i = 0; i < 2 * IOMMU_HALF / IOMMU_PAGE; i++)
		assert_int_equal(b.mmu.pages[b.mmu.count - 1 - i].asked, 1);
	driven_stop(&b.d[0]);
	assert_int_equal(b.d[0].base, vh_driver_queue_base(b.d[0].ring));
	/* after a stop the entries are still there */
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 1000);
	assert_true(iommu_is_quiet(&b.mmu));
	iommu_bench_close(&b, 1);
}

static void test_conformance_iotlb_asked_for_all_split(void **state)
{
	asked_for_all(*state, 0);
}

static void test_conformance_iotlb_asked_for_all_packed(void **state)
{
	asked_for_all(*state, FE_F_PACKED);
}

/* Chains of both queues lead to one page; others go on meanwhile. */
static void asked_once(struct fixture *f, uint64_t features)
{
	struct vh_driver_used used;
	struct iovec buffer = driven_iov(IOMMU_BUFFERS + 100, 8);
	struct iovec same = driven_iov(IOMMU_BUFFERS + 200, 8);
	struct iommu_bench b;
	unsigned int i;

	iommu_bench_open(&b, f, 2, features);
	for (i = 0; i < 2; i++) {
		iommu_update_ring(&b.mmu, &b.d[i]);
		driven_start(&b.d[i]);
	}
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	assert_int_equal(iommu_wait_miss(&b.mmu)->iova, IOMMU_BUFFERS);
	/* the other one works as long as it doesn't need that page */
	for (i = 0; i < 10; i++)
		iommu_echo(&b.mmu, &b.d[1], IOMMU_BUFFERS + 2 * IOMMU_PAGE,
			   300);
	driven_add(&b.d[1], NULL, 0, &same, 1, &b);
	/* nor does it help to tell what nobody waits for */
	must(iommu_update(&b.mmu, IOMMU_BUFFERS + IOMMU_HALF));
	assert_true(iommu_is_quiet(&b.mmu));
	assert_int_equal(driven_collect(&b.d[0], &used, 1), 0);
	must(iommu_update(&b.mmu, IOMMU_BUFFERS));
	must(driven_wait(&b.d[0], &used));
	must(driven_wait(&b.d[1], &used));
	assert_true(iommu_is_quiet(&b.mmu));
	iommu_bench_close(&b, 2);
}

static void test_conformance_iotlb_asked_once_split(void **state)
{
	asked_once(*state, 0);
}

static void test_conformance_iotlb_asked_once_packed(void **state)
{
	asked_once(*state, FE_F_PACKED);
}

static int send_invalidate(struct iommu_bench *b, uint64_t iova, uint64_t size)
{
	uint8_t bytes[32] = {0};
	const struct fe_message message = {
	    .id = FE_IOTLB_MSG,
	    .flags = FE_VERSION,
	    .size = sizeof(bytes),
	    .payload = bytes,
	    .length = sizeof(bytes),
	};

	put64(bytes, put64(bytes, 0, iova), size);
	bytes[25] = FE_IOTLB_INVALIDATE;
	return fe_send(&b->mmu.session->fe, &message);
}

/* The answer comes when no request uses the entry any more. */
static void invalidate_waits(struct fixture *f, uint64_t features)
{
	struct iovec buffer = driven_iov(IOMMU_BUFFERS, 8);
	struct vh_driver_used used;
	struct fe_reply reply;
	struct iommu_bench b;

	iommu_bench_open(&b, f, 1, features);
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	echo_hold(f->server.echo);
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	must(echo_wait_held(f->server.echo, 1));
	must(send_invalidate(&b, IOMMU_BUFFERS, IOMMU_PAGE));
	assert_int_equal(driven_collect(&b.d[0], &used, 1), 0);
	assert_int_equal(fe_wait_readable(f->session.fe.sock, 20), -ETIMEDOUT);
	echo_release(f->server.echo);
	must(fe_receive_for(&f->session.fe, FE_IOTLB_MSG, &reply));
	assert_int_equal(get64(reply.payload), 0);
	/* it was done before that */
	must(driven_wait(&b.d[0], &used));
	/* and what is invalid is asked for again */
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	assert_int_equal(iommu_wait_miss(&b.mmu)->asked, 2);
	assert_int_equal(driven_collect(&b.d[0], &used, 1), 0);
	must(iommu_update(&b.mmu, IOMMU_BUFFERS));
	must(driven_wait(&b.d[0], &used));
	iommu_bench_close(&b, 1);
}

static void test_conformance_iotlb_invalidate_waits_split(void **state)
{
	invalidate_waits(*state, 0);
}

static void test_conformance_iotlb_invalidate_waits_packed(void **state)
{
	invalidate_waits(*state, FE_F_PACKED);
}

/* A ring that isn't there any more waits, and loses nothing. */
static void ring_invalidated(struct fixture *f, uint64_t features)
{
	struct iommu_bench b;
	unsigned int i;

	iommu_bench_open(&b, f, 2, features);
	driven_start(&b.d[0]);
	driven_start(&b.d[1]);
	for (i = 0; i < 10; i++) {
		iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
		iommu_echo(&b.mmu, &b.d[1], IOMMU_BUFFERS + IOMMU_HALF, 100);
		must(iommu_invalidate(&b.mmu, b.d[0].iova, 3 * IOMMU_PAGE));
	}
	/* everything there is, up to the end */
	must(iommu_invalidate(&b.mmu, 0, UINT64_MAX));
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	iommu_echo(&b.mmu, &b.d[1], IOMMU_BUFFERS + IOMMU_HALF, 100);
	for (i = 0; i < 2; i++) {
		driven_stop(&b.d[i]);
		assert_int_equal(b.d[i].base,
				 vh_driver_queue_base(b.d[i].ring));
	}
	iommu_bench_close(&b, 2);
}

static void test_conformance_iotlb_ring_invalidated_split(void **state)
{
	ring_invalidated(*state, 0);
}

static void test_conformance_iotlb_ring_invalidated_packed(void **state)
{
	ring_invalidated(*state, FE_F_PACKED);
}

/* A ring that waits can be stopped, at the place where it began. */
static void stopped_while_it_waits(struct fixture *f, uint64_t features)
{
	struct iovec buffer = driven_iov(IOMMU_BUFFERS, 8);
	struct vh_driver_used used;
	struct iommu_bench b;
	uint32_t base;

	iommu_bench_open(&b, f, 1, features);
	base = b.d[0].base;
	driven_start(&b.d[0]);
	iommu_wait_miss(&b.mmu);
	driven_stop(&b.d[0]);
	assert_int_equal(b.d[0].base, base);
	/* now it knows the ring, but not the buffer */
	iommu_update_ring(&b.mmu, &b.d[0]);
	driven_start(&b.d[0]);
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	assert_int_equal(iommu_wait_miss(&b.mmu)->iova, IOMMU_BUFFERS);
	driven_stop(&b.d[0]);
	assert_int_equal(b.d[0].base, base);
	driven_start(&b.d[0]);
	must(iommu_wait(&b.mmu, &b.d[0], &used));
	iommu_bench_close(&b, 1);
}

static void test_conformance_iotlb_stopped_while_it_waits_split(void **state)
{
	stopped_while_it_waits(*state, 0);
}

static void test_conformance_iotlb_stopped_while_it_waits_packed(void **state)
{
	stopped_while_it_waits(*state, FE_F_PACKED);
}

/* What isn't allowed breaks the queue, in words; the other one goes on. */
static void forbidden(struct fixture *f, uint64_t features)
{
	struct iovec buffer = driven_iov(IOMMU_BUFFERS, 8);
	struct vh_driver_used used;
	struct vh_fault fault;
	struct iommu_bench b;
	unsigned int i;

	iommu_bench_open(&b, f, 2, features);
	driven_start(&b.d[0]);
	driven_start(&b.d[1]);
	for (i = 0; i < 2; i++) {
		iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS + IOMMU_HALF, 100);
		must(iommu_invalidate(&b.mmu, IOMMU_BUFFERS, IOMMU_PAGE));
		iommu_page_of(&b, IOMMU_BUFFERS)->perm = i ? 1 : 2;
		if (i)
			driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
		else
			driven_add(&b.d[0], &buffer, 1, NULL, 0, &b);
		assert_int_equal(iommu_wait(&b.mmu, &b.d[0], &used), -EIO);
		vh_user_server_fault(f->server.server, &fault);
		assert_int_equal(fault.code, VH_FAULT_DESC_ACCESS);
		assert_int_equal(fault.queue, 0);
		iommu_echo(&b.mmu, &b.d[1], IOMMU_BUFFERS + IOMMU_HALF, 100);
		driven_stop(&b.d[0]);
		driven_renew(&b.d[0]);
		driven_start(&b.d[0]);
	}
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS + IOMMU_HALF, 100);
	iommu_bench_close(&b, 2);
}

static void test_conformance_iotlb_forbidden_split(void **state)
{
	forbidden(*state, 0);
}

static void test_conformance_iotlb_forbidden_packed(void **state)
{
	forbidden(*state, FE_F_PACKED);
}

/* A ring that may only be read has no place for what is used. */
static void test_conformance_iotlb_forbidden_ring(void **state)
{
	struct fixture *f = *state;
	struct vh_driver_used used;
	struct vh_fault fault;
	struct iommu_bench b;
	unsigned int i;

	iommu_bench_open(&b, f, 1, FE_F_PACKED);
	for (i = 0; i < b.mmu.count; i++)
		b.mmu.pages[i].perm = 1;
	driven_start(&b.d[0]);
	assert_int_equal(iommu_wait(&b.mmu, &b.d[0], &used), -EIO);
	vh_user_server_fault(f->server.server, &fault);
	assert_int_equal(fault.code, VH_FAULT_RING_ADDR);
	/* known from the start it doesn't even start */
	driven_stop(&b.d[0]);
	must_refuse(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 0,
				    f->session.queues[0].kick));
	must(fe_sync(&f->session.fe));
	iommu_bench_close(&b, 1);
}

/*
 * Its pages lie in guest memory in another order than in IOVAs. One goes away
 * and comes back; at last one is cut, which can't be.
 */
static void scattered(struct fixture *f, uint64_t features)
{
	struct vh_driver_used used;
	struct vh_fault fault;
	struct iommu_bench b;
	struct driven *d = &b.d[0];
	unsigned int i;

	iommu_open(&b.mmu, f, 1, features, 0);
	iommu_make(&b.mmu, d, 0, 1024);
	iommu_scatter(&b.mmu, d);
	b.guest = guest_alloc(&f->session.guest, 2 * IOMMU_HALF, IOMMU_PAGE);
	iommu_map(&b.mmu, IOMMU_BUFFERS, b.guest, 2 * IOMMU_HALF, IOMMU_RW,
		  true);
	driven_start(d);
	for (i = 0; i < 3000; i++) {
		iommu_echo(&b.mmu, d, IOMMU_BUFFERS + i % 5000, 100);
		if (i % 300 == 0)
			must(iommu_invalidate(
			    &b.mmu, d->iova + i / 300 % 4 * IOMMU_PAGE, 1));
	}
	driven_stop(d);
	assert_int_equal(d->base, vh_driver_queue_base(d->ring));
	driven_start(d);
	iommu_echo(&b.mmu, d, IOMMU_BUFFERS, 100);
	must(fe_send_iotlb(
	    &f->session.fe,
	    &(struct fe_iotlb){d->iova + 2 * IOMMU_PAGE, 16,
			       guest_user(&f->session.guest, b.guest), IOMMU_RW,
			       FE_IOTLB_UPDATE}));
	assert_int_equal(iommu_wait(&b.mmu, d, &used), -EIO);
	vh_user_server_fault(f->server.server, &fault);
	assert_int_equal(fault.code, VH_FAULT_RING_ADDR);
	assert_non_null(strstr(fault.text, "scattered"));
	iommu_gather(&b.mmu, d);
	iommu_bench_close(&b, 1);
}

static void test_conformance_iotlb_scattered_ring_split(void **state)
{
	scattered(*state, 0);
}

static void test_conformance_iotlb_scattered_ring_packed(void **state)
{
	scattered(*state, FE_F_PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_iotlb_asked_for_all_split),
	    fixture_test(test_conformance_iotlb_asked_for_all_packed),
	    fixture_test(test_conformance_iotlb_asked_once_split),
	    fixture_test(test_conformance_iotlb_asked_once_packed),
	    fixture_test(test_conformance_iotlb_invalidate_waits_split),
	    fixture_test(test_conformance_iotlb_invalidate_waits_packed),
	    fixture_test(test_conformance_iotlb_ring_invalidated_split),
	    fixture_test(test_conformance_iotlb_ring_invalidated_packed),
	    fixture_test(test_conformance_iotlb_stopped_while_it_waits_split),
	    fixture_test(test_conformance_iotlb_stopped_while_it_waits_packed),
	    fixture_test(test_conformance_iotlb_forbidden_split),
	    fixture_test(test_conformance_iotlb_forbidden_packed),
	    fixture_test(test_conformance_iotlb_forbidden_ring),
	    fixture_test(test_conformance_iotlb_scattered_ring_split),
	    fixture_test(test_conformance_iotlb_scattered_ring_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
