/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Sending frames: what waits, what goes with the first byte, what breaks. */
#include "channel_support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

static ino_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void test_protocol_channel_send_whole(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	uint8_t got[FRAME_MAX + 1];
	int pipes[2];
	int fds[8];
	unsigned int count;
	size_t size = make_frame(frame, 44, 2056);

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(vhi_channel_send(pair->channel, frame, size, pipes, 2),
			 0);
	assert_false(vhi_channel_sending(pair->channel));
	assert_int_equal(vhi_channel_flush(pair->channel), 0);
	assert_int_equal(
	    peer_receive(pair->peer, got, sizeof(got), fds, &count), size);
	assert_memory_equal(got, frame, size);
	assert_int_equal(count, 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(inode_of(fds[i]), inode_of(pipes[i]));
		close(fds[i]);
		/* and ours is still ours */
		assert_int_equal(close(pipes[i]), 0);
	}
}

static void test_protocol_channel_send_refuses(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[FRAME_MAX + 1] = {0};
	const int nine[9] = {0};

	assert_int_equal(vhi_channel_send(pair->channel, bytes, 0, NULL, 0),
			 -EINVAL);
	assert_int_equal(
	    vhi_channel_send(pair->channel, bytes, sizeof(bytes), NULL, 0),
	    -EINVAL);
	assert_int_equal(vhi_channel_send(pair->channel, bytes, 12, nine, 9),
			 -EINVAL);
	assert_int_equal(calls.sends, 0);
	assert_false(vhi_channel_sending(pair->channel));
}

/* The socket takes most bytes at a time and has no room at the given send. */
static void send_in_pieces(void **state, size_t most, unsigned int full_at)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	uint8_t got[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);
	unsigned int before = open_descriptors();
	size_t at = 0;
	int copy = dup(STDIN_FILENO);
	int fds[8];
	unsigned int count;
	int ret;

	assert_true(copy >= 0);
	memset(&calls, 0, sizeof(calls));
	calls.most = most;
	calls.full_at = full_at;
	ret = vhi_channel_send(pair->channel, frame, size, &copy, 1);
	/* the caller may do what he likes with his bytes and descriptors */
	close(copy);
	memset(frame, 0xee, size);
	if (ret == 1) {
		assert_true(vhi_channel_sending(pair->channel));
		assert_int_equal(
		    vhi_channel_send(pair->channel, frame, size, NULL, 0),
		    -EBUSY);
		/* one that waits if nothing went out, else none */
		assert_int_equal(open_descriptors(), before + (full_at == 1));
		ret = vhi_channel_flush(pair->channel);
	}
	assert_int_equal(ret, 0);
	assert_false(vhi_channel_sending(pair->channel));
	make_frame(frame, 9, 40);
	while (at < size) {
		size_t n = peer_receive(pair->peer, got + at,
					at == 0 ? 1 : size - at, fds, &count);

		assert_true(n > 0);
		assert_int_equal(count, at == 0 ? 1 : 0);
		at += n;
		while (count)
			close(fds[--count]);
	}
	assert_memory_equal(got, frame, size);
	assert_int_equal(peer_receive(pair->peer, got, 1, fds, &count), 0);
	assert_int_equal(open_descriptors(), before);
}

static void test_protocol_channel_send_in_pieces(void **state)
{
	for (size_t most = 1; most <= 53; most++)
		for (unsigned int full_at = 0; full_at <= 53; full_at++)
			send_in_pieces(state, most, full_at);
}

/* Twice in a row no room: the descriptors wait on. */
static void test_protocol_channel_send_waits_twice(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);
	const int fd = STDIN_FILENO;
	unsigned int before = open_descriptors();
	int fds[8];
	unsigned int count;

	calls.full_at = 1;
	assert_int_equal(vhi_channel_send(pair->channel, frame, size, &fd, 1),
			 1);
	calls.full_at = 2;
	assert_int_equal(vhi_channel_flush(pair->channel), 1);
	assert_int_equal(open_descriptors(), before + 1);
	assert_int_equal(vhi_channel_flush(pair->channel), 0);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(peer_receive(pair->peer, frame, size, fds, &count),
			 size);
	assert_int_equal(count, 1);
	close(fds[0]);
}

/* Fills the socket with frames; the last one waits. */
static unsigned int fill(struct pair *pair, uint8_t *frame, size_t size)
{
	unsigned int frames = 0;
	int ret = 0;

	while (ret == 0) {
		make_frame(frame, frames, (uint32_t)size - 12);
		ret = vhi_channel_send(pair->channel, frame, size, NULL, 0);
		frames++;
		assert_true(frames < 100000);
	}
	assert_int_equal(ret, 1);
	return frames;
}

static void drain(struct pair *pair, size_t size, unsigned int first,
		  unsigned int end)
{
	uint8_t frame[FRAME_MAX];
	uint8_t got[FRAME_MAX];
	unsigned int count;

	for (unsigned int i = first; i < end; i++) {
		make_frame(frame, i, (uint32_t)size - 12);
		assert_int_equal(
		    peer_receive(pair->peer, got, size, NULL, &count), size);
		assert_memory_equal(got, frame, size);
	}
}

static void test_protocol_channel_send_to_a_full_socket(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	unsigned int frames = fill(pair, frame, 300);

	assert_int_equal(vhi_channel_flush(pair->channel), 1);
	assert_int_equal(vhi_channel_send(pair->channel, frame, 300, NULL, 0),
			 -EBUSY);
	drain(pair, 300, 0, frames - 1);
	assert_int_equal(vhi_channel_flush(pair->channel), 0);
	drain(pair, 300, frames - 1, frames);
}

static void test_protocol_channel_send_times_out(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	unsigned int frames = fill(pair, frame, 300);

	calls.interruptions = 1;
	assert_int_equal(
	    vhi_channel_send_wait(pair->channel, frame, 300, NULL, 0, 20),
	    -ETIMEDOUT);
	assert_int_equal(
	    vhi_channel_send_wait(pair->channel, frame, 300, NULL, 0, 0),
	    -ETIMEDOUT);
	assert_true(calls.polls <= 3);
	/* what waited before is still there, and only that */
	drain(pair, 300, 0, frames - 1);
	make_frame(frame, frames, 288);
	assert_int_equal(vhi_channel_send_wait(pair->channel, frame, 300, NULL,
					       0, GENEROUS_MS),
			 0);
	drain(pair, 300, frames - 1, frames + 1);
}

struct reader {
	int fd;
	size_t bytes;
};

static void *read_all(void *arg)
{
	struct reader *reader = arg;
	uint8_t bytes[1000];
	ssize_t n;

	while (reader->bytes > 0) {
		n = read(reader->fd, bytes,
			 reader->bytes < 1000 ? reader->bytes : 1000);
		if (n <= 0)
			return arg;
		reader->bytes -= (size_t)n;
	}
	return NULL;
}

static void test_protocol_channel_send_waits_for_room(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	unsigned int frames = fill(pair, frame, 300);
	struct reader reader = {pair->peer, (size_t)300 * (frames + 1000)};
	pthread_t thread;
	void *failed;

	assert_int_equal(fcntl(pair->peer, F_SETFL, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_all, &reader), 0);
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(vhi_channel_send_wait(pair->channel, frame,
						       300, NULL, 0,
						       GENEROUS_MS),
				 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
}

static void test_protocol_channel_send_to_nobody(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	unsigned int before;

	fill(pair, frame, 300);
	before = open_descriptors();
	close(pair->peer);
	pair->peer = -1;
	/* SIGPIPE would end the test */
	assert_int_equal(vhi_channel_flush(pair->channel), -EPIPE);
	assert_false(vhi_channel_sending(pair->channel));
	assert_int_equal(vhi_channel_send(pair->channel, frame, 300, NULL, 0),
			 -EPIPE);
	assert_int_equal(vhi_channel_send_wait(pair->channel, frame, 300, NULL,
					       0, GENEROUS_MS),
			 -EPIPE);
	assert_int_equal(open_descriptors(), before - 1);
}

static void test_protocol_channel_send_breaks(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);
	const int fd = STDIN_FILENO;
	unsigned int before = open_descriptors();

	calls.broken_at = 1;
	assert_int_equal(vhi_channel_send(pair->channel, frame, size, &fd, 1),
			 -ENOBUFS);
	assert_false(vhi_channel_sending(pair->channel));
	calls.full_at = 2;
	assert_int_equal(vhi_channel_send(pair->channel, frame, size, &fd, 1),
			 1);
	calls.broken_at = 3;
	assert_int_equal(vhi_channel_flush(pair->channel), -ENOBUFS);
	assert_false(vhi_channel_sending(pair->channel));
	assert_int_equal(open_descriptors(), before);
}

/* A descriptor that can't be kept: nothing went out, nothing is left. */
static void test_protocol_channel_send_bad_descriptor(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);
	const int fds[] = {STDIN_FILENO, -1};
	unsigned int before = open_descriptors();

	assert_int_equal(vhi_channel_send(pair->channel, frame, size, fds, 2),
			 -EBADF);
	calls.full_at = 2;
	assert_int_equal(vhi_channel_send(pair->channel, frame, size, fds, 2),
			 -EBADF);
	assert_false(vhi_channel_sending(pair->channel));
	assert_int_equal(open_descriptors(), before);
}

static void test_protocol_channel_send_freed_meanwhile(void **state)
{
	struct pair *pair = *state;
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 9, 40);
	const int fds[] = {0, 0, 0, 0, 0, 0, 0, 0};

	calls.full_at = 1;
	assert_int_equal(vhi_channel_send(pair->channel, frame, size, fds, 8),
			 1);
	/* the teardown looks for what is left */
}

static struct vhi_channel *pipe_channel(int pipes[2])
{
	struct vhi_channel *channel;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(vhi_channel_new(pipes[1], &channel), 0);
	return channel;
}

static void test_protocol_channel_send_to_a_pipe(void **state)
{
	uint8_t frame[FRAME_MAX];
	uint8_t got[FRAME_MAX];
	size_t size = make_frame(frame, 2, 0);
	const int fd = STDIN_FILENO;
	int pipes[2];
	struct vhi_channel *channel = pipe_channel(pipes);
	struct vhi_frame nothing;
	unsigned int frames = 0;

	(void)state;
	assert_int_equal(vhi_channel_send(channel, frame, size, &fd, 1),
			 -ENOTSOCK);
	assert_int_equal(vhi_channel_receive(channel, NULL, &nothing),
			 -ENOTSOCK);
	assert_true(fcntl(pipes[1], F_SETPIPE_SZ, 4096) >= 0);
	size = make_frame(frame, 2, 1000);
	while (vhi_channel_send(channel, frame, size, NULL, 0) == 0)
		frames++;
	assert_true(frames > 0);
	assert_true(vhi_channel_sending(channel));
	while (frames-- > 0) {
		assert_int_equal(read(pipes[0], got, size), size);
		assert_memory_equal(got, frame, size);
	}
	assert_int_equal(vhi_channel_flush(channel), 0);
	assert_int_equal(read(pipes[0], got, size), size);
	assert_memory_equal(got, frame, size);
	vhi_channel_free(channel);
	close(pipes[0]);
}

static bool sigpipe_pending(void)
{
	sigset_t pending;

	assert_int_equal(sigpending(&pending), 0);
	return sigismember(&pending, SIGPIPE) == 1;
}

/* Nobody reads the pipe: an error, and the process lives. */
static void test_protocol_channel_send_to_a_broken_pipe(void **state)
{
	uint8_t frame[FRAME_MAX];
	size_t size = make_frame(frame, 2, 0);
	int pipes[2];
	struct vhi_channel *channel = pipe_channel(pipes);
	sigset_t signals;
	sigset_t old;

	(void)state;
	close(pipes[0]);
	assert_int_equal(vhi_channel_send(channel, frame, size, NULL, 0),
			 -EPIPE);
	assert_false(sigpipe_pending());
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &old), 0);
	assert_int_equal(sigismember(&old, SIGPIPE), 0);

	/* one that was pending before is somebody else's */
	sigemptyset(&signals);
	sigaddset(&signals, SIGPIPE);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &signals, &old), 0);
	assert_int_equal(pthread_kill(pthread_self(), SIGPIPE), 0);
	assert_int_equal(vhi_channel_send(channel, frame, size, NULL, 0),
			 -EPIPE);
	assert_true(sigpipe_pending());
	assert_int_equal(sigwaitinfo(&signals, NULL), SIGPIPE);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	vhi_channel_free(channel);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)

const struct CMUnitTest send_tests[] = {
    TEST(test_protocol_channel_send_whole),
    TEST(test_protocol_channel_send_refuses),
    TEST(test_protocol_channel_send_in_pieces),
    TEST(test_protocol_channel_send_waits_twice),
    TEST(test_protocol_channel_send_to_a_full_socket),
    TEST(test_protocol_channel_send_times_out),
    TEST(test_protocol_channel_send_waits_for_room),
    TEST(test_protocol_channel_send_to_nobody),
    TEST(test_protocol_channel_send_breaks),
    TEST(test_protocol_channel_send_bad_descriptor),
    TEST(test_protocol_channel_send_freed_meanwhile),
    TEST(test_protocol_channel_send_to_a_pipe),
    TEST(test_protocol_channel_send_to_a_broken_pipe),
};
const size_t send_test_count = COUNT(send_tests);
