/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * lab-frontend /dev/vhost-vdpa-N: a disk behind vDPA through every step of
 * vh_frontend, with its sectors checked in between.
 */
#include <errno.h>
#include <libvhost/libvhost.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST	    UINT64_C(0x40000000)
#define REGION_SIZE 0x10000
#define FAR	    UINT64_C(0x80000000) /* where the other region is */
#define QUEUE_SIZE  32
#define PATIENCE    60000 /* ms */

struct request {
	struct virtio_blk_outhdr header;
	uint8_t data[512];
	uint8_t status;
};

static char *ram; /* of both regions */
static struct vh_region regions[2];
static struct vh_frontend *frontend;
static struct vh_driver_queue *queue;
static int call;
static unsigned int requests;

static void check(bool good, const char *what)
{
	if (good)
		return;
	printf("FAILED: %s: %s\n", what, vh_frontend_fault(frontend)->text);
	exit(1);
}

#define OK(step) check((step) >= 0, #step)

static void wait_for(struct vh_driver_used *used)
{
	struct pollfd fds[] = {{call, POLLIN, 0},
			       {vh_frontend_fd(frontend), POLLIN, 0}};
	eventfd_t count;
	int n;

	while ((n = vh_driver_queue_collect(queue, used, 1)) == 0) {
		if (vh_driver_queue_enable_calls(queue))
			continue;
		check(poll(fds, 2, PATIENCE) > 0, "no answer");
		OK(vh_frontend_dispatch(frontend));
		if (fds[0].revents)
			eventfd_read(call, &count);
	}
	check(n == 1, "the ring is broken");
}

/* The request lies at offset of a region. */
static void transfer(vh_gpa base, char *memory, size_t offset, uint32_t type,
		     uint64_t sector)
{
	struct request *request = (struct request *)(memory + offset);
	char *at = (char *)(uintptr_t)(base + offset);
	struct iovec parts[] = {
	    {at, sizeof(request->header)},
	    {at + offsetof(struct request, data), sizeof(request->data)},
	    {at + offsetof(struct request, status), 1},
	};
	unsigned int readable = type == VIRTIO_BLK_T_OUT ? 2 : 1;
	struct vh_driver_used used;

	request->header.type = type;
	request->header.sector = sector;
	request->status = 0xee;
	OK(vh_driver_queue_add(queue, parts, readable, &parts[readable],
			       3 - readable, NULL));
	if (vh_driver_queue_publish(queue))
		eventfd_write(vh_frontend_kick_fd(frontend, 0), 1);
	wait_for(&used);
	check(request->status == VIRTIO_BLK_S_OK, "request");
}

static void use(unsigned int region)
{
	vh_gpa base = regions[region].guest;
	char *memory = ram + region * REGION_SIZE;
	size_t offset = 0x8000 + requests % 4 * 0x1000;
	struct request *request = (struct request *)(memory + offset);
	uint8_t wanted[512];

	for (int i = 0; i < 3; i++) {
		uint64_t sector = requests * 13 % 1000;

		requests++;
		for (unsigned int j = 0; j < sizeof(wanted); j++)
			wanted[j] = (uint8_t)(requests * 7 + j * 3 + j / 256);
		memcpy(request->data, wanted, sizeof(wanted));
		transfer(base, memory, offset, VIRTIO_BLK_T_OUT, sector);
		memset(request->data, 0, sizeof(wanted));
		transfer(base, memory, offset, VIRTIO_BLK_T_IN, sector);
		check(memcmp(request->data, wanted, sizeof(wanted)) == 0,
		      "data");
	}
}

static void boot(void)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	VH_OPTS(vh_frontend_ring, ring);

	vh_driver_queue_free(queue);
	opts.num = ring.num = QUEUE_SIZE;
	opts.features = VH_F_VERSION_1;
	opts.ring = ram;
	opts.ring_at = GUEST;
	OK(vh_driver_queue_new(&opts, NULL, &queue));
	vh_driver_queue_addresses(queue, &ring.descriptors, &ring.available,
				  &ring.used);
	OK(vh_frontend_negotiate(frontend, VH_F_VERSION_1));
	OK(vh_frontend_set_ring(frontend, 0, &ring));
	OK(vh_frontend_set_call(frontend, 0, call));
	OK(vh_frontend_start(frontend));
}

static void make_memory(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	check(fd >= 0 && ftruncate(fd, 2 * REGION_SIZE) == 0, "memory");
	ram = mmap(NULL, 2 * REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	check(ram != MAP_FAILED, "memory");
	for (unsigned int i = 0; i < 2; i++)
		regions[i] = (struct vh_region){
		    .guest = i ? FAR : GUEST,
		    .size = REGION_SIZE,
		    .user.raw = (uintptr_t)ram + i * REGION_SIZE,
		    .fd_offset = i * REGION_SIZE,
		    .fd = fd,
		};
	OK(vh_frontend_set_memory(frontend, regions, 1));
}

static void go_round(void)
{
	uint32_t base;

	boot();
	use(0);
	OK(vh_frontend_stop(frontend));
	OK(vh_frontend_get_base(frontend, 0, &base));
	check(base == vh_driver_queue_base(queue), "position");
	OK(vh_frontend_start(frontend));
	use(0);
	OK(vh_frontend_pause(frontend));
	OK(vh_frontend_resume(frontend));
	use(0);
	OK(vh_frontend_set_memory(frontend, regions, 2));
	use(1);
	use(0);
	OK(vh_frontend_stop(frontend));
	OK(vh_frontend_set_memory(frontend, regions, 1));
	OK(vh_frontend_start(frontend));
	use(0);
	OK(vh_frontend_reset(frontend));
}

int main(int argc, char *argv[])
{
	VH_OPTS(vh_frontend_opts, opts);
	VH_OPTS(vh_vdpa_opts, vdpa);
	struct vh_backend *backend;
	struct vh_fault fault = {0};

	if (argc != 2)
		return fprintf(stderr, "usage: lab-frontend DEVICE\n"), 2;
	vdpa.path = argv[1];
	opts.num_queues = 1;
	opts.features = opts.required = VH_F_VERSION_1;
	if (vh_vdpa_open(&vdpa, &fault, &backend) < 0 ||
	    vh_frontend_new(backend, &opts, &fault, &frontend) < 0)
		return printf("FAILED: %s\n", fault.text), 1;
	call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	make_memory();
	for (int i = 0; i < 3; i++)
		go_round();
	vh_frontend_free(frontend);
	vh_backend_free(backend);
	vh_driver_queue_free(queue);
	printf("%s: %u requests\n", argv[1], requests);
	return 0;
}
