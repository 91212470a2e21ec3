/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * An IOMMU among everything else there is: entries that can't be, memory that
 * goes, nobody to ask, the log, requests in flight.
 */
#include "iommu.h"

#include <sys/mman.h>
#include <sys/socket.h>

static void test_conformance_iotlb_wrong_updates(void **state)
{
	struct fixture *f = *state;
	const struct fe_region *last = &f->session.guest.regions[1];
	uint64_t user, end, max = UINT64_MAX;
	struct iommu_bench b;
	unsigned int i;

	iommu_bench_open(&b, f, 1, 0);
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	user = last->user;
	end = last->size;
	const struct fe_iotlb wrong[] = {
	    {IOMMU_BUFFERS, 0, user, 3, 2},
	    {IOMMU_BUFFERS, 4096, user, 0, 2},
	    {IOMMU_BUFFERS, 4096, user, 4, 2},
	    {IOMMU_BUFFERS, 4096, user, 255, 2},
	    {IOMMU_BUFFERS, 4096, user, 3, 0},
	    {IOMMU_BUFFERS, 4096, user, 3, 1},
	    {IOMMU_BUFFERS, 4096, user, 3, 4},
	    {IOMMU_BUFFERS, 4096, user, 3, 255},
	    {IOMMU_BUFFERS, 4096, 0, 3, 2},
	    {IOMMU_BUFFERS, 4096, GUEST_BASE, 3, 2},
	    {IOMMU_BUFFERS, 4096, user - 1, 3, 2},
	    {IOMMU_BUFFERS, end + 1, user, 3, 2},
	    {IOMMU_BUFFERS, 2, user + end - 1, 3, 2},
	    {IOMMU_BUFFERS, 1, user + end, 3, 2},
	    {IOMMU_BUFFERS, max, user, 3, 2},
	    {IOMMU_BUFFERS, max, max, 3, 2},
	    {IOMMU_BUFFERS, 4096, max - 10, 3, 2},
	    {max - 10, 4096, user, 3, 2},
	    {max, 2, user, 3, 2},
	    {IOMMU_BUFFERS, 0, 0, 0, 3},
	};
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(fe_send_iotlb(&f->session.fe, &wrong[i]),
				 -EREMOTEIO);
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	/* the same, but right: the last address of all, and one byte */
	must(fe_send_iotlb(&f->session.fe,
			   &(struct fe_iotlb){max - 10, 11, user, 3, 2}));
	must(fe_send_iotlb(&f->session.fe,
			   &(struct fe_iotlb){0, 1, user + end - 1, 3, 2}));
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	iommu_bench_close(&b, 1);
}

/* Nobody can send entries before it has an IOMMU. */
static void test_conformance_iotlb_without_the_feature(void **state)
{
	struct fixture *f = *state;

	open_echo(f, 1);
	assert_int_equal(
	    fe_send_iotlb(&f->session.fe,
			  &(struct fe_iotlb){
			      .iova = IOMMU_BUFFERS,
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
	d.iova = IOMMU_BUFFERS + size + (d.block - regions[0].guest);
	driven_renew(&d);
	must(fe_send_iotlb(&f->session.fe,
			   &(struct fe_iotlb){IOMMU_BUFFERS, 2 * size,
					      regions[1].user, 3, 2}));
	driven_start(&d);
	/* what ends region 1 goes on at the beginning of region 0 */
	blk_pattern(out, sizeof(out), 7);
	guest_write(&f->session.guest, regions[1].guest + size - 1000, out,
		    1000);
	guest_write(&f->session.guest, regions[0].guest, out + 1000, 2000);
	assert_true(d.block >= regions[0].guest);
	readable = driven_iov(IOMMU_BUFFERS + size - 1000, sizeof(out));
	writable = driven_iov(IOMMU_BUFFERS + 4096, sizeof(in));
	driven_add(&d, &readable, 1, &writable, 1, in);
	must(driven_wait(&d, &used));
	guest_read(&f->session.guest, regions[1].guest + 4096, in, sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	/* one byte too far: none of it counts */
	must(fe_send_iotlb(&f->session.fe,
			   &(struct fe_iotlb){0, UINT64_MAX, 0, 0, 3}));
	assert_int_equal(
	    fe_send_iotlb(&f->session.fe,
			  &(struct fe_iotlb){IOMMU_BUFFERS, 2 * size + 1,
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
	const uint64_t iova = IOMMU_BUFFERS - 0x100000;
	struct fe_iotlb entry = {iova, 0x10000, more.user, 3, 2}, miss;
	struct iovec buffer = driven_iov(iova + 0x8000, 8);
	struct vh_driver_used used;
	struct iommu_bench b;

	iommu_bench_open(&b, f, 1, FE_F_PACKED);
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
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
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	close(more.fd);
	iommu_bench_close(&b, 1);
}

/* Nobody to ask: it says so, and asks when there is somebody. */
static void test_conformance_iotlb_without_a_channel(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;
	struct iovec buffer = driven_iov(IOMMU_BUFFERS, 8);
	struct vh_driver_used used;
	struct vh_fault fault;
	struct iommu_bench b;
	int fds[2];

	iommu_bench_open(&b, f, 1, 0);
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
	assert_int_equal(iommu_wait_miss(&b.mmu)->iova, IOMMU_BUFFERS);
	must(iommu_update(&b.mmu, IOMMU_BUFFERS));
	must(driven_wait(&b.d[0], &used));
	iommu_bench_close(&b, 1);
}

/* A device whose rings are stopped asks for nothing any more. */
static void test_conformance_iotlb_suspended(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	struct iommu_bench b;
	int fds[2];

	iommu_bench_open(&b, f, 1, 0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	must(fe_set_fd(&session->fe, FE_SET_BACKEND_REQ_FD, fds[1]));
	shutdown(fds[0], SHUT_RDWR);
	driven_start(&b.d[0]);
	driven_stop(&b.d[0]);
	must(fe_set_fd(&session->fe, FE_SET_BACKEND_REQ_FD, b.mmu.theirs));
	assert_true(iommu_is_quiet(&b.mmu));
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	close(fds[0]);
	close(fds[1]);
	iommu_bench_close(&b, 1);
}

/* Misses that nobody reads hold nobody up. */
static void test_conformance_iotlb_misses_that_nobody_reads(void **state)
{
	struct fixture *f = *state;
	struct iovec buffer = driven_iov(IOMMU_BUFFERS, 8);
	struct vh_driver_used used;
	struct iommu_bench b;
	unsigned int i;

	iommu_bench_open(&b, f, 1, 0);
	iommu_update_ring(&b.mmu, &b.d[0]);
	driven_start(&b.d[0]);
	for (i = 0; i < 3000; i++) {
		driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
		must(iommu_update(&b.mmu, IOMMU_BUFFERS));
		must(driven_wait(&b.d[0], &used));
		must(iommu_invalidate(&b.mmu, IOMMU_BUFFERS, 1));
	}
	must(fe_sync(&f->session.fe));
	iommu_bench_close(&b, 1);
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
	struct iommu_bench b;
	unsigned int i;
	int fd;

	iommu_bench_open_with(&b, f, 1, features | FE_F_LOG_ALL,
			      FE_PF_LOG_SHMFD);
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	fd = memfd_create("log", MFD_CLOEXEC);
	must(ftruncate(fd, SIZE));
	must(fe_set_log_base(&f->session.fe, SIZE, 0, fd));
	b.d[0].flags = 1;
	must(driven_set_addr(&b.d[0]));
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	assert_int_equal(pread(fd, log, SIZE, 0), SIZE);
	/* the buffer's page, and one of the ring's */
	page = iommu_page_of(&b, IOMMU_BUFFERS)->guest / IOMMU_PAGE;
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
	iommu_bench_close(&b, 1);
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
	struct iovec buffer = driven_iov(IOMMU_BUFFERS, 8);
	struct vh_driver_used used;
	struct iommu_bench b;
	int fd;

	iommu_bench_open_with(&b, f, 1, features, FE_PF_INFLIGHT);
	must(fe_get_inflight(&f->session.fe, &area, &fd));
	must(fe_set_inflight(&f->session.fe, &area, fd));
	driven_start(&b.d[0]);
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	must(iommu_invalidate(&b.mmu, 0, UINT64_MAX));
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	driven_stop(&b.d[0]);
	driven_start(&b.d[0]);
	must(iommu_wait(&b.mmu, &b.d[0], &used));
	close(fd);
	iommu_bench_close(&b, 1);
}

static void test_conformance_iotlb_tracked_split(void **state)
{
	tracked(*state, 0);
}

static void test_conformance_iotlb_tracked_packed(void **state)
{
	tracked(*state, FE_F_PACKED);
}

/*
 * A ring that has a request to take up and waits for its buffer can be
 * stopped: the entry couldn't come before the answer.
 */
static void test_conformance_iotlb_stopped_while_it_recovers(void **state)
{
	struct fixture *f = *state;
	struct fe_inflight area = {.num_queues = 1, .queue_size = 128};
	struct iovec buffer = driven_iov(IOMMU_BUFFERS, 8);
	struct vh_driver_used used;
	uint8_t bytes[32] = {0};
	struct iommu_bench b;
	int fd;

	iommu_bench_open_with(&b, f, 1, 0, FE_PF_INFLIGHT);
	must(fe_get_inflight(&f->session.fe, &area, &fd));
	/* as if the one before us had taken the head that is used first */
	bytes[8] = 1;	 /* version */
	bytes[10] = 128; /* size of the ring */
	bytes[16] = 1;	 /* head 0 is in flight */
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	must(fe_set_inflight(&f->session.fe, &area, fd));
	driven_add(&b.d[0], NULL, 0, &buffer, 1, &b);
	iommu_update_ring(&b.mmu, &b.d[0]);
	driven_start(&b.d[0]);
	assert_int_equal(iommu_wait_miss(&b.mmu)->iova, IOMMU_BUFFERS);
	driven_stop(&b.d[0]);
	must(iommu_update(&b.mmu, IOMMU_BUFFERS));
	driven_start(&b.d[0]);
	must(driven_wait(&b.d[0], &used));
	iommu_echo(&b.mmu, &b.d[0], IOMMU_BUFFERS, 100);
	driven_stop(&b.d[0]);
	assert_int_equal(b.d[0].base, 2);
	close(fd);
	iommu_bench_close(&b, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	    fixture_test(test_conformance_iotlb_stopped_while_it_recovers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
