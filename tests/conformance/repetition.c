/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The same ten thousand times over: nothing is left of it. (CVE-2019-14818,
 * CVE-2022-0669, CVE-2020-10726, CVE-2023-1838: others kept descriptors.)
 */
#include "fixture.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define MANY	10000
#define WARM_UP 200 /* after these, what is allocated once has been */
/* Bytes that may be left: a little, and less than any leak in each turn. */
#define HEAP_SLACK(turns) (8192 + 8 * (size_t)(turns))

/* Bytes that this process has allocated and not freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
size_t __sanitizer_get_current_allocated_bytes(void);

static size_t heap_in_use(void)
{
	return __sanitizer_get_current_allocated_bytes();
}
#else
static size_t heap_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}
#endif

struct meter {
	struct resources resources;
	size_t heap;
	unsigned int turns;
};

static void begin(struct meter *meter)
{
	*meter = (struct meter){.resources = resources_now()};
}

static bool go_on(struct meter *meter)
{
	if (meter->turns == WARM_UP)
		meter->heap = heap_in_use();
	return meter->turns++ < MANY;
}

/* The last turn may still be under way. */
static void must_be_flat(const struct meter *meter)
{
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;
	size_t limit = meter->heap + HEAP_SLACK(MANY);

	assert_int_equal(meter->turns, MANY + 1);
	must(resources_wait(&meter->resources));
	while (heap_in_use() > limit && fe_now_ms() < deadline)
		usleep(1000);
	if (heap_in_use() > limit)
		fail_msg("%u turns left %zu bytes", MANY,
			 heap_in_use() - meter->heap);
	printf("%u turns\n", MANY);
}

static void test_conformance_repeated_connections(void **state)
{
	struct fixture *f = *state;
	struct meter meter;
	unsigned int i;

	start_blk(f, 1);
	new_session(f, NULL);
	begin(&meter);
	for (i = 0; go_on(&meter); i++) {
		connect_session(f);
		if (i % 3 > 0)
			must(fe_sync(&f->session.fe));
		fe_close(&f->session.fe);
	}
	must_be_flat(&meter);
	must_serve_another(f);
}

static void test_conformance_repeated_sessions(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {.num_queues = 2};
	struct meter meter;
	uint8_t data[512];
	unsigned int i;

	start_blk(f, 2);
	new_session(f, &opts);
	make_blks(f, 512);
	begin(&meter);
	for (i = 0; go_on(&meter); i++) {
		start_session(f);
		must(blk_read(&f->blk[i % 2], i % 1000, data, sizeof(data)));
		if (i % 2)
			must(session_stop_queue(&f->session, 0));
		if (i % 3 == 0)
			must(session_stop_queue(&f->session, 1));
		fe_close(&f->session.fe);
	}
	must_be_flat(&meter);
	must_serve_another(f);
}

static void test_conformance_repeated_starts(void **state)
{
	struct fixture *f = *state;
	struct meter meter;
	uint8_t data[512];
	unsigned int i;

	open_blk(f, 1);
	begin(&meter);
	for (i = 0; go_on(&meter); i++) {
		must(session_stop_queue(&f->session, 0));
		must(session_start_queue(&f->session, 0));
		must(blk_read(&f->blk[0], i % 1000, data, sizeof(data)));
	}
	must_be_flat(&meter);
	must_live(f);
}

typedef void setter(struct fixture *f, unsigned int turn);

static void set_features(struct fixture *f, unsigned int turn)
{
	(void)turn;
	must(fe_set_u64(&f->session.fe, FE_SET_FEATURES, f->session.features));
}

static void set_protocol_features(struct fixture *f, unsigned int turn)
{
	(void)turn;
	must(fe_set_u64(&f->session.fe, FE_SET_PROTOCOL_FEATURES,
			f->session.protocol_features));
}

static void set_ring(struct fixture *f, unsigned int turn)
{
	(void)turn;
	must(session_setup_queue(&f->session, 1));
}

static void set_kick(struct fixture *f, unsigned int turn)
{
	(void)turn;
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 0,
			     f->session.queues[0].kick));
}

static void set_call(struct fixture *f, unsigned int turn)
{
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_CALL, 0,
			     turn % 5 ? f->session.queues[0].call : -1));
}

static void set_err(struct fixture *f, unsigned int turn)
{
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_ERR, 0,
			     turn % 5 ? f->session.queues[0].err : -1));
}

static void set_enable(struct fixture *f, unsigned int turn)
{
	must(fe_set_vring(&f->session.fe, FE_SET_VRING_ENABLE, 0, turn % 2));
}

static void set_channel(struct fixture *f, unsigned int turn)
{
	int fds[2];

	(void)turn;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	must(fe_set_fd(&f->session.fe, FE_SET_BACKEND_REQ_FD, fds[1]));
	close(fds[0]);
	close(fds[1]);
}

static void set_status(struct fixture *f, unsigned int turn)
{
	must(fe_set_u64(&f->session.fe, FE_SET_STATUS, turn % 16));
}

static void set_config(struct fixture *f, unsigned int turn)
{
	uint8_t wce = (uint8_t)(turn % 2);

	must(fe_set_config(&f->session.fe, BLK_CONFIG_WCE, &wce, 1, 0));
}

static void get_config(struct fixture *f, unsigned int turn)
{
	uint8_t bytes[BLK_CONFIG_SIZE];

	(void)turn;
	must(fe_get_config(&f->session.fe, 0, bytes, sizeof(bytes)));
}

static void add_and_remove(struct fixture *f, unsigned int turn)
{
	struct fe_region region = f->session.guest.regions[0];

	region.guest += UINT64_C(1) << 40;
	region.user += UINT64_C(1) << 45;
	if (turn % 2)
		must(fe_remove_region(&f->session.fe, &region));
	else
		must(fe_add_region(&f->session.fe, &region));
}

static void refused_region(struct fixture *f, unsigned int turn)
{
	struct fe_region region = f->session.guest.regions[turn % 2];

	must_refuse(fe_add_region(&f->session.fe, &region));
	region.size = UINT64_C(1) << 50;
	region.guest = UINT64_C(1) << 55;
	region.user = UINT64_C(1) << 56;
	must_refuse(fe_add_region(&f->session.fe, &region));
}

static void refused_index(struct fixture *f, unsigned int turn)
{
	must_refuse(fe_set_vring_fd(&f->session.fe,
				    FE_SET_VRING_KICK + turn % 3, 77,
				    f->session.queues[0].kick));
}

static void set_owner(struct fixture *f, unsigned int turn)
{
	/* refused or not, it mustn't cost anything */
	(void)turn;
	assert_int_not_equal(fe_command(&f->session.fe, FE_SET_OWNER), -EPIPE);
}

static setter *const setters[] = {
    set_features,   set_protocol_features,
    set_ring,	    set_kick,
    set_call,	    set_err,
    set_enable,	    set_channel,
    set_status,	    set_config,
    get_config,	    add_and_remove,
    refused_region, refused_index,
    set_owner,
};

static void test_conformance_repeated_setters(void **state)
{
	struct fixture *f = *state;
	unsigned int i, turn;

	open_blk(f, 2);
	must(session_stop_queue(&f->session, 1));
	for (i = 0; i < sizeof(setters) / sizeof(setters[0]); i++) {
		struct meter meter;

		setters[i](f, 0);
		setters[i](f, 1);
		setters[i](f, 2);
		begin(&meter);
		for (turn = 3; go_on(&meter); turn++)
			setters[i](f, turn);
		must_be_flat(&meter);
	}
	must(session_stop_queue(&f->session, 0));
	must(session_start_queues(&f->session));
	must_live(f);
}

/* The area is replaced while no ring is started. */
static void test_conformance_repeated_inflight_areas(void **state)
{
	struct session_opts opts = {
	    .num_queues = 2,
	    .protocol_features = SESSION_PROTOCOL_FEATURES | FE_PF_INFLIGHT,
	};
	struct fixture *f = *state;
	struct meter meter;
	unsigned int i;

	start_blk(f, 2);
	new_session(f, &opts);
	connect_session(f);
	must(session_negotiate(&f->session));
	assert_true(f->session.protocol_features & FE_PF_INFLIGHT);
	begin(&meter);
	for (i = 0; go_on(&meter); i++) {
		struct fe_inflight area = {
		    .num_queues = 2,
		    .queue_size = (uint16_t)(i % 2 ? 128 : 256),
		};
		int fd = -1;

		must(fe_get_inflight(&f->session.fe, &area, &fd));
		must(fe_set_inflight(&f->session.fe, &area, fd));
		close(fd);
		/* the server keeps the mapping of the last one */
		if (i == 0)
			meter.resources = resources_now();
	}
	must_be_flat(&meter);
	must(session_share_memory(&f->session));
	must(session_make_rings(&f->session));
	must(session_start_queues(&f->session));
	make_blks(f, 8192);
	must_live(f);
}

static void test_conformance_repeated_device_resets(void **state)
{
	struct fixture *f = *state;
	struct meter meter;
	unsigned int i;

	open_echo(f, 2);
	begin(&meter);
	for (i = 0; go_on(&meter); i++) {
		must(fe_command(&f->session.fe, FE_RESET_DEVICE));
		must(fe_set_u64(&f->session.fe, FE_SET_FEATURES,
				f->session.features));
		must(session_make_rings(&f->session));
		must(session_start_queues(&f->session));
		must_echo(f, i % 2, 100);
	}
	must_be_flat(&meter);
	must_live(f);
}

/* Queues that break and mend. */
static void test_conformance_repeated_faults(void **state)
{
	struct fixture *f = *state;
	struct driver_buffer nowhere = {.gpa = 0x1000, .length = 8};
	struct meter meter;
	unsigned int i;

	open_echo(f, 2);
	begin(&meter);
	for (i = 0; go_on(&meter); i++) {
		assert_true(
		    session_submit(&f->session, 0, &nowhere, 1, false) >= 0);
		must(session_wait_err(&f->session, 0));
		must(session_stop_queue(&f->session, 0));
		f->session.queues[0].base = 0;
		must(session_make_ring(&f->session, 0));
		must(session_start_queue(&f->session, 0));
	}
	must_be_flat(&meter);
	must_live(f);
}

/* Whole servers with their threads, sockets and files. */
static void test_conformance_repeated_servers(void **state)
{
	struct fixture *f = *state;
	struct meter meter;
	unsigned int i;

	begin(&meter);
	for (i = 0; go_on(&meter); i++) {
		open_blk(f, 2);
		if (i % 2)
			must_do_io(f, 0, i % 100);
		fixture_close(f);
	}
	must_be_flat(&meter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_repeated_connections),
	    fixture_test(test_conformance_repeated_sessions),
	    fixture_test(test_conformance_repeated_starts),
	    fixture_test(test_conformance_repeated_setters),
	    fixture_test(test_conformance_repeated_inflight_areas),
	    fixture_test(test_conformance_repeated_device_resets),
	    fixture_test(test_conformance_repeated_faults),
	    fixture_test(test_conformance_repeated_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
