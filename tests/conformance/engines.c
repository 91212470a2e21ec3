/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The ways to the storage: which one is chosen, and that data is right by
 * each of them, where the system takes part in it: direct I/O, block
 * devices, io_uring forbidden.
 */
#include "fixture.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define TMPFS	      0x01021994
#define ODD_SIZE      (3 * 1024 * 1024) /* more than a step */
#define IO_URING_NAME "io_uring"

static const struct session_opts large = {.region_size = 32 << 20};

/* What the device said last. */
static char said[256];
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;

static void hear(void *user, uint32_t level, const char *text)
{
	(void)user;
	(void)level;
	pthread_mutex_lock(&said_lock);
	snprintf(said, sizeof(said), "%s", text);
	pthread_mutex_unlock(&said_lock);
}

static void must_have_said(const char *words)
{
	pthread_mutex_lock(&said_lock);
	if (!strstr(said, words))
		fail_msg("\"%s\" isn't about \"%s\"", said, words);
	pthread_mutex_unlock(&said_lock);
}

static const char *engine_of(const struct fixture *f)
{
	VH_OPTS(vh_blk_stats, stats);
	must(vh_blk_get_stats(f->server.backend, &stats));
	return stats.engine;
}

/* By asking the kernel: 120 zeroes are a struct io_uring_params. */
static bool system_has_uring(void)
{
	char params[120] = {0};
	long fd = syscall(SYS_io_uring_setup, 1, params);

	if (fd >= 0)
		close((int)fd);
	return fd >= 0;
}

static bool in_memory(const struct fixture *f)
{
	struct statfs fs;

	must(fstatfs(f->server.place.file, &fs));
	return fs.f_type == TMPFS;
}

static void because(const char *reason)
{
	printf("%s\n", reason);
	skip();
}

static void open_disk(struct fixture *f, const struct server_opts *opts)
{
	start_server(f, opts, false);
	new_session(f, &large);
	start_session(f);
	make_blks(f, 8192);
}

static void test_conformance_engine_is_chosen(void **state)
{
	struct server_opts opts = {
	    .log = {.write = hear, .level = VH_LOG_INFO}};
	struct fixture *f = *state;

	open_disk(f, &opts);
	if (in_memory(f)) {
		assert_string_equal(engine_of(f), "sync");
		must_have_said("lives in memory");
	} else if (!system_has_uring()) {
		assert_string_equal(engine_of(f), "sync");
		must_have_said("refuses io_uring");
	} else {
		assert_string_equal(engine_of(f), IO_URING_NAME);
	}
	must_live(f);
}

static void test_conformance_engine_as_asked_for(void **state)
{
	struct server_opts opts = {.engine = VH_BLK_ENGINE_SYNC};
	struct fixture *f = *state;

	open_disk(f, &opts);
	assert_string_equal(engine_of(f), "sync");
	must_live(f);
	fixture_close(f);
	if (!system_has_uring())
		because("the system has no io_uring");
	opts.engine = VH_BLK_ENGINE_IO_URING;
	open_disk(f, &opts);
	assert_string_equal(engine_of(f), IO_URING_NAME);
	must_live(f);
}

/* One transfer whose data is anywhere; header and status are elsewhere. */
static void transfer(struct fixture *f, uint32_t type, uint64_t sector,
		     uint64_t data, uint32_t length)
{
	struct guest *guest = &f->session.guest;
	uint64_t header = guest_alloc(guest, 17, 64);
	bool write = type == BLK_IN;
	struct driver_buffer buffers[4] = {
	    {.gpa = header, .length = 16},
	    {.gpa = data, .length = length / 3, .write = write},
	    {.gpa = data + length / 3,
	     .length = length - length / 3,
	     .write = write},
	    {.gpa = header + 16, .length = 1, .write = true},
	};
	struct driver_used used;
	uint8_t status = BLK_NO_STATUS;

	blk_put_header(&f->session, header, type, sector);
	guest_write(guest, header + 16, &status, 1);
	assert_true(session_submit(&f->session, 0, buffers, 4, false) >= 0);
	must(session_wait(&f->session, 0, &used));
	guest_read(guest, header + 16, &status, 1);
	assert_int_equal(status, BLK_OK);
	assert_int_equal(used.length, write ? length + 1 : 1);
}

/* From odd addresses to the disk and back to other odd addresses. */
static void odd_round_trip(struct fixture *f, uint64_t from, uint32_t length)
{
	struct guest *guest = &f->session.guest;
	uint8_t *file = malloc(ODD_SIZE);
	uint8_t *out, *in;

	assert_non_null(file);
	out = guest_at(guest, from + 1, ODD_SIZE);
	in = guest_at(guest, from + ODD_SIZE + 4096 + 7, ODD_SIZE);
	assert_true(in && out);
	blk_pattern(out, length, length);
	memset(in, 0, length);
	transfer(f, BLK_OUT, 8, from + 1, length);
	assert_int_equal(pread(f->server.place.file, file, length, 4096),
			 length);
	assert_memory_equal(file, out, length);
	transfer(f, BLK_IN, 8, from + ODD_SIZE + 4096 + 7, length);
	assert_memory_equal(in, out, length);
	free(file);
}

static void odd_buffers(struct fixture *f, uint32_t engine)
{
	static const uint32_t lengths[] = {4096, 65536, 65536 + 4096, ODD_SIZE};
	struct server_opts opts = {.direct = true, .engine = engine};
	uint64_t from;
	unsigned int i;

	open_disk(f, &opts);
	from = guest_alloc(&f->session.guest, 2 * ODD_SIZE + 8192, 4096);
	for (i = 0; i < 4; i++)
		odd_round_trip(f, from, lengths[i]);
	must_live(f);
	fixture_close(f);
}

static bool system_has_direct(void)
{
	struct place place;
	int fd;

	must(place_make(&place, NULL, 4096));
	fd = open(place.disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	place_remove(&place);
	return fd >= 0;
}

static void test_conformance_engine_direct_with_odd_buffers(void **state)
{
	if (!system_has_direct())
		because("/tmp has no direct I/O");
	odd_buffers(*state, VH_BLK_ENGINE_SYNC);
	odd_buffers(*state, VH_BLK_ENGINE_AUTO);
}

/* A loop device on the file, which goes when nobody has it open. */
static int make_device(int file, char path[32])
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = {
	    .fd = (uint32_t)file,
	    .info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	int number, fd;

	if (control < 0)
		return -1;
	number = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	if (number < 0)
		return -1;
	snprintf(path, 32, "/dev/loop%d", number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void serve_device(struct fixture *f, uint32_t engine, bool direct)
{
	struct server_opts opts = {.engine = engine, .direct = direct};
	struct blk_range range = {.sector = 16, .sectors = 16};
	uint8_t zeroes[8192] = {0}, data[8192], seen[8192];
	struct place place;
	char path[32];
	int device;

	must(place_make(&place, NULL, 8 << 20));
	device = make_device(place.file, path);
	if (device < 0) {
		place_remove(&place);
		because("no loop device can be had");
	}
	opts.path = path;
	start_server(f, &opts, false);
	new_session(f, &large);
	start_session(f);
	make_blks(f, 8192);
	blk_pattern(data, sizeof(data), 1);
	must(blk_write(&f->blk[0], 16, data, sizeof(data)));
	must(blk_flush(&f->blk[0]));
	assert_int_equal(pread(place.file, seen, sizeof(seen), 8192),
			 sizeof(seen));
	assert_memory_equal(data, seen, sizeof(data));
	must(blk_ranges(&f->blk[0], BLK_WRITE_ZEROES, &range, 1));
	must(blk_read(&f->blk[0], 16, data, sizeof(data)));
	assert_memory_equal(data, zeroes, sizeof(data));
	must(blk_flush(&f->blk[0]));
	fixture_close(f);
	close(device);
	place_remove(&place);
}

static void test_conformance_engine_on_a_block_device(void **state)
{
	serve_device(*state, VH_BLK_ENGINE_SYNC, false);
	serve_device(*state, VH_BLK_ENGINE_AUTO, false);
	serve_device(*state, VH_BLK_ENGINE_AUTO, true);
}

/* From now on, for this thread and those that it makes. */
static void forbid_uring(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = 4, .filter = code};

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	assert_false(system_has_uring());
}

/* Forbidden after it was tried: it is the worker that can't have it. */
static void test_conformance_engine_is_forbidden_later(void **state)
{
	struct server_opts opts = {
	    .log = {.write = hear, .level = VH_LOG_INFO},
	    .made = forbid_uring,
	};
	struct fixture *f = *state;
	bool had = system_has_uring();

	start_server(f, &opts, false);
	if (!had || in_memory(f))
		because("there was no io_uring to be forbidden");
	new_session(f, &large);
	start_session(f);
	make_blks(f, 8192);
	must_live(f);
	must_have_said("worker 0 uses system calls");
	must_have_said("not permitted");
}

/* The last one: it is forbidden for good now. */
static void test_conformance_engine_is_forbidden(void **state)
{
	struct server_opts opts = {
	    .log = {.write = hear, .level = VH_LOG_INFO}};
	struct fixture *f = *state;

	forbid_uring();
	open_disk(f, &opts);
	assert_string_equal(engine_of(f), "sync");
	must_have_said(in_memory(f) ? "lives in memory" : "refuses io_uring");
	must_live(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_engine_is_chosen),
	    fixture_test(test_conformance_engine_as_asked_for),
	    fixture_test(test_conformance_engine_direct_with_odd_buffers),
	    fixture_test(test_conformance_engine_on_a_block_device),
	    fixture_test(test_conformance_engine_is_forbidden_later),
	    fixture_test(test_conformance_engine_is_forbidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
