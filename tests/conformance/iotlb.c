/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Rings and buffers behind an IOMMU (vhost-user, "IOMMU support"): what the
 * back-end doesn't know it asks for, once, and waits.
 */
#include "iommu.h"

#include <sys/mman.h>
#include <sys/socket.h>

#define BUFFERS UINT64_C(0x10000000000) /* IOVA */
#define PAGES	16			/* of each half of the buffers */
#define HALF	(PAGES * IOMMU_PAGE)

struct bench {
	struct iommu mmu;
	struct driven d[2];
	uint64_t guest; /* of the buffers, 2 * HALF */
};

static void open_with(struct bench *b, struct fixture *f, unsigned int queues,
		      uint64_t features, uint64_t protocol_features)
{
	unsigned int i;

	iommu_open(&b->mmu, f, queues, features, protocol_features);
	for (i = 0; i < queues; i++)
		iommu_make(&b->mmu, &b->d[i], i, 128);
	b->guest = guest_alloc(&f->session.guest, 2 * HALF, IOMMU_PAGE);
	assert_true(b->guest != 0);
	iommu_map(&b->mmu, BUFFERS, b->guest, 2 * HALF, IOMMU_RW, true);
}

static void open_bench(struct bench *b, struct fixture *f, unsigned int queues,
		       uint64_t features)
{
	open_with(b, f, queues, features, 0);
}

static void close_bench(struct bench *b, unsigned int queues)
{
	unsigned int i;

	for (i = 0; i < queues; i++)
		driven_free(&b->d[i]);
	iommu_close(&b->mmu);
}

/* Rings and all: nothing is known at first. */
static void asked_for_all(struct fixture *f, uint64_t features)
{
	struct bench b;
	unsigned int i;

	open_bench(&b, f, 1, features);
	driven_start(&b.d[0]);
	for (i = 0; i < 20; i++) {
		iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100 + i);
		iommu_echo(&b.mmu, &b.d[0], BUFFERS + 4000, 10000);
		iommu_echo(&b.mmu, &b.d[0], BUFFERS + 77, HALF - 77);
	}
	assert_true(iommu_is_quiet(&b.mmu));
	for (i = 0; i < b.mmu.count; i++)
		assert_true(b.mmu.pages[i].asked <= 1);
	for (i = 0; i < 2 * PAGES; i++)
		assert_int_equal(b.mmu.pages[b.mmu.count - 1 - i].asked, 1);
	driven_stop(&b.d[0]);
	assert_int_equal(b.d[0].base, vh_driver_queue_base(b.d[0].ring));
	/* after a stop the entries are still there */
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 1000);
	assert_true(iommu_is_quiet(&b.mmu));
	close_bench(&b, 1);
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
	struct iovec buffer = driven_iov(BUFFERS + 100, 8);
	struct iovec same = driven_iov(BUFFERS + 200, 8);
	struct bench b;
	unsigned int i;

	open_bench(&b, f, 2, features);
	for (i = 0; i < 2; i++) {
		iommu_update_ring(&b.mmu, &b.d[i]);
		driven_start(&b.d[i]);
	}
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	assert_int_equal(iommu_wait_miss(&b.mmu)->iova, BUFFERS);
	/* the other one works as long as it doesn't need that page */
	for (i = 0; i < 10; i++)
		iommu_echo(&b.mmu, &b.d[1], BUFFERS + 2 * IOMMU_PAGE, 300);
	driven_add(&b.d[1], NULL, 0, &same, 1, &b);
	/* nor does it help to tell what nobody waits for */
	must(iommu_update(&b.mmu, BUFFERS + HALF));
	assert_true(iommu_is_quiet(&b.mmu));
	assert_int_equal(driven_collect(&b.d[0], &used, 1), 0);
	must(iommu_update(&b.mmu, BUFFERS));
	must(driven_wait(&b.d[0], &used));
	must(driven_wait(&b.d[1], &used));
	assert_true(iommu_is_quiet(&b.mmu));
	close_bench(&b, 2);
}

static void test_conformance_iotlb_asked_once_split(void **state)
{
	asked_once(*state, 0);
}

static void test_conformance_iotlb_asked_once_packed(void **state)
{
	asked_once(*state, FE_F_PACKED);
}

static int send_invalidate(struct bench *b, uint64_t iova, uint64_t size)
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
	struct iovec buffer = driven_iov(BUFFERS, 8);
	struct vh_driver_used used;
	struct fe_reply reply;
	struct bench b;

	open_bench(&b, f, 1, features);
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	echo_hold(f->server.echo);
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	must(echo_wait_held(f->server.echo, 1));
	must(send_invalidate(&b, BUFFERS, IOMMU_PAGE));
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
	must(iommu_update(&b.mmu, BUFFERS));
	must(driven_wait(&b.d[0], &used));
	close_bench(&b, 1);
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
	struct bench b;
	unsigned int i;

	open_bench(&b, f, 2, features);
	driven_start(&b.d[0]);
	driven_start(&b.d[1]);
	for (i = 0; i < 10; i++) {
		iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
		iommu_echo(&b.mmu, &b.d[1], BUFFERS + HALF, 100);
		must(iommu_invalidate(&b.mmu, b.d[0].iova, 3 * IOMMU_PAGE));
	}
	/* everything there is, up to the end */
	must(iommu_invalidate(&b.mmu, 0, UINT64_MAX));
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	iommu_echo(&b.mmu, &b.d[1], BUFFERS + HALF, 100);
	for (i = 0; i < 2; i++) {
		driven_stop(&b.d[i]);
		assert_int_equal(b.d[i].base,
				 vh_driver_queue_base(b.d[i].ring));
	}
	close_bench(&b, 2);
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
	struct iovec buffer = driven_iov(BUFFERS, 8);
	struct vh_driver_used used;
	struct bench b;
	uint32_t base;

	open_bench(&b, f, 1, features);
	base = b.d[0].base;
	driven_start(&b.d[0]);
	iommu_wait_miss(&b.mmu);
	driven_stop(&b.d[0]);
	assert_int_equal(b.d[0].base, base);
	/* now it knows the ring, but not the buffer */
	iommu_update_ring(&b.mmu, &b.d[0]);
	driven_start(&b.d[0]);
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	assert_int_equal(iommu_wait_miss(&b.mmu)->iova, BUFFERS);
	driven_stop(&b.d[0]);
	assert_int_equal(b.d[0].base, base);
	driven_start(&b.d[0]);
	must(iommu_wait(&b.mmu, &b.d[0], &used));
	close_bench(&b, 1);
}

static void test_conformance_iotlb_stopped_while_it_waits_split(void **state)
{
	stopped_while_it_waits(*state, 0);
}

static void test_conformance_iotlb_stopped_while_it_waits_packed(void **state)
{
	stopped_while_it_waits(*state, FE_F_PACKED);
}

static struct iommu_page *page_of(struct bench *b, uint64_t iova)
{
	unsigned int i;

	for (i = 0; b->mmu.pages[i].iova != iova; i++)
		;
	return &b->mmu.pages[i];
}

/* What isn't allowed breaks the queue, in words; the other one goes on. */
static void forbidden(struct fixture *f, uint64_t features)
{
	struct iovec buffer = driven_iov(BUFFERS, 8);
	struct vh_driver_used used;
	struct vh_fault fault;
	struct bench b;
	unsigned int i;

	open_bench(&b, f, 2, features);
	driven_start(&b.d[0]);
	driven_start(&b.d[1]);
	for (i = 0; i < 2; i++) {
		iommu_echo(&b.mmu, &b.d[0], BUFFERS + HALF, 100);
		must(iommu_invalidate(&b.mmu, BUFFERS, IOMMU_PAGE));
		page_of(&b, BUFFERS)->perm = i ? 1 : 2;
		if (i)
			driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
		else
			driven_add(&b.d[0], &buffer, 1, NULL, 0, &b);
		assert_int_equal(iommu_wait(&b.mmu, &b.d[0], &used), -EIO);
		vh_user_server_fault(f->server.server, &fault);
		assert_int_equal(fault.code, VH_FAULT_DESC_ACCESS);
		assert_int_equal(fault.queue, 0);
		iommu_echo(&b.mmu, &b.d[1], BUFFERS + HALF, 100);
		driven_stop(&b.d[0]);
		driven_renew(&b.d[0]);
		driven_start(&b.d[0]);
	}
	iommu_echo(&b.mmu, &b.d[0], BUFFERS + HALF, 100);
	close_bench(&b, 2);
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
	struct bench b;
	unsigned int i;

	open_bench(&b, f, 1, FE_F_PACKED);
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
	close_bench(&b, 1);
}

static void test_conformance_iotlb_wrong_updates(void **state)
{
	struct fixture *f = *state;
	const struct fe_region *last = &f->session.guest.regions[1];
	uint64_t user, end, max = UINT64_MAX;
	struct bench b;
	unsigned int i;

	open_bench(&b, f, 1, 0);
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	user = last->user;
	end = last->size;
	const struct fe_iotlb wrong[] = {
	    {BUFFERS, 0, user, 3, 2},
	    {BUFFERS, 4096, user, 0, 2},
	    {BUFFERS, 4096, user, 4, 2},
	    {BUFFERS, 4096, user, 255, 2},
	    {BUFFERS, 4096, user, 3, 0},
	    {BUFFERS, 4096, user, 3, 1},
	    {BUFFERS, 4096, user, 3, 4},
	    {BUFFERS, 4096, user, 3, 255},
	    {BUFFERS, 4096, 0, 3, 2},
	    {BUFFERS, 4096, GUEST_BASE, 3, 2},
	    {BUFFERS, 4096, user - 1, 3, 2},
	    {BUFFERS, end + 1, user, 3, 2},
	    {BUFFERS, 2, user + end - 1, 3, 2},
	    {BUFFERS, 1, user + end, 3, 2},
	    {BUFFERS, max, user, 3, 2},
	    {BUFFERS, max, max, 3, 2},
	    {BUFFERS, 4096, max - 10, 3, 2},
	    {max - 10, 4096, user, 3, 2},
	    {max, 2, user, 3, 2},
	    {BUFFERS, 0, 0, 0, 3},
	};
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(fe_send_iotlb(&f->session.fe, &wrong[i]),
				 -EREMOTEIO);
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	/* the same, but right: the last address of all, and one byte */
	must(fe_send_iotlb(&f->session.fe,
			   &(struct fe_iotlb){max - 10, 11, user, 3, 2}));
	must(fe_send_iotlb(&f->session.fe,
			   &(struct fe_iotlb){0, 1, user + end - 1, 3, 2}));
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	close_bench(&b, 1);
}

/* Nobody can send entries before it has an IOMMU. */
static void test_conformance_iotlb_without_the_feature(void **state)
{
	struct fixture *f = *state;

	open_echo(f, 1);
	assert_int_equal(
	    fe_send_iotlb(&f->session.fe,
			  &(struct fe_iotlb){
			      .iova = BUFFERS,
			      .size = 4096,
			      .user = f->session.guest.regions[0].user,
			      .perm = 3,
			      .type = FE_IOTLB_UPDATE,
			  }),
	    -EREMOTEIO);
	must_live(f);
}

/*
 * Regions that are neighbours in front-end addresses, but the other way
 * round in guest addresses: one entry leads to both.
 */
static void test_conformance_iotlb_entry_over_two_regions(void **state)
{
	struct fixture *f = *state;
	struct server_opts server = {.features = FE_F_ACCESS_PLATFORM};
	struct session_opts opts = {.features =
					DRIVEN_FEATURES | FE_F_ACCESS_PLATFORM};
	struct fe_region *regions = f->session.guest.regions;
	uint8_t out[3000], in[3000];
	struct vh_driver_used used;
	struct iovec readable, writable;
	struct driven d;
	uint64_t size;

	start_server(f, &server, true);
	new_session(f, &opts);
	size = regions[0].size;
	regions[0].user = regions[1].user + size;
	connect_session(f);
	must(session_negotiate(&f->session));
	must(session_share_memory(&f->session));
	driven_make(&d, &f->session, 0, 8, 0);
	d.iova = BUFFERS + size + (d.block - regions[0].guest);
	driven_renew(&d);
	must(fe_send_iotlb(
	    &f->session.fe,
	    &(struct fe_iotlb){BUFFERS, 2 * size, regions[1].user, 3, 2}));
	driven_start(&d);
	/* what ends region 1 goes on at the beginning of region 0 */
	blk_pattern(out, sizeof(out), 7);
	guest_write(&f->session.guest, regions[1].guest + size - 1000, out,
		    1000);
	guest_write(&f->session.guest, regions[0].guest, out + 1000, 2000);
	assert_true(d.block >= regions[0].guest);
	readable = driven_iov(BUFFERS + size - 1000, sizeof(out));
	writable = driven_iov(BUFFERS + 4096, sizeof(in));
	driven_add(&d, &readable, 1, &writable, 1, in);
	must(driven_wait(&d, &used));
	guest_read(&f->session.guest, regions[1].guest + 4096, in, sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	/* one byte too far: none of it counts */
	must(fe_send_iotlb(&f->session.fe,
			   &(struct fe_iotlb){0, UINT64_MAX, 0, 0, 3}));
	assert_int_equal(
	    fe_send_iotlb(&f->session.fe,
			  &(struct fe_iotlb){BUFFERS, 2 * size + 1,
					     regions[1].user, 3, 2}),
	    -EREMOTEIO);
	driven_stop(&d);
	driven_start(&d);
	driven_stop(&d);
	driven_free(&d);
}

/* A region that goes takes its entries along. */
static void test_conformance_iotlb_region_removed(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	struct fe_region more = {
	    .guest = UINT64_C(0x90000000),
	    .size = 0x10000,
	    .user = 0x123450000000,
	};
	const uint64_t iova = BUFFERS - 0x100000;
	struct fe_iotlb entry = {iova, 0x10000, more.user, 3, 2}, miss;
	struct iovec buffer = driven_iov(iova + 0x8000, 8);
	struct vh_driver_used used;
	struct bench b;

	open_bench(&b, f, 1, FE_F_PACKED);
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	more.fd = memfd_create("more", 0);
	must(ftruncate(more.fd, 0x10000));
	must(fe_add_region(&session->fe, &more));
	must(fe_send_iotlb(&session->fe, &entry));
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	must(driven_wait(&b.d[0], &used));
	must(fe_remove_region(&session->fe, &more));
	assert_int_equal(fe_send_iotlb(&session->fe, &entry), -EREMOTEIO);
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	must(fe_receive_iotlb(&b.mmu.reverse, &miss));
	assert_int_equal(miss.iova, iova + 0x8000);
	must(fe_add_region(&session->fe, &more));
	must(fe_send_iotlb(&session->fe, &entry));
	must(driven_wait(&b.d[0], &used));
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	close(more.fd);
	close_bench(&b, 1);
}

/* Nobody to ask: it says so, and asks when there is somebody. */
static void test_conformance_iotlb_without_a_channel(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;
	struct iovec buffer = driven_iov(BUFFERS, 8);
	struct vh_driver_used used;
	struct vh_fault fault;
	struct bench b;
	int fds[2];

	open_bench(&b, f, 1, 0);
	iommu_update_ring(&b.mmu, &b.d[0]);
	/* a channel that is gone by the time that it is needed */
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	must(fe_set_fd(&session->fe, FE_SET_BACKEND_REQ_FD, fds[1]));
	close(fds[0]);
	close(fds[1]);
	driven_start(&b.d[0]);
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	do {
		usleep(1000);
		vh_user_server_fault(f->server.server, &fault);
		assert_true(fe_now_ms() < deadline);
	} while (fault.code != VH_FAULT_MSG_STATE);
	assert_non_null(strstr(fault.text, "no back-end channel"));
	must(fe_set_fd(&session->fe, FE_SET_BACKEND_REQ_FD, b.mmu.theirs));
	assert_int_equal(iommu_wait_miss(&b.mmu)->iova, BUFFERS);
	must(iommu_update(&b.mmu, BUFFERS));
	must(driven_wait(&b.d[0], &used));
	close_bench(&b, 1);
}

/* A device whose rings are stopped asks for nothing any more. */
static void test_conformance_iotlb_suspended(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	struct bench b;
	int fds[2];

	open_bench(&b, f, 1, 0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	must(fe_set_fd(&session->fe, FE_SET_BACKEND_REQ_FD, fds[1]));
	shutdown(fds[0], SHUT_RDWR);
	driven_start(&b.d[0]);
	driven_stop(&b.d[0]);
	must(fe_set_fd(&session->fe, FE_SET_BACKEND_REQ_FD, b.mmu.theirs));
	assert_true(iommu_is_quiet(&b.mmu));
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	close(fds[0]);
	close(fds[1]);
	close_bench(&b, 1);
}

/* Misses that nobody reads hold nobody up. */
static void test_conformance_iotlb_misses_that_nobody_reads(void **state)
{
	struct fixture *f = *state;
	struct iovec buffer = driven_iov(BUFFERS, 8);
	struct vh_driver_used used;
	struct bench b;
	unsigned int i;

	open_bench(&b, f, 1, 0);
	iommu_update_ring(&b.mmu, &b.d[0]);
	driven_start(&b.d[0]);
	for (i = 0; i < 3000; i++) {
		driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
		must(iommu_update(&b.mmu, BUFFERS));
		must(driven_wait(&b.d[0], &used));
		must(iommu_invalidate(&b.mmu, BUFFERS, 1));
	}
	must(fe_sync(&f->session.fe));
	close_bench(&b, 1);
}

/*
 * The log is of guest-physical addresses, of the ring too, although its log
 * address is an IOVA like the others.
 */
static void logged(struct fixture *f, uint64_t features)
{
	enum { SIZE = 0x80000000u / 4096 / 8 };
	uint8_t log[SIZE];
	uint64_t page, used;
	struct bench b;
	unsigned int i;
	int fd;

	open_with(&b, f, 1, features | FE_F_LOG_ALL, FE_PF_LOG_SHMFD);
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	fd = memfd_create("log", MFD_CLOEXEC);
	must(ftruncate(fd, SIZE));
	must(fe_set_log_base(&f->session.fe, SIZE, 0, fd));
	b.d[0].flags = 1;
	must(driven_set_addr(&b.d[0]));
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	assert_int_equal(pread(fd, log, SIZE, 0), SIZE);
	/* the buffer's page, and one of the ring's */
	page = page_of(&b, BUFFERS)->guest / IOMMU_PAGE;
	assert_true(log[page / 8] >> page % 8 & 1);
	used = 0;
	for (i = 0; i < 8 * SIZE; i++) {
		if (!(log[i / 8] >> i % 8 & 1) || i == page)
			continue;
		assert_true(i >= b.d[0].block / IOMMU_PAGE);
		assert_true(i <= b.d[0].block / IOMMU_PAGE + 1);
		used++;
	}
	assert_true(used > 0);
	close(fd);
	close_bench(&b, 1);
}

static void test_conformance_iotlb_logged_split(void **state)
{
	logged(*state, 0);
}

static void test_conformance_iotlb_logged_packed(void **state)
{
	logged(*state, FE_F_PACKED);
}

/* An area for requests in flight is there before the IOTLB has the ring. */
static void tracked(struct fixture *f, uint64_t features)
{
	struct fe_inflight area = {.num_queues = 1, .queue_size = 128};
	struct iovec buffer = driven_iov(BUFFERS, 8);
	struct vh_driver_used used;
	struct bench b;
	int fd;

	open_with(&b, f, 1, features, FE_PF_INFLIGHT);
	must(fe_get_inflight(&f->session.fe, &area, &fd));
	must(fe_set_inflight(&f->session.fe, &area, fd));
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], BUFFERS, 100);
	must(iommu_invalidate(&b.mmu, 0, UINT64_MAX));
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	driven_stop(&b.d[0]);
	driven_start(&b.d[0]);
	must(iommu_wait(&b.mmu, &b.d[0], &used));
	close(fd);
	close_bench(&b, 1);
}

static void test_conformance_iotlb_tracked_split(void **state)
{
	tracked(*state, 0);
}

static void test_conformance_iotlb_tracked_packed(void **state)
{
	tracked(*state, FE_F_PACKED);
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
	    fixture_test(test_conformance_iotlb_wrong_updates),
	    fixture_test(test_conformance_iotlb_without_the_feature),
	    fixture_test(test_conformance_iotlb_entry_over_two_regions),
	    fixture_test(test_conformance_iotlb_region_removed),
	    fixture_test(test_conformance_iotlb_without_a_channel),
	    fixture_test(test_conformance_iotlb_suspended),
	    fixture_test(test_conformance_iotlb_misses_that_nobody_reads),
	    fixture_test(test_conformance_iotlb_logged_split),
	    fixture_test(test_conformance_iotlb_logged_packed),
	    fixture_test(test_conformance_iotlb_tracked_split),
	    fixture_test(test_conformance_iotlb_tracked_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
