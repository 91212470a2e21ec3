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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GUEST 0x40000000 /* where the guest has its memory */

/* The guest's memory: a ring of 16 descriptors and one request. */
struct memory {
	_Alignas(64) char ring[4096];
	struct virtio_blk_outhdr header;
	char data[512];
	uint8_t status;
};

static struct vh_region region;
static struct memory *memory; /* where we see it */
static struct vh_frontend *frontend;
static struct vh_driver_queue *queue; /* the driver's side of queue 0 */
static int call;		      /* the device's interrupt */

static void must(int r, const struct vh_fault *fault)
{
	if (r >= 0)
		return;
	fprintf(stderr, "disk: %s\n",
		fault && *fault->text ? fault->text : strerror(-r));
	exit(1);
}

/* A step of the front-end, which has the words if it fails. */
static void step(int r)
{
	must(r, vh_frontend_fault(frontend));
}

/* Nobody completes its requests any more. */
static void on_ring_fault(void *user, uint32_t ring,
			  const struct vh_fault *fault)
{
	(void)user, (void)ring;
	must(-EIO, fault);
}

static struct vh_backend *open_backend(const char *kind, const char *where)
{
	VH_OPTS(vh_user_connect_opts, user);
	VH_OPTS(vh_vdpa_opts, vdpa);
	VH_OPTS(vh_blk_opts, device);
	struct vh_fault fault = {.text = "there is no such kind of back-end"};
	struct vh_backend *backend = NULL;
	int r = -EINVAL;

	user.path = vdpa.path = device.path = where;
	user.mode = VH_USER_CONNECT;
	device.workers = 1;
	if (strcmp(kind, "user") == 0)
		r = vh_user_connect(&user, &fault, &backend);
	else if (strcmp(kind, "vdpa") == 0)
		r = vh_vdpa_open(&vdpa, &fault, &backend);
	else if (strcmp(kind, "device") == 0)
		r = vh_blk_new(&device, &fault, &backend);
	else if (strcmp(kind, "kernel") == 0)
		strcpy(fault.text, "Linux has no vhost driver for disks");
	must(r, &fault);
	return backend;
}

/* Memory, and a driver that takes all features and has one ring. */
static void boot(struct vh_backend *backend)
{
	VH_OPTS(vh_frontend_events, events);
	VH_OPTS(vh_frontend_opts, opts);
	VH_OPTS(vh_driver_queue_opts, ring);
	struct vh_fault fault;

	events.ring_fault = on_ring_fault;
	opts.events = &events;
	opts.num_queues = 1;
	opts.required = VH_F_VERSION_1;
	opts.features = VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_RING_PACKED;
	must(vh_frontend_new(backend, &opts, &fault, &frontend), &fault);
	must(vh_region_new(GUEST, 0x10000, &region), NULL);
	memory = (void *)(uintptr_t)region.user.raw;
	step(vh_frontend_set_memory(frontend, &region, 1));
	step(vh_frontend_negotiate(frontend, vh_frontend_features(frontend)));
	ring.num = 16;
	ring.ring_at = GUEST;
	step(vh_frontend_drive(frontend, 0, &ring, &queue));
	call = eventfd(0, EFD_CLOEXEC);
	must(call < 0 ? -errno : 0, NULL);
	step(vh_frontend_set_call(frontend, 0, call));
	step(vh_frontend_start(frontend));
}

/* One request, there and back. */
static void transfer(uint32_t type)
{
	char *at = (char *)GUEST;
	struct iovec parts[] = {
	    {at + offsetof(struct memory, header), sizeof(memory->header)},
	    {at + offsetof(struct memory, data), sizeof(memory->data)},
	    {at + offsetof(struct memory, status), sizeof(memory->status)},
	};
	unsigned int readable = type == VIRTIO_BLK_T_OUT ? 2 : 1;
	struct vh_driver_used used;
	int n;

	memory->header.type = type;
	memory->status = 0xff; /* so that silence isn't taken for success */
	must(vh_driver_queue_add(queue, parts, readable, &parts[readable],
				 3 - readable, NULL),
	     vh_driver_queue_fault(queue));
	if (vh_driver_queue_publish(queue))
		step(vh_frontend_kick(frontend, 0));
	while ((n = vh_driver_queue_collect(queue, &used, 1)) == 0)
		if (!vh_driver_queue_enable_calls(queue))
			step(vh_frontend_wait(frontend, call, -1));
	must(n, vh_driver_queue_fault(queue));
	must(memory->status == VIRTIO_BLK_S_OK ? 0 : -EIO, NULL);
}

int main(int argc, char *argv[])
{
	struct vh_backend *backend;
	unsigned long long sector = 0;
	uint64_t capacity;
	char rest;

	if (argc < 3 || argc > 5 ||
	    (argc > 3 && sscanf(argv[3], "%llu%c", &sector, &rest) != 1)) {
		fputs("usage: disk KIND WHERE [SECTOR [TEXT]]\n", stderr);
		return 2;
	}
	backend = open_backend(argv[1], argv[2]);
	boot(backend);
	must(vh_backend_get_config(backend, 0, &capacity, sizeof(capacity)),
	     vh_backend_fault(backend));
	printf("%llu sectors\n", (unsigned long long)capacity);
	memory->header.sector = sector;
	if (argc > 4) {
		snprintf(memory->data, sizeof(memory->data), "%s", argv[4]);
		transfer(VIRTIO_BLK_T_OUT);
	}
	if (argc > 3) {
		memset(memory->data, 0, sizeof(memory->data));
		transfer(VIRTIO_BLK_T_IN);
		printf("%.*s\n", (int)sizeof(memory->data), memory->data);
	}
	vh_frontend_free(frontend);
	vh_backend_free(backend);
	vh_driver_queue_free(queue);
	vh_region_free(&region);
	return 0;
}
