/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A channel moves frames (header, payload, descriptors) over a Unix stream
 * socket. It owns the socket, partial reads and writes, and every descriptor
 * that came in until somebody takes it.
 *
 * It never blocks, unless asked to with one of the _wait functions.
 */
#ifndef PROTOCOL_CHANNEL_H
#define PROTOCOL_CHANNEL_H

#include <libvhost/protocol.h>

/* What the kernel passes at most in one message; the surplus is closed. */
#define VHI_CHANNEL_MAX_FDS 253

struct vhi_frame {
	struct vh_message_header header;
	const uint8_t *payload; /* header.size bytes, until the next receive */
	unsigned int fds;	/* how many came, at most 253 */
};

struct vhi_channel;

/*
 * Takes over socket (also on failure it stays the caller's), which becomes
 * non-blocking and close-on-exec. Something that isn't a socket (a pipe, as
 * User-Mode Linux gives for back-end requests) can be used to send without
 * descriptors. -ENOMEM.
 */
int vhi_channel_new(int socket, struct vhi_channel **ret_channel);
void vhi_channel_free(struct vhi_channel *channel);
int vhi_channel_fd(const struct vhi_channel *channel);

/*
 * Receives without waiting. Returns 1 with *ret_frame when a frame is
 * complete (it stays until vhi_channel_next()), 0 when more must come,
 * -ENOTCONN when the peer closed between two frames, or a negative errno
 * with words in *fault: -EPROTO (end of file in a frame, a payload larger
 * than VH_USER_MAX_PAYLOAD, descriptors that came with another byte than a
 * frame's first, descriptors that were lost because we have too many).
 * After a negative value the channel is only good to be freed.
 */
int vhi_channel_receive(struct vhi_channel *channel, struct vh_fault *fault,
			struct vhi_frame *ret_frame);

/* The same, but waits up to timeout_ms for a whole frame: -ETIMEDOUT. */
int vhi_channel_receive_wait(struct vhi_channel *channel, int timeout_ms,
			     struct vh_fault *fault,
			     struct vhi_frame *ret_frame);

/* True in the middle of a frame: what came is neither nothing nor whole. */
bool vhi_channel_partial(const struct vhi_channel *channel);

/* Takes descriptor number index of the present frame: the caller's from now
 * on; -1 if there is none or it was taken. */
int vhi_channel_take_fd(struct vhi_channel *channel, unsigned int index);

/* Done with the present frame: closes descriptors that nobody took. */
void vhi_channel_next(struct vhi_channel *channel);

/*
 * Sends a frame (an encoded message) with descriptors, which stay the
 * caller's. Returns 0 when it is out, 1 when a rest waits for the socket
 * (vhi_channel_flush() when it is writable), or a negative errno: -EBUSY
 * while an earlier rest waits. Never raises SIGPIPE on a socket.
 */
int vhi_channel_send(struct vhi_channel *channel, const uint8_t *bytes,
		     size_t size, const int fds[], unsigned int fd_count);
int vhi_channel_flush(struct vhi_channel *channel);
bool vhi_channel_sending(const struct vhi_channel *channel);

/* The same, but waits up to timeout_ms until it is out: -ETIMEDOUT. */
int vhi_channel_send_wait(struct vhi_channel *channel, const uint8_t *bytes,
			  size_t size, const int fds[], unsigned int fd_count,
			  int timeout_ms);

#endif
