/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * lab-served TAP: vhost-net for a virtual machine that speaks vhost-user only.
 * One process serves vhost-net with a tap device on a socket, another one has
 * guest memory and a front-end on that socket, and no device. Frames go
 * through rings and tap device to a packet socket and back, and are compared.
 */
#include "fail.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libvhost/libvhost.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET	   "/tmp/net.sock"
#define ETHERTYPE  0x88b5 /* for experiments */
#define HEADER	   12	  /* struct virtio_net_hdr_v1 */
#define ETHER	   14
#define FRAME_MAX  1514
#define BUFFER	   2048
#define NUM	   16
#define FRAMES	   100
#define RX	   0
#define TX	   1
#define TIMEOUT_MS 20000

/* Rings are in the first region, buffers in the second one. */
#define REGION	   UINT64_C(0x100000)
#define RINGS_AT   UINT64_C(0x40000000)
#define BUFFERS_AT UINT64_C(0x100000000)

struct machine {
	unsigned char *memory;
	struct vh_backend *backend;
	struct vh_frontend *frontend;
	struct vh_driver_queue *queues[2];
	int call[2];
	int packets; /* a socket on the other end of the tap device */
	unsigned int sent;
};

static int open_tap(const char *name)
{
	struct ifreq request = {.ifr_flags =
				    IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int header = HEADER;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 ||
	    ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		fail("tap %s", name);
	return fd;
}

/* All there is to it: a server takes any back-end. */
static void serve(const char *tap_name)
{
	VH_OPTS(vh_user_serve_opts, socket);
	VH_OPTS(vh_net_opts, net);
	struct vh_user_server *server;
	struct vh_backend *backend;
	struct pollfd pfd = {.events = POLLIN};
	struct vh_fault fault = {0};
	int tap = open_tap(tap_name);

	net.path = "/dev/vhost-net";
	net.taps = &tap;
	net.num_taps = 1;
	socket.path = SOCKET;
	if (vh_net_open(&net, &fault, &backend) < 0 ||
	    vh_user_serve(backend, &socket, &fault, &server) < 0)
		fail("%s", fault.text);
	pfd.fd = vh_user_server_fd(server);
	while (vh_user_server_dispatch(server) == 0)
		poll(&pfd, 1, -1);
	fail("the server has ended");
}

static pid_t start_server(const char *tap)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(tap);
	}
	for (int i = 0; i < TIMEOUT_MS && access(SOCKET, F_OK) < 0; i++)
		usleep(1000);
	return child;
}

static int open_packets(const char *tap)
{
	struct sockaddr_ll address = {
	    .sll_family = AF_PACKET,
	    .sll_protocol = htons(ETHERTYPE),
	    .sll_ifindex = (int)if_nametoindex(tap),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE));

	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("packets of %s", tap);
	return fd;
}

static void need(struct machine *m, int r, const char *what)
{
	if (r < 0)
		fail("%s: %s", what, vh_frontend_fault(m->frontend)->text);
}

static void *buffer(const struct machine *m, unsigned int i)
{
	return m->memory + REGION + (size_t)i * BUFFER;
}

static struct iovec guest(const struct machine *m, const void *at, size_t size)
{
	size_t offset = (size_t)((const unsigned char *)at - m->memory);

	return (struct iovec){(void *)(BUFFERS_AT + offset - REGION), size};
}

static void kick(struct machine *m, uint32_t queue)
{
	int fd = vh_frontend_kick_fd(m->frontend, queue);

	if (vh_driver_queue_publish(m->queues[queue]) &&
	    eventfd_write(fd, 1) < 0)
		fail("kick");
}

static void post(struct machine *m, void *where)
{
	struct iovec room = guest(m, where, BUFFER);

	if (vh_driver_queue_add(m->queues[RX], NULL, 0, &room, 1, where) < 0)
		fail("no room for a buffer");
	kick(m, RX);
}

static struct vh_driver_used await(struct machine *m, uint32_t queue)
{
	struct pollfd pfd = {.fd = m->call[queue], .events = POLLIN};
	struct vh_driver_used used;
	eventfd_t count;
	int n;

	while ((n = vh_driver_queue_collect(m->queues[queue], &used, 1)) == 0) {
		if (vh_driver_queue_enable_calls(m->queues[queue]))
			continue;
		if (poll(&pfd, 1, TIMEOUT_MS) != 1)
			fail("nothing in queue %u", queue);
		if (eventfd_read(pfd.fd, &count) < 0)
			fail("call");
	}
	if (n < 0)
		fail("%s", vh_driver_queue_fault(m->queues[queue])->text);
	return used;
}

static size_t make_frame(unsigned char *frame, unsigned int number)
{
	size_t size = ETHER + 1 + number * 131 % (FRAME_MAX - ETHER);

	memset(frame, 0xff, 6);
	memcpy(frame + 6, (unsigned char[]){2, 0, 0, 0, 0, 0x99}, 6);
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
	for (size_t i = ETHER; i < size; i++)
		frame[i] = (unsigned char)(number * 31 + i * 7 + i / 256);
	return size;
}

static void from_guest(struct machine *m, unsigned int number)
{
	unsigned char frame[FRAME_MAX], got[FRAME_MAX + 1];
	struct pollfd pfd = {.fd = m->packets, .events = POLLIN};
	unsigned char *out = buffer(m, NUM);
	size_t size = make_frame(frame, number);
	struct iovec piece = guest(m, out, HEADER + size);

	memset(out, 0, HEADER);
	memcpy(out + HEADER, frame, size);
	if (vh_driver_queue_add(m->queues[TX], &piece, 1, NULL, 0, out) < 0)
		fail("no room to send");
	kick(m, TX);
	m->sent++;
	if (await(m, TX).token != out)
		fail("another buffer was sent");
	if (poll(&pfd, 1, TIMEOUT_MS) != 1 ||
	    recv(m->packets, got, sizeof(got), 0) != (ssize_t)size ||
	    memcmp(got, frame, size) != 0)
		fail("frame %u from the guest isn't what was sent", number);
}

static void to_guest(struct machine *m, unsigned int number)
{
	unsigned char frame[FRAME_MAX];
	size_t size = make_frame(frame, number);
	struct vh_driver_used used;

	if (send(m->packets, frame, size, 0) != (ssize_t)size)
		fail("send");
	used = await(m, RX);
	if (used.written != HEADER + size ||
	    memcmp((unsigned char *)used.token + HEADER, frame, size) != 0)
		fail("frame %u to the guest isn't what was sent", number);
	post(m, used.token);
}

static void exchange(struct machine *m)
{
	for (unsigned int i = 0; i < FRAMES; i++) {
		from_guest(m, i);
		to_guest(m, FRAMES + i);
	}
}

static void connect_machine(struct machine *m, int fd)
{
	const struct vh_region regions[] = {
	    {.guest = RINGS_AT,
	     .size = REGION,
	     .user.raw = (uintptr_t)m->memory,
	     .fd = fd},
	    {.guest = BUFFERS_AT,
	     .size = REGION,
	     .user.raw = (uintptr_t)m->memory + REGION,
	     .fd_offset = REGION,
	     .fd = fd},
	};
	VH_OPTS(vh_user_connect_opts, socket);
	VH_OPTS(vh_frontend_opts, opts);
	struct vh_fault fault = {0};

	socket.mode = VH_USER_CONNECT;
	socket.path = SOCKET;
	opts.num_queues = 2;
	opts.features = VH_F_VERSION_1 | VH_F_EVENT_IDX;
	opts.required = opts.features;
	if (vh_user_connect(&socket, &fault, &m->backend) < 0 ||
	    vh_frontend_new(m->backend, &opts, &fault, &m->frontend) < 0)
		fail("%s", fault.text);
	need(m, vh_frontend_set_memory(m->frontend, regions, 2), "memory");
	need(m, vh_frontend_negotiate(m->frontend, opts.features), "features");
}

static void set_ring(struct machine *m, uint32_t queue)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	VH_OPTS(vh_frontend_ring, ring);

	opts.index = queue;
	opts.num = ring.num = NUM;
	opts.features = VH_F_VERSION_1 | VH_F_EVENT_IDX;
	opts.ring = m->memory + (size_t)queue * REGION / 2;
	opts.ring_at = RINGS_AT + queue * REGION / 2;
	if (vh_driver_queue_new(&opts, NULL, &m->queues[queue]) < 0)
		fail("a driver's queue");
	vh_driver_queue_addresses(m->queues[queue], &ring.descriptors,
				  &ring.available, &ring.used);
	need(m, vh_frontend_set_ring(m->frontend, queue, &ring), "ring");
	m->call[queue] = eventfd(0, EFD_CLOEXEC);
	need(m, vh_frontend_set_call(m->frontend, queue, m->call[queue]),
	     "call");
}

/* From the connection to its end, and a pause in between. */
static void live(const char *tap)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct machine m = {.packets = open_packets(tap)};
	uint32_t base = 0;

	if (fd < 0 || ftruncate(fd, 2 * REGION) < 0)
		fail("memfd");
	m.memory =
	    mmap(NULL, 2 * REGION, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m.memory == MAP_FAILED)
		fail("mmap");
	connect_machine(&m, fd);
	set_ring(&m, RX);
	set_ring(&m, TX);
	need(&m, vh_frontend_start(m.frontend), "start");
	for (unsigned int i = 0; i < NUM; i++)
		post(&m, buffer(&m, i));
	exchange(&m);
	need(&m, vh_frontend_pause(m.frontend), "pause");
	need(&m, vh_frontend_get_base(m.frontend, TX, &base), "base");
	if (base != m.sent)
		fail("%u of %u frames were sent", base, m.sent);
	need(&m, vh_frontend_resume(m.frontend), "resume");
	exchange(&m);
	vh_frontend_free(m.frontend);
	vh_backend_free(m.backend);
	for (int i = 0; i < 2; i++) {
		vh_driver_queue_free(m.queues[i]);
		close(m.call[i]);
	}
	munmap(m.memory, 2 * REGION);
	close(fd);
	close(m.packets);
}

int main(int argc, char *argv[])
{
	pid_t server;

	if (argc != 2)
		return fprintf(stderr, "usage: lab-served TAP\n"), 2;
	server = start_server(argv[1]);
	/* The second one finds what the first one left. */
	live(argv[1]);
	live(argv[1]);
	if (waitpid(server, NULL, WNOHANG) != 0)
		fail("the server didn't survive its front-ends");
	kill(server, SIGKILL);
	printf("frames: 800, both ways\n");
	return 0;
}
