/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Receiving frames, in whatever pieces they come. */
#include "channel_support.h"

#include <pthread.h>
#include <time.h>

static void test_protocol_channel_byte_at_a_time(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);

	assert_false(vhi_channel_partial(pair->channel));
	receives_nothing(pair->channel);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < size - 1; i++) {
			peer_send(pair->peer, frame + i, 1, -1, 0);
			receives_nothing(pair->channel);
			assert_true(vhi_channel_partial(pair->channel));
		}
		peer_send(pair->peer, frame + size - 1, 1, -1, 0);
		receives_frame(pair->channel, frame, size, 0);
		vhi_channel_next(pair->channel);
	}
}

static void test_protocol_channel_split_everywhere(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);

	for (size_t at = 1; at < size; at++) {
		peer_send(pair->peer, frame, at, -1, 0);
		receives_nothing(pair->channel);
		assert_true(vhi_channel_partial(pair->channel));
		peer_send(pair->peer, frame + at, size - at, -1, 0);
		receives_frame(pair->channel, frame, size, 0);
		vhi_channel_next(pair->channel);
		assert_false(vhi_channel_partial(pair->channel));
	}
}

/* All in one piece: each comes by itself. */
static void test_protocol_channel_many_at_once(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[10 * FRAME_MAX];
	size_t starts[11] = {0};

	for (unsigned int i = 0; i < 10; i++)
		starts[i + 1] =
		    starts[i] + make_frame(bytes + starts[i], i + 1, i * 5);
	peer_send(pair->peer, bytes, starts[10], -1, 0);
	for (unsigned int i = 0; i < 10; i++) {
		receives_frame(pair->channel, bytes + starts[i],
			       starts[i + 1] - starts[i], 0);
		vhi_channel_next(pair->channel);
	}
	receives_nothing(pair->channel);
	assert_false(vhi_channel_partial(pair->channel));
}

static void test_protocol_channel_keeps_the_frame_until_next(void **state)
{
	struct pair *pair = *state;
	uint8_t one[FRAME_MAX];
	uint8_t two[FRAME_MAX];
	size_t one_size = make_frame(one, 1, 8);
	size_t two_size = make_frame(two, 2, 0);

	peer_send(pair->peer, one, one_size, -1, 0);
	peer_send(pair->peer, two, two_size, -1, 0);
	receives_frame(pair->channel, one, one_size, 0);
	receives_frame(pair->channel, one, one_size, 0);
	vhi_channel_next(pair->channel);
	receives_frame(pair->channel, two, two_size, 0);
	vhi_channel_next(pair->channel);
	/* nothing is thrown away by one call too many */
	peer_send(pair->peer, one, 5, -1, 0);
	receives_nothing(pair->channel);
	vhi_channel_next(pair->channel);
	peer_send(pair->peer, one + 5, one_size - 5, -1, 0);
	receives_frame(pair->channel, one, one_size, 0);
}

static void test_protocol_channel_payload_limits(void **state)
{
	static const uint32_t sizes[] = {2057, 4096, 0x80000000, 0xffffffff};
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 44, 2056);

	peer_send(pair->peer, frame, size, -1, 0);
	receives_frame(pair->channel, frame, size, 0);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(pair_teardown(state), 0);
		assert_int_equal(pair_setup(state), 0);
		memcpy(frame + 8, &sizes[i], 4);
		peer_send(pair->peer, frame, 12, -1, 0);
		receive_fails(pair->channel, -EPROTO, VH_FAULT_MSG_SIZE,
			      "request 44: payload of");
	}
}

static void test_protocol_channel_end_of_file(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);

	for (size_t at = 0; at <= size; at++) {
		if (at > 0)
			peer_send(pair->peer, frame, at, STDIN_FILENO, 1);
		close(pair->peer);
		pair->peer = -1;
		if (at == size) {
			receives_frame(pair->channel, frame, size, 1);
			vhi_channel_next(pair->channel);
		}
		if (at == 0 || at == size)
			receive_fails(pair->channel, -ENOTCONN, 0, "");
		else
			receive_fails(pair->channel, -EPROTO, VH_FAULT_MSG_EOF,
				      "bytes of a message");
		assert_int_equal(pair_teardown(state), 0);
		assert_int_equal(pair_setup(state), 0);
	}
}

/* A peer that leaves without reading makes the socket say "reset". */
static void test_protocol_channel_reset_by_peer(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);

	for (size_t at = 0; at < 20; at += 7) {
		assert_int_equal(
		    vhi_channel_send(pair->channel, frame, size, NULL, 0), 0);
		if (at > 0)
			peer_send(pair->peer, frame, at, -1, 0);
		close(pair->peer);
		pair->peer = -1;
		if (at == 0)
			receive_fails(pair->channel, -ENOTCONN, 0, "");
		else
			receive_fails(pair->channel, -EPROTO, VH_FAULT_MSG_EOF,
				      "bytes of a message");
		assert_int_equal(pair_teardown(state), 0);
		assert_int_equal(pair_setup(state), 0);
	}
}

static void test_protocol_channel_interrupted(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);
	uint8_t got[FRAME_MAX];
	unsigned int fds;

	calls.interruptions = 3;
	peer_send(pair->peer, frame, size, -1, 0);
	receives_frame(pair->channel, frame, size, 0);
	assert_int_equal(calls.receives, 2);
	assert_int_equal(vhi_channel_send(pair->channel, frame, size, NULL, 0),
			 0);
	assert_int_equal(calls.sends, 1);
	assert_int_equal(peer_receive(pair->peer, got, size, NULL, &fds), size);
	assert_memory_equal(got, frame, size);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void times_out(struct vhi_channel *channel, int timeout_ms,
		      const char *words)
{
	struct vhi_frame got = {.fds = 77};
	struct vh_fault fault = {.text = ""};
	int64_t start = now_ms();

	assert_int_equal(
	    vhi_channel_receive_wait(channel, timeout_ms, &fault, &got),
	    -ETIMEDOUT);
	assert_true(now_ms() - start >= timeout_ms);
	assert_int_equal(got.fds, 77);
	assert_int_equal(fault.code, VH_FAULT_MSG_TIMEOUT);
	assert_int_equal(fault.error, -ETIMEDOUT);
	assert_string_equal(fault.text, words);
}

static void test_protocol_channel_receive_times_out(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];

	make_frame(frame, 9, 40);
	times_out(pair->channel, 0, "0 bytes of a message came within 0 ms");
	assert_int_equal(calls.polls, 0);
	times_out(pair->channel, 20, "0 bytes of a message came within 20 ms");
	/* it waits, it doesn't look again and again */
	assert_true(calls.polls <= 3);
	calls.interruptions = 2;
	times_out(pair->channel, 20, "0 bytes of a message came within 20 ms");
	peer_send(pair->peer, frame, 15, -1, 0);
	times_out(pair->channel, 20, "15 bytes of a message came within 20 ms");
}

struct slow_peer {
	int fd;
	const uint8_t *bytes;
	size_t size;
};

static void *send_slowly(void *arg)
{
	const struct slow_peer *peer = arg;
	const struct timespec nap = {0, 200000};

	for (size_t i = 0; i < peer->size; i++) {
		if (write(peer->fd, peer->bytes + i, 1) != 1)
			return arg;
		nanosleep(&nap, NULL);
	}
	return NULL;
}

static void test_protocol_channel_waits_for_a_slow_peer(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);
	struct slow_peer peer = {pair->peer, frame, size};
	struct vhi_frame got;
	pthread_t thread;
	void *failed;

	assert_int_equal(pthread_create(&thread, NULL, send_slowly, &peer), 0);
	assert_int_equal(
	    vhi_channel_receive_wait(pair->channel, GENEROUS_MS, NULL, &got),
	    1);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	assert_memory_equal(got.payload, frame + 12, 40);
	/* never more often than there is something new */
	assert_true(calls.polls <= size + 1);
}

static void test_protocol_channel_wait_sees_the_end(void **state)
{
	struct pair *pair = *state;
	struct vhi_frame got;

	close(pair->peer);
	pair->peer = -1;
	assert_int_equal(
	    vhi_channel_receive_wait(pair->channel, GENEROUS_MS, NULL, &got),
	    -ENOTCONN);
}

static void test_protocol_channel_new_and_free(void **state)
{
	struct vhi_channel *channel = (void *)state;
	int sockets[2];

	vhi_channel_free(NULL);
	assert_int_equal(vhi_channel_new(-1, &channel), -EBADF);
	assert_ptr_equal(channel, state);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	calls.no_memory = true;
	assert_int_equal(vhi_channel_new(sockets[0], &channel), -ENOMEM);
	calls.no_memory = false;
	assert_ptr_equal(channel, state);
	/* still the caller's */
	assert_int_equal(write(sockets[0], "x", 1), 1);

	memset(&calls, 0, sizeof(calls));
	assert_int_equal(vhi_channel_new(sockets[0], &channel), 0);
	assert_int_equal(vhi_channel_fd(channel), sockets[0]);
	assert_int_equal(fcntl(sockets[0], F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(sockets[0], F_GETFL) & O_NONBLOCK);
	/* many idle ones must cost little */
	assert_int_equal(calls.callocs, 1);
	assert_true(calls.calloc_size < 6 * 1024);
	vhi_channel_free(channel);
	assert_int_equal(fcntl(sockets[0], F_GETFD), -1);
	close(sockets[1]);
}

static int run(const char *name, const struct CMUnitTest *tests, size_t count)
{
	return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_protocol_channel_byte_at_a_time),
	    TEST(test_protocol_channel_split_everywhere),
	    TEST(test_protocol_channel_many_at_once),
	    TEST(test_protocol_channel_keeps_the_frame_until_next),
	    TEST(test_protocol_channel_payload_limits),
	    TEST(test_protocol_channel_end_of_file),
	    TEST(test_protocol_channel_reset_by_peer),
	    TEST(test_protocol_channel_interrupted),
	    TEST(test_protocol_channel_receive_times_out),
	    TEST(test_protocol_channel_waits_for_a_slow_peer),
	    TEST(test_protocol_channel_wait_sees_the_end),
	    TEST(test_protocol_channel_new_and_free),
	};
	int failed = run("channel", tests, COUNT(tests));

	failed += run("channel fds", fd_tests, fd_test_count);
	failed += run("channel send", send_tests, send_test_count);
	return failed;
}
