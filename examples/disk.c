/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A virtual machine monitor without a machine: drives a block device whose
 * back-end is of any kind, and plays the guest's driver itself.
 *
 *	disk user SOCKET ...		in another process
 *	disk vdpa /dev/vhost-vdpa-N ...	in hardware, or a VDUSE program
 *	disk device FILE ...		in this process
 *
 * Says how large the disk is, and with [SECTOR [TEXT]] writes TEXT to a sector
 * and reads it. (Linux has no vhost driver for disks in the kernel itself.)
 */
#include <errno.h>
#include <libvhost-devices/blk.h>
#include <libvhost/libvhost.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST 0x40000000 /* where the guest has its memory */

/* The guest's memory: a ring of 16 descriptors and one request. */
struct memory {
	_Alignas(64) char ring[4096];
	struct virtio_blk_outhdr header;
	char data[512];
	uint8_t status;
};

static void must(int r, const struct vh_fault *fault)
{
	if (r >= 0)
		return;
	fprintf(stderr, "disk: %s\n",
		fault && *fault->text ? fault->text : strerror(-r));
	exit(1);
}

static struct vh_backend *open_backend(const char *kind, const char *where)
{
	VH_OPTS(vh_user_connect_opts, user);
	VH_OPTS(vh_vdpa_opts, vdpa);
	VH_OPTS(vh_blk_opts, device);
	struct vh_fault fault = {.text = "there is no such kind of back-end"};
	struct vh_backend *backend = NULL;
	int r = -EINVAL;

	if (strcmp(kind, "user") == 0) {
		user.mode = VH_USER_CONNECT;
		user.path = where;
		r = vh_user_connect(&user, &fault, &backend);
	} else if (strcmp(kind, "vdpa") == 0) {
		vdpa.path = where;
		r = vh_vdpa_open(&vdpa, &fault, &backend);
	} else if (strcmp(kind, "device") == 0) {
		device.path = where;
		device.workers = 1;
		r = vh_blk_new(&device, &fault, &backend);
	} else if (strcmp(kind, "kernel") == 0) {
		strcpy(fault.text, "Linux has no vhost driver for disks");
	}
	must(r, &fault);
	return backend;
}

static void on_gone(void *user)
{
	(void)user;
	must(-ENODEV, &(struct vh_fault){.text = "the back-end is gone"});
}

static struct vh_frontend *make_frontend(struct vh_backend *backend)
{
	VH_OPTS(vh_frontend_events, events);
	VH_OPTS(vh_frontend_opts, opts);
	struct vh_frontend *f;
	struct vh_fault fault;

	events.backend_gone = on_gone;
	opts.num_queues = 1;
	opts.required = VH_F_VERSION_1;
	opts.features = VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_RING_PACKED;
	opts.events = &events;
	must(vh_frontend_new(backend, &opts, &fault, &f), &fault);
	return f;
}

static struct memory *share_memory(struct vh_frontend *f)
{
	struct vh_region region = {.guest = GUEST, .size = 0x10000};
	struct memory *memory;

	region.fd = memfd_create("guest", MFD_CLOEXEC);
	if (region.fd < 0 || ftruncate(region.fd, (off_t)region.size) < 0)
		must(-errno, NULL);
	memory = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      region.fd, 0);
	if (memory == MAP_FAILED)
		must(-errno, NULL);
	region.user.raw = (uintptr_t)memory;
	must(vh_frontend_set_memory(f, &region, 1), vh_frontend_fault(f));
	close(region.fd);
	return memory;
}

/* The driver takes all features, and makes a ring. */
static struct vh_driver_queue *make_ring(struct vh_frontend *f,
					 struct memory *memory, int call)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	VH_OPTS(vh_frontend_ring, ring);
	struct vh_driver_queue *queue;
	struct vh_fault fault;

	opts.num = ring.num = 16;
	opts.features = vh_frontend_features(f);
	opts.ring = memory->ring;
	opts.ring_at = GUEST;
	must(vh_driver_queue_new(&opts, &fault, &queue), &fault);
	vh_driver_queue_addresses(queue, &ring.descriptors, &ring.available,
				  &ring.used);
	must(vh_frontend_negotiate(f, opts.features), vh_frontend_fault(f));
	must(vh_frontend_set_ring(f, 0, &ring), vh_frontend_fault(f));
	must(vh_frontend_set_call(f, 0, call), vh_frontend_fault(f));
	return queue;
}

#define PART(member)                                                           \
	(struct iovec)                                                         \
	{                                                                      \
		(char *)GUEST + offsetof(struct memory, member),               \
		    sizeof(((struct memory *)0)->member)                       \
	}

/* One request, there and back. */
static void transfer(struct vh_frontend *f, struct vh_driver_queue *queue,
		     struct memory *memory, uint32_t type, int call)
{
	struct iovec parts[] = {PART(header), PART(data), PART(status)};
	unsigned int readable = type == VIRTIO_BLK_T_OUT ? 2 : 1;
	struct pollfd fds[] = {{call, POLLIN, 0},
			       {vh_frontend_fd(f), POLLIN, 0}};
	struct vh_driver_used used;
	int n = 0;

	memory->header.type = type;
	memory->status = 0xff; /* so that silence isn't taken for success */
	must(vh_driver_queue_add(queue, parts, readable, &parts[readable],
				 3 - readable, NULL),
	     NULL);
	if (vh_driver_queue_publish(queue))
		eventfd_write(vh_frontend_kick_fd(f, 0), 1);
	while ((n = vh_driver_queue_collect(queue, &used, 1)) == 0) {
		if (vh_driver_queue_enable_calls(queue))
			continue;
		poll(fds, 2, -1);
		must(vh_frontend_dispatch(f), vh_frontend_fault(f));
		if (fds[0].revents)
			eventfd_read(call, &(eventfd_t){0});
	}
	must(n, vh_driver_queue_fault(queue));
	must(memory->status == VIRTIO_BLK_S_OK ? 0 : -EIO, NULL);
}

static uint64_t sector_of(const char *text)
{
	char *end;
	uint64_t sector = strtoull(text, &end, 0);

	must(*text && !*end ? 0 : -EINVAL,
	     &(struct vh_fault){.text = "SECTOR must be a number"});
	return sector;
}

int main(int argc, char *argv[])
{
	int call = eventfd(0, EFD_CLOEXEC);
	struct vh_backend *backend;
	struct vh_driver_queue *queue;
	struct vh_frontend *f;
	struct memory *memory;
	uint64_t capacity;

	if (argc < 3 || argc > 5)
		return fputs("usage: disk KIND WHERE [SECTOR [TEXT]]\n",
			     stderr),
		       2;
	backend = open_backend(argv[1], argv[2]);
	f = make_frontend(backend);
	memory = share_memory(f);
	queue = make_ring(f, memory, call);
	must(vh_frontend_start(f), vh_frontend_fault(f));
	must(vh_backend_get_config(backend, 0, &capacity, sizeof(capacity)),
	     vh_backend_fault(backend));
	printf("%llu sectors\n", (unsigned long long)capacity);
	if (argc > 3)
		memory->header.sector = sector_of(argv[3]);
	if (argc > 4) {
		snprintf(memory->data, sizeof(memory->data), "%s", argv[4]);
		transfer(f, queue, memory, VIRTIO_BLK_T_OUT, call);
	}
	if (argc > 3) {
		memset(memory->data, 0, sizeof(memory->data));
		transfer(f, queue, memory, VIRTIO_BLK_T_IN, call);
		printf("%.*s\n", (int)sizeof(memory->data), memory->data);
	}
	vh_frontend_free(f);
	vh_backend_free(backend);
	vh_driver_queue_free(queue);
	return 0;
}
