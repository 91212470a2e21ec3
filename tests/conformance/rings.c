/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The states of a ring: started and stopped, enabled and disabled. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define MOMENT_MS 30 /* in which nothing must happen */

/* A connected echo device with rings that aren't set up. */
static void connect_echo(struct fixture *f, unsigned int queues,
			 const struct session_opts *opts)
{
	start_echo(f, queues);
	new_session(f, opts);
	connect_session(f);
	must(session_negotiate(&f->session));
	must(session_share_memory(&f->session));
	must(session_make_rings(&f->session));
}

/* Posts `count` requests without a kick. */
static void post(struct fixture *f, unsigned int queue, unsigned int count)
{
	struct driver_ring *ring = f->session.queues[queue].ring;
	struct driver_buffer buffers[2] = {{.length = 64},
					   {.length = 64, .write = true}};

	while (count-- > 0) {
		buffers[0].gpa = guest_alloc(&f->session.guest, 64, 64);
		buffers[1].gpa = guest_alloc(&f->session.guest, 64, 64);
		assert_true(driver_ring_add(ring, buffers, 2, false) >= 0);
	}
	driver_ring_publish(ring);
}

static void post_and_kick(struct fixture *f, unsigned int queue,
			  unsigned int count)
{
	post(f, queue, count);
	must(session_kick(&f->session, queue));
}

static void must_finish(struct fixture *f, unsigned int queue,
			unsigned int count)
{
	struct driver_used used;

	while (count-- > 0)
		must(session_wait(&f->session, queue, &used));
}

static void must_rest(struct fixture *f, unsigned int queue)
{
	struct driver_used used;

	must(fe_sync(&f->session.fe));
	usleep(MOMENT_MS * 1000);
	assert_int_equal(
	    driver_ring_collect(f->session.queues[queue].ring, &used, 1), 0);
}

static int kick_message(struct fixture *f, unsigned int queue)
{
	return fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, queue,
			       f->session.queues[queue].kick);
}

static int enable(struct fixture *f, unsigned int queue, uint32_t on)
{
	return fe_set_vring(&f->session.fe, FE_SET_VRING_ENABLE, queue, on);
}

static void test_conformance_ring_starts_without_a_kick(void **state)
{
	struct fixture *f = *state;

	connect_echo(f, 1, NULL);
	must(session_setup_queue(&f->session, 0));
	must(enable(f, 0, 1));
	post(f, 0, 3);
	must_rest(f, 0);
	must(kick_message(f, 0));
	must_finish(f, 0, 3);
	must_live(f);
}

static void test_conformance_ring_is_enabled_later(void **state)
{
	struct fixture *f = *state;

	connect_echo(f, 1, NULL);
	must(session_setup_queue(&f->session, 0));
	must(kick_message(f, 0));
	post_and_kick(f, 0, 3);
	must_rest(f, 0);
	must(enable(f, 0, 1));
	must_finish(f, 0, 3);
	must_live(f);
}

static void test_conformance_ring_is_disabled_while_it_runs(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	open_echo(f, 2);
	for (i = 0; i < 5; i++) {
		must_live(f);
		must(enable(f, 0, 0));
		post_and_kick(f, 0, 2);
		must_rest(f, 0);
		must_echo(f, 1, 100);
		must(enable(f, 0, 1));
		must_finish(f, 0, 2);
	}
	must_live(f);
}

static void test_conformance_ring_keeps_enabled_while_stopped(void **state)
{
	struct fixture *f = *state;

	open_echo(f, 1);
	must(session_stop_queue(&f->session, 0));
	must(enable(f, 0, 0));
	must(session_setup_queue(&f->session, 0));
	must(kick_message(f, 0));
	post_and_kick(f, 0, 1);
	must_rest(f, 0);
	must(session_stop_queue(&f->session, 0));
	assert_int_equal(f->session.queues[0].base, 0);
	must(enable(f, 0, 1));
	must_rest(f, 0);
	must(session_setup_queue(&f->session, 0));
	must(kick_message(f, 0));
	must_finish(f, 0, 1);
	must_live(f);
}

/* All that was taken is finished, and only then is the position told. */
static void test_conformance_ring_drains_before_it_stops(void **state)
{
	struct fixture *f = *state;
	struct fe_message message = {
	    .id = FE_GET_VRING_BASE, .flags = FE_VERSION, .size = 8};
	uint8_t payload[8] = {0};
	struct driver_used used[8];
	struct fe_reply reply;

	open_echo(f, 1);
	echo_hold(f->server.echo);
	post_and_kick(f, 0, 5);
	must(echo_wait_held(f->server.echo, 5));
	message.payload = payload;
	message.length = 8;
	must(fe_send(&f->session.fe, &message));
	assert_int_equal(fe_wait_readable(f->session.fe.sock, MOMENT_MS),
			 -ETIMEDOUT);
	echo_release(f->server.echo);
	must(fe_receive_for(&f->session.fe, FE_GET_VRING_BASE, &reply));
	assert_int_equal(reply.size, 8);
	assert_int_equal(get32(reply.payload), 0);
	assert_int_equal(get32(reply.payload + 4), 5);
	assert_int_equal(
	    driver_ring_collect(f->session.queues[0].ring, used, 8), 5);
	f->session.queues[0].base = 5;
	must(session_start_queue(&f->session, 0));
	must_live(f);
}

static void test_conformance_ring_stays_stopped(void **state)
{
	struct fixture *f = *state;
	uint32_t base;

	open_echo(f, 2);
	must_live(f);
	must(session_stop_queue(&f->session, 0));
	assert_int_equal(f->session.queues[0].base, 1);
	post_and_kick(f, 0, 4);
	must_rest(f, 0);
	must_echo(f, 1, 100);
	must(fe_get_vring_base(&f->session.fe, 0, &base));
	assert_int_equal(base, 1);
	must(session_start_queue(&f->session, 0));
	must_finish(f, 0, 4);
	must_live(f);
}

static void test_conformance_ring_restarts_where_it_was(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	open_echo(f, 1);
	for (i = 1; i <= 300; i++) {
		post_and_kick(f, 0, 1);
		must(session_stop_queue(&f->session, 0));
		must(session_start_queue(&f->session, 0));
		must_finish(f, 0, 1);
	}
	must(session_stop_queue(&f->session, 0));
	assert_int_equal(f->session.queues[0].base, 300);
}

static void swap_event(int *fd)
{
	int fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fresh >= 0);
	close(*fd);
	*fd = fresh;
}

static void test_conformance_ring_changes_its_kick(void **state)
{
	struct fixture *f = *state;
	struct session_queue *queue = &f->session.queues[0];
	unsigned int i;

	open_echo(f, 1);
	for (i = 0; i < 50; i++) {
		post_and_kick(f, 0, 1);
		swap_event(&queue->kick);
		must(kick_message(f, 0));
		must_finish(f, 0, 1);
		post_and_kick(f, 0, 1);
		must_finish(f, 0, 1);
	}
	/* to polling and back */
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 0, -1));
	post(f, 0, 1);
	must_finish(f, 0, 1);
	must(kick_message(f, 0));
	must_live(f);
}

/* What was completed before is announced through the new one. */
static void test_conformance_ring_changes_its_call(void **state)
{
	struct fixture *f = *state;
	struct session_queue *queue = &f->session.queues[0];
	unsigned int i;

	open_echo(f, 1);
	for (i = 0; i < 50; i++) {
		post_and_kick(f, 0, 1);
		swap_event(&queue->call);
		must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_CALL, 0,
				     queue->call));
		must_finish(f, 0, 1);
		must_echo(f, 0, 64);
	}
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_CALL, 0, -1));
	post_and_kick(f, 0, 1);
	must(session_stop_queue(&f->session, 0));
	must(session_start_queue(&f->session, 0));
	must_finish(f, 0, 1);
	must_live(f);
}

static void test_conformance_ring_call_arrives_after_the_work(void **state)
{
	struct fixture *f = *state;
	struct session_queue *queue = &f->session.queues[0];
	int call;

	open_echo(f, 1);
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_CALL, 0, -1));
	call = queue->call;
	queue->call = -1; /* polls */
	must_echo(f, 0, 64);
	post_and_kick(f, 0, 1);
	must_finish(f, 0, 1);
	queue->call = call;
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_CALL, 0, call));
	must(fe_wait_readable(call, FE_TIMEOUT_MS));
	must_live(f);
}

static void test_conformance_ring_is_polled(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {.polled = true, .num_queues = 2};
	unsigned int i;

	start_echo(f, 2);
	new_session(f, &opts);
	start_session(f);
	for (i = 0; i < 100; i++)
		must_echo(f, i % 2, 100 + i);
}

/* Where there are no eventfds, front-ends take pipes. */
static void test_conformance_ring_is_kicked_through_a_pipe(void **state)
{
	struct fixture *f = *state;
	struct session_queue *queue = &f->session.queues[0];
	unsigned int i;
	int fds[2];

	open_echo(f, 1);
	must(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 0, fds[0]));
	close(queue->kick);
	queue->kick = fds[1];
	for (i = 0; i < 100; i++)
		must_echo(f, 0, 100);
	close(fds[0]);
}

/* User-Mode Linux takes calls from a socket, and never more than it reads. */
static void test_conformance_ring_calls_through_a_socket(void **state)
{
	struct fixture *f = *state;
	struct session_queue *queue = &f->session.queues[0];
	unsigned int i;
	int fds[2];

	open_echo(f, 1);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_CALL, 0, fds[1]));
	close(fds[1]);
	close(queue->call);
	queue->call = -1; /* polls */
	for (i = 0; i < 2000; i++)
		must_echo(f, 0, 100);
	must(fe_wait_readable(fds[0], FE_TIMEOUT_MS));
	/* Nobody is at the other end any more. */
	close(fds[0]);
	for (i = 0; i < 100; i++)
		must_echo(f, 0, 100);
	must_live(f);
}

/* A socket that has ended makes nobody spin, and can be replaced. */
static void test_conformance_ring_is_kicked_through_a_socket(void **state)
{
	struct fixture *f = *state;
	struct session_queue *queue = &f->session.queues[0];
	unsigned int i;
	int fds[2];

	open_echo(f, 1);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 0, fds[0]));
	close(fds[0]);
	close(queue->kick);
	queue->kick = fds[1];
	for (i = 0; i < 100; i++)
		must_echo(f, 0, 100);
	swap_event(&queue->kick);
	must(
	    fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 0, queue->kick));
	must_echo(f, 0, 100);
	must_live(f);
}

/* Neither can be what it says: the ring must go on nevertheless. */
static void test_conformance_ring_survives_kicks_for_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	open_echo(f, 1);
	for (i = 0; i < 1000; i++)
		must(session_kick(&f->session, 0));
	must_live(f);
	for (i = 0; i < 1000; i++)
		must(kick_message(f, 0));
	must_live(f);
	must_refuse(enable(f, 0, 2));
	must_refuse(enable(f, 0, UINT32_MAX));
	must_live(f);
}

static void test_conformance_ring_settings_while_it_runs(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;

	open_echo(f, 1);
	must_refuse(fe_set_vring(fe, FE_SET_VRING_NUM, 0, 64));
	must_refuse(fe_set_vring(fe, FE_SET_VRING_BASE, 0, 7));
	must(session_set_addr(&f->session, 0, 0));
	f->session.guest.regions[0].user += 4096;
	must_refuse(session_set_addr(&f->session, 0, 0));
	f->session.guest.regions[0].user -= 4096;
	must_live(f);
}

static void test_conformance_ring_features_while_it_runs(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint64_t features, offered;

	open_echo(f, 1);
	features = f->session.features;
	must(fe_set_u64(fe, FE_SET_FEATURES, features));
	must_live(f);
	must_refuse(
	    fe_set_u64(fe, FE_SET_FEATURES, features & ~FE_F_EVENT_IDX));
	must_refuse(fe_set_u64(fe, FE_SET_FEATURES, features & ~FE_F_INDIRECT));
	must_live(f);
	must(fe_get_u64(fe, FE_GET_FEATURES, &offered));
	if (offered & FE_F_LOG_ALL) {
		must(fe_set_u64(fe, FE_SET_FEATURES, features | FE_F_LOG_ALL));
		must_live(f);
		must(fe_set_u64(fe, FE_SET_FEATURES, features));
	}
	must_live(f);
}

static void test_conformance_ring_needs_size_and_address(void **state)
{
	struct fixture *f = *state;
	uint32_t base;

	connect_echo(f, 2, NULL);
	must_refuse(kick_message(f, 0));
	must(fe_set_vring(&f->session.fe, FE_SET_VRING_BASE, 0, 77));
	must(fe_get_vring_base(&f->session.fe, 0, &base));
	assert_int_equal(base, 77);
	must(fe_get_vring_base(&f->session.fe, 1, &base));
	assert_int_equal(base, 0);
	must_refuse(
	    fe_set_vring(&f->session.fe, FE_SET_VRING_BASE, 0, 0x10000));
	must(session_start_queue(&f->session, 0));
	must_echo(f, 0, 100);
}

static void test_conformance_ring_index_wraps(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	connect_echo(f, 1, NULL);
	f->session.queues[0].base = 65530;
	must(session_make_ring(&f->session, 0));
	must(session_start_queue(&f->session, 0));
	for (i = 0; i < 20; i++)
		must_echo(f, 0, 10);
	must(session_stop_queue(&f->session, 0));
	assert_int_equal(f->session.queues[0].base, 14);
	must(session_start_queue(&f->session, 0));
	must_live(f);
}

static void test_conformance_ring_ends_with_a_device_reset(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint32_t base;
	unsigned int i;

	open_echo(f, 2);
	for (i = 0; i < 10; i++) {
		must_live(f);
		echo_hold(f->server.echo);
		post_and_kick(f, 0, 2);
		must(echo_wait_held(f->server.echo, 2));
		echo_release(f->server.echo);
		must(fe_command(fe, FE_RESET_DEVICE));
		post_and_kick(f, 1, 1);
		must_rest(f, 1);
		/* as the driver does after a reset; the memory is still there
		 */
		must(session_make_rings(&f->session));
		must(fe_set_u64(fe, FE_SET_FEATURES, f->session.features));
		must(fe_get_vring_base(fe, 0, &base));
		must(session_start_queues(&f->session));
	}
	must_live(f);
}

static void test_conformance_ring_is_disabled_by_a_device_reset(void **state)
{
	struct fixture *f = *state;

	open_echo(f, 1);
	must(fe_command(&f->session.fe, FE_RESET_DEVICE));
	must(session_make_rings(&f->session));
	must(fe_set_u64(&f->session.fe, FE_SET_FEATURES, f->session.features));
	must(session_setup_queue(&f->session, 0));
	must(kick_message(f, 0));
	post_and_kick(f, 0, 1);
	must_rest(f, 0);
	must(enable(f, 0, 1));
	must_finish(f, 0, 1);
	must_live(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_ring_starts_without_a_kick),
	    fixture_test(test_conformance_ring_is_enabled_later),
	    fixture_test(test_conformance_ring_is_disabled_while_it_runs),
	    fixture_test(test_conformance_ring_keeps_enabled_while_stopped),
	    fixture_test(test_conformance_ring_drains_before_it_stops),
	    fixture_test(test_conformance_ring_stays_stopped),
	    fixture_test(test_conformance_ring_restarts_where_it_was),
	    fixture_test(test_conformance_ring_changes_its_kick),
	    fixture_test(test_conformance_ring_changes_its_call),
	    fixture_test(test_conformance_ring_call_arrives_after_the_work),
	    fixture_test(test_conformance_ring_is_polled),
	    fixture_test(test_conformance_ring_is_kicked_through_a_pipe),
	    fixture_test(test_conformance_ring_is_kicked_through_a_socket),
	    fixture_test(test_conformance_ring_calls_through_a_socket),
	    fixture_test(test_conformance_ring_survives_kicks_for_nothing),
	    fixture_test(test_conformance_ring_settings_while_it_runs),
	    fixture_test(test_conformance_ring_features_while_it_runs),
	    fixture_test(test_conformance_ring_needs_size_and_address),
	    fixture_test(test_conformance_ring_index_wraps),
	    fixture_test(test_conformance_ring_ends_with_a_device_reset),
	    fixture_test(test_conformance_ring_is_disabled_by_a_device_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
