/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Descriptors that come with frames: who owns them, and when they don't
 * belong there. */
#include "channel_support.h"

#include <sys/resource.h>
#include <sys/stat.h>

static void test_protocol_channel_fds_taken_once(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 5, 16);
	unsigned int before = open_descriptors();
	int fd;

	assert_int_equal(vhi_channel_take_fd(pair->channel, 0), -1);
	peer_send(pair->peer, frame, size, pair->peer, 3);
	receives_frame(pair->channel, frame, size, 3);
	assert_int_equal(open_descriptors(), before + 3);
	fd = vhi_channel_take_fd(pair->channel, 1);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(vhi_channel_take_fd(pair->channel, 1), -1);
	assert_int_equal(vhi_channel_take_fd(pair->channel, 3), -1);
	assert_int_equal(vhi_channel_take_fd(pair->channel, UINT32_MAX), -1);
	/* the frame still says how many came */
	receives_frame(pair->channel, frame, size, 3);
	vhi_channel_next(pair->channel);
	assert_int_equal(open_descriptors(), before + 1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(vhi_channel_take_fd(pair->channel, 0), -1);
}

static void test_protocol_channel_fds_keep_their_order(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 5, 16);
	int pipes[2];
	struct stat sent;
	struct stat got;
	int fd;

	assert_int_equal(pipe(pipes), 0);
	peer_send(pair->peer, frame, size, pipes[0], 1);
	receives_frame(pair->channel, frame, size, 1);
	fd = vhi_channel_take_fd(pair->channel, 0);
	assert_int_equal(fstat(pipes[0], &sent), 0);
	assert_int_equal(fstat(fd, &got), 0);
	assert_int_equal(sent.st_ino, got.st_ino);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_protocol_channel_fds_any_number(void **state)
{
	static const unsigned int numbers[] = {0, 1, 8, 9, 64, 252, 253};
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 5, 16);
	unsigned int before = open_descriptors();

	for (size_t i = 0; i < COUNT(numbers); i++) {
		peer_send(pair->peer, frame, size, STDIN_FILENO, numbers[i]);
		receives_frame(pair->channel, frame, size, numbers[i]);
		assert_int_equal(open_descriptors(), before + numbers[i]);
		vhi_channel_next(pair->channel);
		assert_int_equal(open_descriptors(), before);
	}
}

/* Freed in the middle of a frame, and with a whole one. */
static void test_protocol_channel_fds_closed_with_it(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 5, 16);

	for (size_t at = 1; at <= size; at++) {
		peer_send(pair->peer, frame, at, STDIN_FILENO, 8);
		if (at < size)
			receives_nothing(pair->channel);
		else
			receives_frame(pair->channel, frame, size, 8);
		assert_int_equal(pair_teardown(state), 0);
		assert_int_equal(pair_setup(state), 0);
	}
}

static void test_protocol_channel_fds_with_the_first_byte(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 5, 16);

	for (size_t at = 1; at <= size; at++) {
		peer_send(pair->peer, frame, at, STDIN_FILENO, 2);
		if (at < size) {
			receives_nothing(pair->channel);
			peer_send(pair->peer, frame + at, size - at, -1, 0);
		}
		receives_frame(pair->channel, frame, size, 2);
		vhi_channel_next(pair->channel);
	}
}

static void test_protocol_channel_fds_with_another_byte(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 5, 16);
	unsigned int before = open_descriptors();

	for (size_t at = 1; at < size; at++) {
		/* whether the first byte had some or not */
		peer_send(pair->peer, frame, at, STDIN_FILENO, at % 2);
		receives_nothing(pair->channel);
		peer_send(pair->peer, frame + at, size - at, STDIN_FILENO, 3);
		receive_fails(pair->channel, -EPROTO, VH_FAULT_MSG_FDS,
			      "3 descriptors came with byte");
		assert_int_equal(open_descriptors(), before);
		assert_int_equal(pair_teardown(state), 0);
		assert_int_equal(pair_setup(state), 0);
	}
}

/* Descriptors of the next frame stay with it. */
static void test_protocol_channel_fds_of_the_next_frame(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];

	for (uint32_t payload = 0; payload <= 40; payload += 8) {
		size_t size = make_frame(frame, 5, payload);

		peer_send(pair->peer, frame, size, -1, 0);
		peer_send(pair->peer, frame, size, STDIN_FILENO, 2);
		peer_send(pair->peer, frame, size, STDIN_FILENO, 1);
		receives_frame(pair->channel, frame, size, 0);
		vhi_channel_next(pair->channel);
		receives_frame(pair->channel, frame, size, 2);
		vhi_channel_next(pair->channel);
		receives_frame(pair->channel, frame, size, 1);
		vhi_channel_next(pair->channel);
	}
}

/* The kernel cuts off what our table of descriptors has no room for. */
static void test_protocol_channel_fds_lost(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 5, 16);
	unsigned int before = open_descriptors();
	struct rlimit limit;
	struct rlimit tight;
	int highest = dup(STDIN_FILENO);
	struct vh_fault fault = {.text = ""};
	struct vhi_frame got;
	int ret;

	assert_true(highest >= 0);
	close(highest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	peer_send(pair->peer, frame, size, STDIN_FILENO, 8);
	tight = limit;
	tight.rlim_cur = (rlim_t)highest + 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	ret = vhi_channel_receive(pair->channel, &fault, &got);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(ret, -EPROTO);
	assert_int_equal(fault.code, VH_FAULT_MSG_FDS);
	assert_non_null(strstr(fault.text, "lost"));
	assert_int_equal(open_descriptors(), before);
}

static void test_protocol_channel_fds_never_leak(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 5, 16);
	unsigned int before = open_descriptors();

	for (unsigned int i = 0; i < 10000; i++) {
		peer_send(pair->peer, frame, size, STDIN_FILENO, i % 10);
		receives_frame(pair->channel, frame, size, i % 10);
		close(vhi_channel_take_fd(pair->channel, i % 7));
		vhi_channel_next(pair->channel);
	}
	assert_int_equal(open_descriptors(), before);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)

const struct CMUnitTest fd_tests[] = {
    TEST(test_protocol_channel_fds_taken_once),
    TEST(test_protocol_channel_fds_keep_their_order),
    TEST(test_protocol_channel_fds_any_number),
    TEST(test_protocol_channel_fds_closed_with_it),
    TEST(test_protocol_channel_fds_with_the_first_byte),
    TEST(test_protocol_channel_fds_with_another_byte),
    TEST(test_protocol_channel_fds_of_the_next_frame),
    TEST(test_protocol_channel_fds_lost),
    TEST(test_protocol_channel_fds_never_leak),
};
const size_t fd_test_count = COUNT(fd_tests);
