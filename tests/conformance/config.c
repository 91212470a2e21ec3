/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Config space, device status and the back-end's own channel. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/socket.h>

#define CONFIG_BY_DRIVER    0
#define CONFIG_BY_MIGRATION 1
#define CONFIG_CHANGE	    2 /* of the back-end's requests */

static void connect_blk(struct fixture *f)
{
	start_blk(f, 1);
	new_session(f, NULL);
	connect_session(f);
	must(session_negotiate(&f->session));
}

static void test_conformance_config_refuses_read_only_fields(void **state)
{
	static const uint32_t fields[] = {0, 7, 8, 12, 20, 24, 34, 36, 59};
	struct fixture *f = *state;
	uint8_t before[BLK_CONFIG_SIZE], after[BLK_CONFIG_SIZE];
	unsigned int i;

	connect_blk(f);
	must(fe_get_config(&f->session.fe, 0, before, sizeof(before)));
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint8_t byte = (uint8_t)~before[fields[i]];

		must_refuse(fe_set_config(&f->session.fe, fields[i], &byte, 1,
					  CONFIG_BY_DRIVER));
	}
	must_refuse(fe_set_config(&f->session.fe, 0, before, sizeof(before),
				  CONFIG_BY_DRIVER));
	must(fe_get_config(&f->session.fe, 0, after, sizeof(after)));
	assert_memory_equal(before, after, sizeof(before));
}

static void test_conformance_config_switches_the_cache(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint8_t wce;
	unsigned int i;

	open_blk(f, 1);
	assert_true(f->session.features & BLK_F_CONFIG_WCE);
	for (i = 0; i < 4; i++) {
		uint8_t value = (uint8_t)(i % 2);

		must(fe_set_config(fe, BLK_CONFIG_WCE, &value, 1,
				   CONFIG_BY_DRIVER));
		must(fe_get_config(fe, BLK_CONFIG_WCE, &wce, 1));
		assert_int_equal(wce, value);
		must_do_io(f, 0, i);
	}
	wce = 2;
	must_refuse(
	    fe_set_config(fe, BLK_CONFIG_WCE, &wce, 1, CONFIG_BY_DRIVER));
	must(fe_get_config(fe, BLK_CONFIG_WCE, &wce, 1));
	assert_int_equal(wce, 1);
	must_live(f);
}

static void must_cache(struct fixture *f, uint8_t expected)
{
	uint8_t wce;

	must(fe_get_config(&f->session.fe, BLK_CONFIG_WCE, &wce, 1));
	assert_int_equal(wce, expected);
}

/* A front-end that comes back doesn't say again what its driver chose. */
static void test_conformance_config_keeps_the_cache_mode(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint8_t through = 0;

	open_blk(f, 1);
	must_cache(f, 1);
	must(fe_set_config(fe, BLK_CONFIG_WCE, &through, 1, CONFIG_BY_DRIVER));
	fe_close(fe);
	start_session(f);
	must_cache(f, 0);
	must_live(f);
	must(fe_command(fe, FE_RESET_DEVICE));
	must_cache(f, 1);
}

/* Virtio: without the flush command it begins as write-through. */
static void test_conformance_config_without_flush_writes_through(void **state)
{
	struct session_opts opts = {.not_features = BLK_F_FLUSH};
	struct fixture *f = *state;
	uint8_t back = 1;

	start_blk(f, 1);
	new_session(f, &opts);
	start_session(f);
	must_cache(f, 0);
	must(fe_set_config(&f->session.fe, BLK_CONFIG_WCE, &back, 1,
			   CONFIG_BY_DRIVER));
	must_cache(f, 1);
	fe_close(&f->session.fe);
	start_session(f);
	must_cache(f, 0);
}

/* How many bytes there are: at least those up to the last known field. */
static uint32_t config_size(struct fixture *f)
{
	uint32_t size = 0;
	uint8_t byte;

	while (fe_get_config(&f->session.fe, size, &byte, 1) == 0)
		size++;
	assert_in_range(size, BLK_CONFIG_SIZE, 256);
	return size;
}

/* CVE-2022-0998: offset plus size. */
static void test_conformance_config_ranges(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint8_t bytes[256] = {0};
	uint32_t size;
	unsigned int i;

	connect_blk(f);
	size = config_size(f);
	struct {
		uint32_t offset;
		uint32_t size;
	} bad[] = {
	    {0, size + 1},   {size, 1},		  {size - 1, 2},
	    {UINT32_MAX, 1}, {UINT32_MAX - 3, 8}, {1u << 31, 4},
	};

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		must_refuse(fe_set_config(fe, bad[i].offset, bytes, bad[i].size,
					  CONFIG_BY_MIGRATION));
		assert_int_equal(
		    fe_get_config(fe, bad[i].offset, bytes, bad[i].size),
		    -EREMOTEIO);
	}
	must(fe_get_config(fe, 0, bytes, size));
	must_serve_another(f);
}

/* The size in the payload and that of the payload don't agree. */
static void test_conformance_config_sizes_that_disagree(void **state)
{
	static const uint32_t claims[] = {0, 7, 9, 256, 257, UINT32_MAX};
	struct fixture *f = *state;
	unsigned int i;

	open_blk(f, 1);
	for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		uint8_t bytes[12 + 8] = {0};

		put32(bytes, 0, BLK_CONFIG_WCE);
		put32(bytes, 4, claims[i]);
		must_refuse(fe_request(&f->session.fe, FE_SET_CONFIG, bytes,
				       sizeof(bytes), NULL, 0));
	}
	must_live(f);
}

static void test_conformance_status_is_kept(void **state)
{
	static const uint8_t values[] = {0, 1, 3, 0xb, 0xf, 0};
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	unsigned int i;

	open_blk(f, 1);
	for (i = 0; i < sizeof(values); i++) {
		uint64_t status;

		must(fe_set_u64(fe, FE_SET_STATUS, values[i]));
		must(fe_get_u64(fe, FE_GET_STATUS, &status));
		assert_int_equal(status, values[i]);
		must_do_io(f, 0, i);
	}
	must_refuse(fe_set_u64(fe, FE_SET_STATUS, 256));
}

/* A front-end of the field clears the status first, then asks. */
static void test_conformance_status_0_keeps_the_index(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;

	open_blk(f, 1);
	must(fe_set_u64(fe, FE_SET_STATUS, 0xf));
	must_do_io(f, 0, 0);
	must_do_io(f, 0, 1);
	must(fe_set_u64(fe, FE_SET_STATUS, 0));
	must(fe_set_vring(fe, FE_SET_VRING_ENABLE, 0, 0));
	must(session_stop_queue(&f->session, 0));
	assert_int_equal(f->session.queues[0].base, 6);
	must(session_start_queue(&f->session, 0));
	must_live(f);
}

/* Reads one request of the back-end's: header only. */
static void expect_config_change(int fd)
{
	uint8_t header[12];
	size_t done = 0;

	while (done < sizeof(header)) {
		ssize_t n;

		must(fe_wait_readable(fd, FE_TIMEOUT_MS));
		n = read(fd, header + done, sizeof(header) - done);
		assert_true(n > 0);
		done += (size_t)n;
	}
	assert_int_equal(get32(header), CONFIG_CHANGE);
	assert_int_equal(get32(header + 4) & ~FE_NEED_REPLY, FE_VERSION);
	assert_int_equal(get32(header + 8), 0);
}

static void resize(struct fixture *f, uint64_t size, int expected)
{
	must(ftruncate(f->server.place.file, (off_t)size));
	assert_int_equal(vh_blk_refresh(f->server.backend), expected);
}

static void must_have_sectors(struct fixture *f, uint64_t sectors)
{
	uint8_t bytes[8];

	must(fe_get_config(&f->session.fe, 0, bytes, 8));
	assert_int_equal(get64(bytes), sectors);
}

/* The front-end needn't answer: nothing waits for it. */
static void resize_through(struct fixture *f, int ours, int theirs)
{
	open_blk(f, 1);
	must(fe_set_fd(&f->session.fe, FE_SET_BACKEND_REQ_FD, theirs));
	resize(f, 8 << 20, 0);
	resize(f, 16 << 20, 1);
	expect_config_change(ours);
	must_have_sectors(f, (16 << 20) / BLK_SECTOR);
	must_do_io(f, 0, 2000);
	resize(f, 4 << 20, 1);
	expect_config_change(ours);
	must_have_sectors(f, (4 << 20) / BLK_SECTOR);
	must_live(f);
}

static void test_conformance_config_change_through_a_socket(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	resize_through(f, fds[0], fds[1]);
	/* the connection goes on without it */
	close(fds[0]);
	resize(f, 8 << 20, 1);
	must_live(f);
	close(fds[1]);
}

static void test_conformance_config_change_through_a_pipe(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	must(pipe2(fds, O_CLOEXEC));
	resize_through(f, fds[0], fds[1]);
	close(fds[0]);
	close(fds[1]);
}

/* A front-end that asked for it and never reads it. */
static void test_conformance_config_change_that_nobody_reads(void **state)
{
	struct fixture *f = *state;
	int fds[2];
	unsigned int i;

	must(pipe2(fds, O_CLOEXEC));
	open_blk(f, 1);
	must(fe_set_fd(&f->session.fe, FE_SET_BACKEND_REQ_FD, fds[1]));
	for (i = 1; i <= 20000; i++)
		resize(f, (8 << 20) + (i % 2) * 4096, 1);
	must_live(f);
	close(fds[0]);
	close(fds[1]);
}

static void test_conformance_config_change_without_a_channel(void **state)
{
	struct fixture *f = *state;

	open_blk(f, 1);
	resize(f, 16 << 20, 1);
	must_have_sectors(f, (16 << 20) / BLK_SECTOR);
	must_live(f);
}

/* Of the engine's own config space: an echo device's bytes. */
static void test_conformance_config_of_an_echo_device(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint8_t bytes[ECHO_CONFIG_SIZE];

	open_echo(f, 1);
	must(fe_get_config(fe, 4, bytes, 8));
	assert_int_equal(bytes[0], 0xe4);
	bytes[0] = 0x11;
	must_refuse(fe_set_config(fe, 4, bytes, 1, CONFIG_BY_DRIVER));
	must(fe_set_config(fe, 4, bytes, 1, CONFIG_BY_MIGRATION));
	must(fe_set_config(fe, 15, bytes, 1, CONFIG_BY_DRIVER));
	must_refuse(fe_set_config(fe, 15, bytes, 2, CONFIG_BY_DRIVER));
	must(fe_get_config(fe, 0, bytes, sizeof(bytes)));
	assert_int_equal(bytes[4], 0x11);
	assert_int_equal(bytes[15], 0x11);
	must_live(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_config_refuses_read_only_fields),
	    fixture_test(test_conformance_config_switches_the_cache),
	    fixture_test(test_conformance_config_keeps_the_cache_mode),
	    fixture_test(test_conformance_config_without_flush_writes_through),
	    fixture_test(test_conformance_config_ranges),
	    fixture_test(test_conformance_config_sizes_that_disagree),
	    fixture_test(test_conformance_status_is_kept),
	    fixture_test(test_conformance_status_0_keeps_the_index),
	    fixture_test(test_conformance_config_change_through_a_socket),
	    fixture_test(test_conformance_config_change_through_a_pipe),
	    fixture_test(test_conformance_config_change_that_nobody_reads),
	    fixture_test(test_conformance_config_change_without_a_channel),
	    fixture_test(test_conformance_config_of_an_echo_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
