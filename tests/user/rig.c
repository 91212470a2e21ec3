/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define RING_SPACE    UINT64_C(0x40000)
#define HEADER	      (RIG_DATA + (UINT64_C(8) << 20))
#define STATUS	      (HEADER + 64)
#define TABLE_ENTRIES 8
#define DRIVER_OK     0xf /* and what comes before */

void *rig_at(const struct rig *rig, vh_gpa guest)
{
	return rig->memory + (guest - RIG_GUEST);
}

static void show(void *user, uint32_t level, const char *text)
{
	(void)user;
	fprintf(stderr, "<%u> %s\n", level, text);
}

int rig_connect(const char *path, struct vh_backend **ret_backend)
{
	VH_OPTS(vh_user_connect_opts, opts);
	struct vh_fault fault;
	int r;

	opts.mode = VH_USER_CONNECT;
	opts.path = path;
	if (getenv("VH_TEST_LOG")) {
		opts.log.write = show;
		opts.log.level = VH_LOG_DEBUG;
	}
	for (int ms = 0;; ms += 5) {
		r = vh_user_connect(&opts, &fault, ret_backend);
		if ((r != -ENOENT && r != -ECONNREFUSED) || ms > RIG_PATIENCE)
			break;
		usleep(5000);
	}
	if (r < 0)
		fprintf(stderr, "%s\n", fault.text);
	return r;
}

static int set_memory(struct rig *rig)
{
	struct vh_region regions[2];

	rig->fd = memfd_create("guest", MFD_CLOEXEC);
	if (rig->fd < 0 || ftruncate(rig->fd, RIG_SIZE) != 0)
		return -errno;
	rig->memory = mmap(NULL, RIG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   rig->fd, 0);
	if (rig->memory == MAP_FAILED)
		return -errno;
	for (unsigned int i = 0; i < 2; i++)
		regions[i] = (struct vh_region){
		    .guest = RIG_GUEST + i * RIG_SIZE / 2,
		    .size = RIG_SIZE / 2,
		    .user = {(uintptr_t)rig->memory + i * RIG_SIZE / 2},
		    .fd_offset = i * RIG_SIZE / 2,
		    .fd = rig->fd,
		};
	return vh_backend_set_mem_table(rig->backend, regions, 2);
}

int rig_open(struct rig *rig, struct vh_backend *backend, uint64_t features)
{
	uint64_t offered;
	int r;

	*rig = (struct rig){.backend = backend, .fd = -1};
	for (unsigned int i = 0; i < RIG_QUEUES; i++)
		rig->queues[i].kick = rig->queues[i].call = -1;
	r = vh_backend_set_owner(backend);
	if (r == 0)
		r = vh_backend_get_features(backend, &offered);
	if (r < 0)
		return r;
	rig->features = features & offered;
	r = vh_backend_set_features(backend, rig->features);
	return r == 0 ? set_memory(rig) : r;
}

void rig_close(struct rig *rig)
{
	for (unsigned int i = 0; i < RIG_QUEUES; i++) {
		vh_driver_queue_free(rig->queues[i].driver);
		if (rig->queues[i].kick >= 0)
			close(rig->queues[i].kick);
		if (rig->queues[i].call >= 0)
			close(rig->queues[i].call);
	}
	if (rig->memory)
		munmap(rig->memory, RIG_SIZE);
	if (rig->fd >= 0)
		close(rig->fd);
	*rig = (struct rig){.fd = -1};
	for (unsigned int i = 0; i < RIG_QUEUES; i++)
		rig->queues[i].kick = rig->queues[i].call = -1;
}

static int make_driver(struct rig *rig, uint32_t queue, uint32_t num)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	struct rig_queue *q = &rig->queues[queue];

	opts.index = queue;
	opts.num = num;
	opts.features = rig->features;
	opts.ring_at = RIG_GUEST + queue * RING_SPACE;
	opts.ring = rig_at(rig, opts.ring_at);
	opts.table_entries = TABLE_ENTRIES;
	q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return vh_driver_queue_new(&opts, NULL, &q->driver);
}

int rig_start(struct rig *rig, uint32_t queue, uint32_t num)
{
	struct rig_queue *q = &rig->queues[queue];
	int r = q->driver ? 0 : make_driver(rig, queue, num);

	return r < 0 ? r
		     : rig_start_at(rig, queue, num,
				    vh_driver_queue_base(q->driver));
}

int rig_start_at(struct rig *rig, uint32_t queue, uint32_t num, uint32_t base)
{
	struct rig_queue *q = &rig->queues[queue];
	struct vh_backend *b = rig->backend;
	struct vh_vring_addr addr = {0};
	int r;

	vh_driver_queue_addresses(q->driver, &addr.descriptors, &addr.available,
				  &addr.used);
	addr.log = addr.used;
	r = vh_backend_set_vring_num(b, queue, num);
	if (r == 0)
		r = vh_backend_set_vring_base(b, queue, base);
	if (r == 0)
		r = vh_backend_set_vring_addr(b, queue, &addr);
	if (r == 0)
		r = vh_backend_set_vring_call(b, queue, q->call);
	if (r == 0)
		r = vh_backend_set_vring_kick(b, queue, q->kick);
	if (r == 0)
		r = vh_backend_set_vring_enable(b, queue, true);
	/* Some back-ends begin when the driver says that it has. */
	if (r == 0 && vh_backend_capabilities(b) & VH_CAP_STATUS)
		r = vh_backend_set_status(b, DRIVER_OK);
	return r;
}

/* Where it stopped must be where our side of the ring is. */
int rig_stop(struct rig *rig, uint32_t queue)
{
	uint32_t base;
	int r = vh_backend_get_vring_base(rig->backend, queue, &base);

	if (r == 0 && base != vh_driver_queue_base(rig->queues[queue].driver))
		return -EBADMSG;
	return r;
}

int rig_offer(struct rig *rig, uint32_t queue, const struct iovec readable[],
	      unsigned int readable_count, const struct iovec writable[],
	      unsigned int writable_count)
{
	struct rig_queue *q = &rig->queues[queue];
	const uint64_t one = 1;
	int r = vh_driver_queue_add(q->driver, readable, readable_count,
				    writable, writable_count, q);

	if (r == 0 && vh_driver_queue_publish(q->driver) &&
	    write(q->kick, &one, sizeof(one)) != sizeof(one))
		r = -errno;
	return r;
}

int rig_wait(struct rig *rig, uint32_t queue, uint32_t *ret_written)
{
	struct rig_queue *q = &rig->queues[queue];
	struct pollfd waiting = {.fd = q->call, .events = POLLIN};
	struct vh_driver_used used;
	uint64_t value;

	for (;;) {
		int n = vh_driver_queue_collect(q->driver, &used, 1);

		if (n < 0)
			return n;
		if (n == 1)
			break;
		if (vh_driver_queue_enable_calls(q->driver))
			continue;
		if (poll(&waiting, 1, RIG_PATIENCE) != 1)
			return -ETIMEDOUT;
		if (read(q->call, &value, sizeof(value)) < 0)
			return -errno;
	}
	if (ret_written)
		*ret_written = used.written;
	return 0;
}

static struct iovec at(vh_gpa guest, size_t length)
{
	return (struct iovec){(void *)(uintptr_t)guest, length};
}

int rig_blk(struct rig *rig, uint32_t queue, uint32_t type, uint64_t sector,
	    uint32_t length)
{
	const struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header = {type, 0, sector};
	uint8_t *status = rig_at(rig, STATUS);
	struct iovec readable[2] = {at(HEADER, sizeof(header))};
	struct iovec writable[2];
	unsigned int readable_count = 1, writable_count = 0;
	bool device_writes = type == 0 || type == 8;
	int r;

	memcpy(rig_at(rig, HEADER), &header, sizeof(header));
	*status = 0xee;
	if (length > 0 && device_writes)
		writable[writable_count++] = at(RIG_DATA, length);
	else if (length > 0)
		readable[readable_count++] = at(RIG_DATA, length);
	writable[writable_count++] = at(STATUS, 1);
	r = rig_offer(rig, queue, readable, readable_count, writable,
		      writable_count);
	if (r == 0)
		r = rig_wait(rig, queue, NULL);
	return r < 0 ? r : *status;
}
