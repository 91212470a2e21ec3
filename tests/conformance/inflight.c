/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The area that tracks requests in flight ("Inflight I/O tracking"): how it
 * is made and taken, what of it is refused, and files that change under us.
 * CVE numbers name the defects of others that a test looks for.
 */
#include "fixture.h"

#include <fcntl.h>
#include <libvhost/memory.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE   4096
#define QUEUES 2
#define SIZE   128
/* header and entries of one queue, without what a back-end adds */
#define PART   (16 + 16 * SIZE)
#define CANARY 0xa5
#define MANY   10000

static struct sigaction catcher;

/* Two queues of an echo device; nothing is started. */
static void prepare(struct fixture *f)
{
	struct session_opts opts = {
	    .num_queues = QUEUES,
	    .queue_size = SIZE,
	    .protocol_features = SESSION_PROTOCOL_FEATURES | FE_PF_INFLIGHT,
	};

	start_echo(f, QUEUES);
	new_session(f, &opts);
	connect_session(f);
	must(session_negotiate(&f->session));
	assert_true(f->session.protocol_features & FE_PF_INFLIGHT);
	assert_true(f->session.fe.acks);
	must(session_share_memory(&f->session));
	must(session_make_rings(&f->session));
}

static int get(struct fixture *f, struct fe_inflight *area)
{
	int fd = -1;

	*area = (struct fe_inflight){.num_queues = QUEUES, .queue_size = SIZE};
	must(fe_get_inflight(&f->session.fe, area, &fd));
	assert_true(fd >= 0);
	return fd;
}

static uint64_t file_size(int fd)
{
	struct stat st;

	must(fstat(fd, &st));
	return (uint64_t)st.st_size;
}

static void test_conformance_inflight_area_is_made(void **state)
{
	static const uint16_t sizes[] = {1, 2, 3, 100, 128, 32768};
	struct fixture *f = *state;
	unsigned int i;

	prepare(f);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct fe_inflight area = {.num_queues = (uint16_t)(1 + i % 2),
					   .queue_size = sizes[i]};
		uint64_t need = area.num_queues * (16 + 16ul * sizes[i]);
		uint8_t *bytes;
		uint64_t at;
		int fd;

		must(fe_get_inflight(&f->session.fe, &area, &fd));
		assert_true(fd >= 0);
		assert_int_equal(area.num_queues, 1 + i % 2);
		assert_int_equal(area.queue_size, sizes[i]);
		assert_true(area.mmap_size >= need);
		assert_true(file_size(fd) >= area.mmap_offset + area.mmap_size);
		bytes = mmap(NULL, area.mmap_size, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, (off_t)area.mmap_offset);
		assert_true(bytes != MAP_FAILED);
		for (at = 0; at < area.mmap_size; at++)
			assert_int_equal(bytes[at], 0);
		munmap(bytes, area.mmap_size);
		must(fe_set_inflight(&f->session.fe, &area, fd));
		close(fd);
	}
}

/* Nobody can pull the one that was made here away from under us. */
static void test_conformance_inflight_area_cannot_shrink(void **state)
{
	struct fixture *f = *state;
	struct fe_inflight area;
	int fd;

	prepare(f);
	fd = get(f, &area);
	must(fe_set_inflight(&f->session.fe, &area, fd));
	must(session_start_queues(&f->session));
	assert_int_equal(ftruncate(fd, 0), -1);
	must_live(f);
	close(fd);
}

/* It has a reply of its own, and nothing in it says "no": so it closes. */
static void test_conformance_inflight_get_closes_for_bad_numbers(void **state)
{
	static const struct {
		uint16_t num_queues, queue_size;
	} bad[] = {
	    {0, SIZE},	     {QUEUES + 1, SIZE}, {65535, SIZE},	 {QUEUES, 0},
	    {QUEUES, 32769}, {QUEUES, 65535},	 {65535, 65535}, {0, 0}};
	struct fixture *f = *state;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct fe_inflight area = {.num_queues = bad[i].num_queues,
					   .queue_size = bad[i].queue_size};
		int fd = -1;

		prepare(f);
		assert_int_equal(fe_get_inflight(&f->session.fe, &area, &fd),
				 -EPIPE);
		assert_int_equal(fd, -1);
		must_serve_another(f);
		fixture_close(f);
	}
}

/* CVE-2021-3839, CVE-2026-86565: numbers that aren't what the file is. */
static void test_conformance_inflight_set_refuses_bad_numbers(void **state)
{
	struct fixture *f = *state;
	struct fe_inflight good, bad[20];
	unsigned int i, n = 0;
	int fd;

	prepare(f);
	fd = get(f, &good);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		bad[i] = good;
	bad[n++].num_queues = 0;
	bad[n++].num_queues = QUEUES + 1;
	bad[n++].num_queues = 65535;
	bad[n++].queue_size = 0;
	bad[n++].queue_size = 2 * SIZE;
	bad[n++].queue_size = 32768;
	bad[n++].queue_size = 32769;
	bad[n++].queue_size = 65535;
	bad[n++].mmap_size = 0;
	bad[n++].mmap_size = 1;
	bad[n++].mmap_size = QUEUES * PART - 1;
	bad[n++].mmap_size = good.mmap_size + PAGE;
	bad[n++].mmap_size = INT64_MAX;
	bad[n++].mmap_size = UINT64_MAX;
	bad[n++].mmap_offset = 8;
	bad[n++].mmap_offset = PAGE;
	bad[n++].mmap_offset = UINT64_MAX - 7;
	bad[n++].mmap_offset = (uint64_t)INT64_MAX + 1;
	bad[n].mmap_offset = UINT64_MAX - PAGE + 1;
	bad[n++].mmap_size = PAGE;
	for (i = 0; i < n; i++)
		must_refuse(fe_set_inflight(&f->session.fe, &bad[i], fd));
	must(fe_set_inflight(&f->session.fe, &good, fd));
	must(session_start_queues(&f->session));
	must_live(f);
	close(fd);
}

static void test_conformance_inflight_set_refuses_other_files(void **state)
{
	struct fixture *f = *state;
	struct fe_inflight area;
	char path[64];
	int pipes[2], fds[6];
	unsigned int i;
	int fd;

	prepare(f);
	fd = get(f, &area);
	must(pipe2(pipes, O_CLOEXEC));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fds[0] = open(path, O_RDONLY | O_CLOEXEC); /* can't be written */
	fds[1] = memfd_create("empty", MFD_CLOEXEC);
	fds[2] = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[3] = eventfd(0, EFD_CLOEXEC);
	fds[4] = pipes[0];
	fds[5] = pipes[1];
	for (i = 0; i < 6; i++) {
		assert_true(fds[i] >= 0);
		must_refuse(fe_set_inflight(&f->session.fe, &area, fds[i]));
		close(fds[i]);
	}
	must(fe_set_inflight(&f->session.fe, &area, fd));
	must(session_start_queues(&f->session));
	must_live(f);
	close(fd);
}

static void test_conformance_inflight_set_is_too_late(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	struct fe_inflight area;
	int fd;

	prepare(f);
	fd = get(f, &area);
	must(session_start_queue(&f->session, 1));
	must_refuse(fe_set_inflight(fe, &area, fd));
	assert_int_equal(fe->last_ack, EBUSY);
	must(session_stop_queue(&f->session, 1));
	must(fe_set_inflight(fe, &area, fd));
	must(session_start_queues(&f->session));
	must_refuse(fe_set_inflight(fe, &area, fd));
	assert_int_equal(fe->last_ack, EBUSY);
	must_live(f);
	close(fd);
}

/* A file of ours, full of canaries, with an area somewhere in it. */
struct foreign {
	int fd;
	uint8_t *map;
	size_t size;
	struct fe_inflight area;
};

static void make_foreign(struct foreign *foreign, int fd, uint16_t queues,
			 uint16_t queue_size)
{
	uint64_t part = (16 + 16ul * queue_size + 63) / 64 * 64;

	foreign->fd = fd;
	assert_true(fd >= 0);
	foreign->area = (struct fe_inflight){
	    .mmap_size = queues * part,
	    .mmap_offset = PAGE + 72,
	    .num_queues = queues,
	    .queue_size = queue_size,
	};
	foreign->size = 4ul * PAGE + foreign->area.mmap_size;
	must(ftruncate(fd, (off_t)foreign->size));
	foreign->map = mmap(NULL, foreign->size, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
	assert_true(foreign->map != MAP_FAILED);
	memset(foreign->map, CANARY, foreign->size);
	memset(foreign->map + foreign->area.mmap_offset, 0,
	       foreign->area.mmap_size);
}

static void must_be_untouched(const struct foreign *foreign)
{
	size_t start = foreign->area.mmap_offset;
	size_t end = start + foreign->area.mmap_size;
	size_t i;

	for (i = 0; i < foreign->size; i++)
		if (i < start || i >= end)
			assert_int_equal(foreign->map[i], CANARY);
}

static void free_foreign(struct foreign *foreign)
{
	munmap(foreign->map, foreign->size);
	close(foreign->fd);
}

static unsigned int version(const struct foreign *foreign)
{
	return foreign->map[foreign->area.mmap_offset + 8];
}

/* CVE-2026-86565, CVE-2021-3839: a ring that the area has no room for. */
static void test_conformance_inflight_ring_larger_than_area(void **state)
{
	static const uint16_t sizes[] = {1, 64, SIZE - 1};
	struct fixture *f = *state;
	unsigned int i;

	prepare(f);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct session *session = &f->session;
		struct foreign foreign;
		unsigned int queue;

		make_foreign(&foreign, memfd_create("area", MFD_CLOEXEC),
			     QUEUES, sizes[i]);
		must(fe_set_inflight(&session->fe, &foreign.area, foreign.fd));
		for (queue = 0; queue < QUEUES; queue++) {
			must(session_setup_queue(session, queue));
			must_refuse(fe_set_vring_fd(
			    &session->fe, FE_SET_VRING_KICK, queue,
			    session->queues[queue].kick));
		}
		must_be_untouched(&foreign);
		assert_int_equal(version(&foreign), 0);
		free_foreign(&foreign);
	}
	must_serve_another(f);
}

/* A queue that the area doesn't know isn't tracked, but works. */
static void test_conformance_inflight_area_for_one_queue_of_two(void **state)
{
	struct fixture *f = *state;
	struct foreign foreign;

	prepare(f);
	make_foreign(&foreign, memfd_create("area", MFD_CLOEXEC), 1, SIZE);
	must(fe_set_inflight(&f->session.fe, &foreign.area, foreign.fd));
	must(session_start_queues(&f->session));
	must_live(f);
	must_be_untouched(&foreign);
	assert_int_equal(version(&foreign), 1);
	free_foreign(&foreign);
}

/* Any file that can be mapped will do; what it holds isn't believed. */
static void test_conformance_inflight_area_in_a_file(void **state)
{
	struct fixture *f = *state;
	struct foreign foreign;
	char path[160];

	prepare(f);
	snprintf(path, sizeof(path), "%s/area", f->server.place.folder);
	make_foreign(&foreign,
		     open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
		     QUEUES, SIZE);
	unlink(path);
	must(fe_set_inflight(&f->session.fe, &foreign.area, foreign.fd));
	must(session_start_queues(&f->session));
	must_live(f);
	must_be_untouched(&foreign);
	assert_int_equal(version(&foreign), 1);
	free_foreign(&foreign);
}

static void test_conformance_inflight_area_of_unknown_version(void **state)
{
	struct fixture *f = *state;
	struct foreign foreign;

	prepare(f);
	make_foreign(&foreign, memfd_create("area", MFD_CLOEXEC), QUEUES, SIZE);
	foreign.map[foreign.area.mmap_offset + 8] = 2;
	must(fe_set_inflight(&f->session.fe, &foreign.area, foreign.fd));
	must(session_setup_queue(&f->session, 0));
	must_refuse(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 0,
				    f->session.queues[0].kick));
	assert_int_equal(version(&foreign), 2);
	must_be_untouched(&foreign);
	/* the other queue's part is good */
	must(session_start_queue(&f->session, 1));
	must_echo(f, 1, 100);
	free_foreign(&foreign);
}

/*
 * The front-end cuts the file off, when its mapping is in use or before a
 * ring starts. The process survives, with vh_memory_catch_sigbus().
 */
static void shrink(struct fixture *f, bool running)
{
	int fd = memfd_create("area", MFD_CLOEXEC);
	struct driver_buffer buffer = {.length = 8};
	struct foreign foreign;
	int ret;

	must(sigaction(SIGBUS, &catcher, NULL));
	prepare(f);
	make_foreign(&foreign, fd, QUEUES, SIZE);
	must(fe_set_inflight(&f->session.fe, &foreign.area, fd));
	if (running) {
		must(session_start_queues(&f->session));
		must_live(f);
	}
	must(ftruncate(fd, 0));
	if (running) {
		buffer.gpa = guest_alloc(&f->session.guest, 8, 8);
		ret = session_submit(&f->session, 0, &buffer, 1, false);
		assert_true(ret >= 0);
		ret = 0;
	} else {
		ret = session_start_queue(&f->session, 0);
	}
	if (ret == 0)
		must(session_wait_err(&f->session, 0));
	else
		assert_int_equal(ret, -EREMOTEIO);
	must(fe_sync(&f->session.fe));
	must_serve_another(f);
	free_foreign(&foreign);
}

static void test_conformance_inflight_area_shrinks_before_start(void **state)
{
	shrink(*state, false);
}

static void test_conformance_inflight_area_shrinks_in_use(void **state)
{
	shrink(*state, true);
}

/* CVE-2020-10726: each request left a mapping and a descriptor behind. */
static void test_conformance_inflight_ten_thousand_areas(void **state)
{
	struct fixture *f = *state;
	struct resources before;
	struct fe_inflight area;
	unsigned int i;

	prepare(f);
	before = resources_now();
	for (i = 0; i < MANY; i++) {
		int fd = get(f, &area);

		if (i % 2)
			must(fe_set_inflight(&f->session.fe, &area, fd));
		close(fd);
	}
	/* the last one is in use */
	before.memfds++;
	must(resources_wait(&before));
	must(session_start_queues(&f->session));
	must_live(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_inflight_area_is_made),
	    fixture_test(test_conformance_inflight_area_cannot_shrink),
	    fixture_test(test_conformance_inflight_get_closes_for_bad_numbers),
	    fixture_test(test_conformance_inflight_set_refuses_bad_numbers),
	    fixture_test(test_conformance_inflight_set_refuses_other_files),
	    fixture_test(test_conformance_inflight_set_is_too_late),
	    fixture_test(test_conformance_inflight_ring_larger_than_area),
	    fixture_test(test_conformance_inflight_area_for_one_queue_of_two),
	    fixture_test(test_conformance_inflight_area_in_a_file),
	    fixture_test(test_conformance_inflight_area_of_unknown_version),
	    fixture_test(test_conformance_inflight_area_shrinks_before_start),
	    fixture_test(test_conformance_inflight_area_shrinks_in_use),
	    fixture_test(test_conformance_inflight_ten_thousand_areas),
	};

	if (vh_memory_catch_sigbus() < 0)
		return 1;
	sigaction(SIGBUS, NULL, &catcher);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
