/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The server from its socket inwards: a script of messages, most of them
 * well-formed enough to get past the decoder, with real memory behind some
 * of their descriptors, against a device in the same thread. After each
 * script a second front-end must be served as if nothing had happened.
 *
 * A step is 4 bytes, then the payload: request id, flags (bits 0-3: number of
 * descriptors, bit 4: NEED_REPLY, bit 5: a wrong version, bit 6: kick after
 * it), payload size (16 bits).
 */
#include <errno.h>
#include <fcntl.h>
#include <libvhost/libvhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMORY_SIZE 65536
#define MOST_FDS    10
#define MOST_STEPS  64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		__builtin_trap();
}

static void process(void *user, struct vh_queue *queue,
		    struct vh_chain *chains[], unsigned int count)
{
	(void)user;
	for (unsigned int i = 0; i < count; i++) {
		struct vh_chain *chain = chains[i];

		for (unsigned int j = 0; j < chain->writable_count; j++)
			memset(chain->writable[j].iov_base, 0x5a,
			       chain->writable[j].iov_len);
		vh_queue_complete(queue, chain, chain->writable_size);
	}
}

static int get_config(void *user, uint32_t offset, void *buffer, uint32_t size)
{
	(void)user, (void)offset;
	memset(buffer, 1, size);
	return 0;
}

static int set_config(void *user, uint32_t offset, const void *buffer,
		      uint32_t size, uint32_t by)
{
	(void)user, (void)buffer, (void)size, (void)by;
	return offset & 1 ? -EACCES : 0;
}

static struct vh_backend *new_backend(void)
{
	VH_OPTS(vh_device_ops, ops);
	VH_OPTS(vh_device_opts, opts);
	struct vh_backend *backend;

	ops.process = process;
	ops.get_config = get_config;
	ops.set_config = set_config;
	opts.num_queues = 3;
	opts.features = VH_F_ACCESS_PLATFORM | VH_F_IN_ORDER;
	opts.config_size = 64;
	require(vh_device_new(&ops, &opts, NULL, &backend) == 0);
	return backend;
}

struct peer {
	struct vh_backend *backend;
	struct vh_user_server *server;
	int socket;
	int memory;
	int event;
	int reverse[2]; /* our end, and the one for SET_BACKEND_REQ_FD */
	bool over;
};

static void settle(struct peer *peer)
{
	uint8_t replies[4096];

	for (int i = 0; i < 4 && !peer->over; i++) {
		peer->over = vh_user_server_dispatch(peer->server) < 0;
		require(vh_device_dispatch(peer->backend) == 0);
		while (recv(peer->socket, replies, sizeof(replies),
			    MSG_DONTWAIT) > 0)
			;
		while (recv(peer->reverse[0], replies, sizeof(replies),
			    MSG_DONTWAIT) > 0)
			;
	}
}

/* What goes well with a request. */
static int fd_for(const struct peer *peer, uint8_t id)
{
	switch (id) {
	case VH_USER_SET_MEM_TABLE:
	case VH_USER_ADD_MEM_REG:
	case VH_USER_SET_INFLIGHT_FD:
	case VH_USER_SET_LOG_BASE:
		return peer->memory;
	case VH_USER_SET_BACKEND_REQ_FD:
		return peer->reverse[1];
	default:
		return peer->event;
	}
}

static void send_frame(struct peer *peer, const uint8_t *bytes, size_t size,
		       unsigned int fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes,
			    .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	int list[MOST_FDS];

	for (unsigned int i = 0; i < fds; i++)
		list[i] = fd_for(peer, bytes[0]);
	if (fds) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		control.align = (struct cmsghdr){
		    .cmsg_level = SOL_SOCKET,
		    .cmsg_type = SCM_RIGHTS,
		    .cmsg_len = CMSG_LEN(fds * sizeof(int)),
		};
		memcpy(CMSG_DATA(&control.align), list, fds * sizeof(int));
	}
	(void)!sendmsg(peer->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static size_t step(struct peer *peer, const uint8_t *data, size_t size)
{
	uint8_t frame[12 + 4096] = {0};
	uint32_t words[3];
	size_t payload = (size_t)(data[2] | data[3] << 8) % 4096;
	size_t have = size - 4 < payload ? size - 4 : payload;
	unsigned int fds = data[1] & 15;

	words[0] = data[0];
	words[1] = (data[1] & 0x20 ? 2 : VH_USER_VERSION) |
		   (data[1] & 0x10 ? VH_USER_FLAG_NEED_REPLY : 0);
	words[2] = (uint32_t)payload;
	memcpy(frame, words, sizeof(words));
	memcpy(frame + 12, data + 4, have);
	send_frame(peer, frame, 12 + payload, fds > MOST_FDS ? MOST_FDS : fds);
	if (data[1] & 0x40)
		(void)!write(peer->event, &(uint64_t){1}, 8);
	settle(peer);
	return 4 + have;
}

static void connect_peer(struct peer *peer)
{
	VH_OPTS(vh_user_serve_opts, opts);
	int sockets[2];

	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) ==
		0);
	opts.mode = VH_USER_FD;
	opts.fd = sockets[0];
	require(vh_user_serve(peer->backend, &opts, NULL, &peer->server) == 0);
	close(sockets[0]);
	peer->socket = sockets[1];
	peer->over = false;
}

static void disconnect_peer(struct peer *peer)
{
	vh_user_server_free(peer->server);
	close(peer->socket);
}

/* Whatever happened before, this one is served. */
static void ask_features(struct peer *peer)
{
	const uint32_t request[3] = {VH_USER_GET_FEATURES, VH_USER_VERSION, 0};
	uint8_t reply[20];

	connect_peer(peer);
	require(send(peer->socket, request, sizeof(request), 0) ==
		sizeof(request));
	require(vh_user_server_dispatch(peer->server) == 0);
	require(recv(peer->socket, reply, sizeof(reply), MSG_DONTWAIT) ==
		sizeof(reply));
	require(reply[0] == VH_USER_GET_FEATURES);
	disconnect_peer(peer);
}

/*
 * At the beginning of memory, a ring with one request in it, whether it is
 * taken for a split one or a packed one: a place for 64 bytes at 0x10800.
 */
static void make_ring(int memory)
{
	static const uint16_t descriptor[8] = {
	    [0] = 0x0800, [1] = 1, [4] = 64, [6] = 0x2, [7] = 0x82};
	static const uint16_t available[3] = {[1] = 1};

	require(pwrite(memory, descriptor, sizeof(descriptor), 0) ==
		sizeof(descriptor));
	require(pwrite(memory, available, sizeof(available), 0x200) ==
		sizeof(available));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer peer = {.backend = new_backend()};

	peer.memory = memfd_create("fuzz", MFD_CLOEXEC);
	peer.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	require(peer.memory >= 0 && peer.event >= 0);
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
			   peer.reverse) == 0);
	require(ftruncate(peer.memory, MEMORY_SIZE) == 0);
	make_ring(peer.memory);
	connect_peer(&peer);
	for (int i = 0; i < MOST_STEPS && size >= 4 && !peer.over; i++) {
		size_t used = step(&peer, data, size);

		data += used;
		size -= used;
	}
	disconnect_peer(&peer);
	ask_features(&peer);
	vh_backend_free(peer.backend);
	close(peer.memory);
	close(peer.event);
	close(peer.reverse[0]);
	close(peer.reverse[1]);
	return 0;
}
