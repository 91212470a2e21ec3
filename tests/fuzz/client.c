/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The client before a back-end that says anything: all of its replies are in
 * the socket before the first question, and behind them the connection ends,
 * so that nothing ever waits.
 *
 * An input is a byte of flags (1: negotiation goes well first; 2: the replies
 * come with a descriptor; 4: it isn't replies but back-end requests), a byte
 * for the operation to begin with, and the bytes.
 */
#include <errno.h>
#include <libvhost/libvhost.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define NEGOTIATED 1u
#define DESCRIPTOR 2u
#define REQUESTS   4u
#define MOST	   32768 /* must fit into the socket */
#define FILE_SIZE  65536
#define REPLY	   (VH_USER_VERSION | VH_USER_FLAG_REPLY)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int memory = -1;
static int event = -1;

static void require(bool condition)
{
	if (!condition)
		__builtin_trap();
}

static void send_some(int socket, const void *bytes, size_t size, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)bytes, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cmsg;

	if (size == 0)
		return;
	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	require(sendmsg(socket, &msg, MSG_NOSIGNAL) == (ssize_t)size);
}

static void reply(int socket, uint32_t id, uint64_t value)
{
	struct {
		uint32_t header[3];
		uint8_t payload[8];
	} m = {.header = {id, REPLY, 8}};

	memcpy(m.payload, &value, 8);
	send_some(socket, &m, sizeof(m), -1);
}

/* Everything is offered, and each question of the first steps answered. */
static void answer_first_steps(int socket)
{
	reply(socket, VH_USER_GET_FEATURES, UINT64_MAX);
	reply(socket, VH_USER_GET_PROTOCOL_FEATURES,
	      ~(UINT64_C(1) << VH_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
	reply(socket, VH_USER_GET_QUEUE_NUM, 4);
	reply(socket, VH_USER_SET_BACKEND_REQ_FD, 0);
}

static int get_features(struct vh_backend *b)
{
	uint64_t features;

	return vh_backend_get_features(b, &features);
}

static int set_features(struct vh_backend *b)
{
	return vh_backend_set_features(b, VH_F_ACCESS_PLATFORM);
}

static int set_memory(struct vh_backend *b)
{
	const struct vh_region region = {.size = FILE_SIZE, .fd = memory};

	return vh_backend_set_mem_table(b, &region, 1);
}

static int get_base(struct vh_backend *b)
{
	uint32_t base;

	return vh_backend_get_vring_base(b, 1, &base);
}

static int get_config(struct vh_backend *b)
{
	uint8_t config[300];

	return vh_backend_get_config(b, 0, config, sizeof(config));
}

static int get_status(struct vh_backend *b)
{
	uint8_t status;

	return vh_backend_get_status(b, &status);
}

static int closed(int r, int fd)
{
	if (r == 0 && fd >= 0)
		close(fd);
	return r;
}

static int get_inflight(struct vh_backend *b)
{
	struct vh_inflight area = {.num_queues = 1, .queue_size = 8};
	int fd = -1, r = vh_backend_get_inflight(b, &area, &fd);

	require(r < 0 || area.mmap_offset + area.mmap_size <= FILE_SIZE);
	return closed(r, fd);
}

static int set_log(struct vh_backend *b)
{
	const struct vh_log_area area = {.size = 4096};

	return vh_backend_set_log_base(b, &area, memory);
}

static int update(struct vh_backend *b)
{
	const struct vh_iotlb_entry entry = {.size = 4096, .access = 3};

	return vh_backend_iotlb_update(b, &entry);
}

static int set_call(struct vh_backend *b)
{
	return vh_backend_set_vring_call(b, 0, event);
}

static int get_object(struct vh_backend *b)
{
	static const uint8_t uuid[16];
	int fd = -1, r = vh_backend_get_shared_object(b, uuid, &fd);

	return closed(r, fd);
}

static int get_shmem(struct vh_backend *b)
{
	struct vh_shmem_config config;

	return vh_backend_get_shmem_config(b, &config);
}

static int set_state(struct vh_backend *b)
{
	int fd = -1, r = vh_backend_set_device_state_fd(b, 0, event, &fd);

	return closed(r, fd);
}

static int make_session(struct vh_backend *b)
{
	static const uint8_t session[VH_CRYPTO_SESSION_SIZE];
	int64_t id;

	return vh_backend_create_crypto_session(b, session, &id);
}

static int advise(struct vh_backend *b)
{
	int fd = -1, r = vh_backend_postcopy_advise(b, &fd);

	return closed(r, fd);
}

static int map_memory(struct vh_backend *b)
{
	const struct vh_region region = {.size = FILE_SIZE, .fd = memory};
	uint64_t address;
	int r = vh_backend_postcopy_set_memory(b, &region, 1, &address);

	return r == 0 ? vh_backend_postcopy_ready(b) : r;
}

static int (*const operations[])(struct vh_backend *b) = {
    get_features,
    set_features,
    advise,
    vh_backend_postcopy_listen,
    map_memory,
    vh_backend_postcopy_end,
    set_memory,
    get_base,
    get_config,
    get_status,
    get_inflight,
    set_log,
    update,
    set_call,
    get_object,
    get_shmem,
    set_state,
    vh_backend_check_device_state,
    make_session,
    vh_backend_reset_device,
    vh_backend_release,
};

#define COUNT (sizeof(operations) / sizeof(operations[0]))

static void on_config(void *user)
{
	(void)user;
}

static void on_miss(void *user, vh_gpa iova, uint32_t access)
{
	(void)user, (void)iova;
	require(access <= 3);
}

static int on_notifier(void *user, uint32_t queue,
		       const struct vh_notify_area *area, int fd)
{
	(void)user;
	require(queue < 256 && (fd < 0 || area->size == 4096));
	return 0;
}

static int on_map(void *user, const struct vh_shmem_map *map, int fd)
{
	(void)user;
	require(map->length > 0 && fd >= 0);
	return 0;
}

static void receive_all(struct vh_backend *b)
{
	VH_OPTS(vh_backend_events, events);

	events.config_changed = on_config;
	events.iotlb_miss = on_miss;
	events.host_notifier = on_notifier;
	events.shmem_map = on_map;
	require(vh_backend_set_events(b, &events, NULL) == 0);
}

/* The other end of the socket for requests is the only descriptor we got. */
static int take_reverse(int socket)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char bytes[256];
	struct iovec iov = {bytes, sizeof(bytes)};
	int fd = -1;

	while (fd < 0) {
		struct msghdr msg = {
		    .msg_iov = &iov,
		    .msg_iovlen = 1,
		    .msg_control = control.bytes,
		    .msg_controllen = sizeof(control.bytes),
		};

		if (recvmsg(socket, &msg, MSG_DONTWAIT) <= 0)
			break;
		if (CMSG_FIRSTHDR(&msg))
			memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	}
	return fd;
}

static void ask(struct vh_backend *b, int socket, const uint8_t *data,
		size_t size, int fd)
{
	int reverse = take_reverse(socket);

	require(reverse >= 0);
	send_some(reverse, data, size, fd);
	for (int i = 0; i < 8; i++)
		require(vh_backend_dispatch(b) == 0);
	close(reverse);
	require(vh_backend_dispatch(b) == 0);
}

static void use(struct vh_backend *b, unsigned int first)
{
	for (unsigned int i = 0; i < 2 * COUNT; i++) {
		int r = operations[(first + i) % COUNT](b);

		require(r <= 0);
		require(r == 0 || vh_backend_fault(b)->error == r);
		if (r == -ENODEV)
			break;
	}
	require(vh_backend_dispatch(b) == -ENODEV);
}

static void make_files(void)
{
	if (memory >= 0)
		return;
	memory = memfd_create("memory", MFD_CLOEXEC);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	require(memory >= 0 && event >= 0 && ftruncate(memory, FILE_SIZE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	VH_OPTS(vh_user_connect_opts, opts);
	struct vh_backend *b;
	int fd, pair[2];

	if (size < 2 || size > MOST)
		return 0;
	make_files();
	require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	fd = data[0] & DESCRIPTOR ? memory : -1;
	if (data[0] & (NEGOTIATED | REQUESTS))
		answer_first_steps(pair[1]);
	if (!(data[0] & REQUESTS)) {
		send_some(pair[1], data + 2, size - 2, fd);
		shutdown(pair[1], SHUT_WR);
	}
	opts.mode = VH_USER_FD;
	opts.fd = pair[0];
	opts.protocol_features = UINT64_MAX;
	if (vh_user_connect(&opts, NULL, &b) == 0) {
		receive_all(b);
		if (data[0] & REQUESTS)
			ask(b, pair[1], data + 2, size - 2, fd);
		else
			use(b, data[1]);
		vh_backend_free(b);
	}
	close(pair[0]);
	close(pair[1]);
	return 0;
}
