/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Sends the input through a socket pair in the pieces that it asks for, with
 * descriptors where it asks for them, and compares what the channel makes of
 * it with a model: a counter of bytes.
 *
 * Input: pieces, each of a byte that says how many bytes follow (bits 0-5,
 * times 16 if bit 6 is set) and whether two descriptors come with the first
 * of them (bit 7). After the last piece, the peer closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <protocol/channel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_MAX (VH_USER_HEADER_SIZE + VH_USER_MAX_PAYLOAD)
#define FDS	  2

struct state {
	struct vhi_channel *channel;
	int peer;
	int spare; /* a descriptor to send */

	/* the model: the present frame */
	uint8_t frame[FRAME_MAX];
	size_t received;
	unsigned int fds;
	bool failed;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void send_piece(const struct state *state, const uint8_t *data,
		       size_t size, bool with_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS * sizeof(int))];
	} control = {.bytes = {0}};
	const int fds[FDS] = {state->spare, state->spare};
	struct iovec iov = {(void *)data, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (with_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(&control.align), fds, sizeof(fds));
	}
	check(sendmsg(state->peer, &msg, MSG_NOSIGNAL) == (ssize_t)size,
	      "the socket doesn't take a piece");
}

static void expect_error(struct state *state, int error)
{
	struct vh_fault fault = {.text = ""};
	struct vhi_frame frame;
	int ret = vhi_channel_receive(state->channel, &fault, &frame);

	check(ret == error, "not the error that is due");
	check(error == -ENOTCONN || fault.text[0], "an error without words");
	state->failed = true;
}

static void expect_frame(struct state *state, size_t payload_size)
{
	struct vhi_frame frame = {.payload = NULL};
	int fd;

	check(vhi_channel_receive(state->channel, NULL, &frame) == 1,
	      "no frame");
	check(frame.header.size == payload_size, "another payload size");
	check(memcmp(&frame.header, state->frame, VH_USER_HEADER_SIZE) == 0,
	      "another header");
	check(memcmp(frame.payload, state->frame + VH_USER_HEADER_SIZE,
		     payload_size) == 0,
	      "another payload");
	check(frame.fds == state->fds, "another number of descriptors");
	fd = vhi_channel_take_fd(state->channel, 0);
	check((fd >= 0) == (state->fds > 0), "a descriptor is missing");
	if (fd >= 0)
		close(fd);
	vhi_channel_next(state->channel);
	state->received = 0;
	state->fds = 0;
}

/* The bytes of a piece that was sent, one after the other. */
static void expect_bytes(struct state *state, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size && !state->failed; i++) {
		uint32_t payload_size;

		state->frame[state->received++] = data[i];
		if (state->received < VH_USER_HEADER_SIZE)
			continue;
		memcpy(&payload_size, state->frame + 8, sizeof(payload_size));
		if (payload_size > VH_USER_MAX_PAYLOAD)
			expect_error(state, -EPROTO);
		else if (state->received == VH_USER_HEADER_SIZE + payload_size)
			expect_frame(state, payload_size);
	}
}

static void expect_piece(struct state *state, const uint8_t *data, size_t size,
			 bool with_fds)
{
	struct vhi_frame frame;

	if (with_fds && state->received > 0) {
		expect_error(state, -EPROTO);
		return;
	}
	state->fds = with_fds ? FDS : state->fds;
	expect_bytes(state, data, size);
	if (state->failed)
		return;
	check(vhi_channel_receive(state->channel, NULL, &frame) == 0,
	      "more than was sent");
	check(vhi_channel_partial(state->channel) == (state->received > 0),
	      "not where it should be");
}

static void run(struct state *state, const uint8_t *data, size_t size)
{
	while (size > 0 && !state->failed) {
		size_t piece = data[0] & 0x3f;
		bool with_fds = data[0] & 0x80;

		if (data[0] & 0x40)
			piece *= 16;
		data++;
		size--;
		if (piece > size)
			piece = size;
		if (piece == 0)
			continue;
		send_piece(state, data, piece, with_fds);
		expect_piece(state, data, piece, with_fds);
		data += piece;
		size -= piece;
	}
	close(state->peer);
	if (!state->failed)
		expect_error(state, state->received ? -EPROTO : -ENOTCONN);
}

/* Which of the numbers 0 to 63 are open. */
static uint64_t open_fds(void)
{
	uint64_t fds = 0;

	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			fds |= UINT64_C(1) << fd;
	return fds;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t before = open_fds();
	struct state state = {.spare = open("/dev/null", O_RDWR)};
	int sockets[2];

	check(state.spare >= 0, "no /dev/null");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0, "no sockets");
	check(vhi_channel_new(sockets[0], &state.channel) == 0, "no channel");
	state.peer = sockets[1];
	run(&state, data, size);
	vhi_channel_free(state.channel);
	close(state.spare);
	check(open_fds() == before, "a descriptor leaked");
	return 0;
}
