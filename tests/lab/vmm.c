/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "vmm.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  UINT64_C(4096)
#define QUIET 300

void vmm_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("FAILED: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

struct vh_region vmm_region(const struct vmm *vmm)
{
	return (struct vh_region){
	    .guest = VMM_RAM_GUEST,
	    .size = VMM_RAM_SIZE,
	    .user.raw = (uintptr_t)vmm->ram,
	    .fd = vmm->memfd,
	};
}

void vmm_init(struct vmm *vmm, uint64_t shift)
{
	struct vh_memory *none;
	struct vh_region region;
	struct vh_fault fault;

	*vmm = (struct vmm){.shift = shift};
	vmm->memfd = memfd_create("guest", MFD_CLOEXEC);
	VMM_CHECK(vmm->memfd >= 0 &&
		      ftruncate(vmm->memfd, (off_t)VMM_RAM_SIZE) == 0,
		  "memfd: %s", strerror(errno));
	vmm->ram = mmap(NULL, VMM_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			vmm->memfd, 0);
	VMM_CHECK(vmm->ram != MAP_FAILED, "mmap: %s", strerror(errno));
	region = vmm_region(vmm);
	region.guest += shift;
	VMM_CHECK(vh_memory_new(&none) == 0 &&
		      vh_memory_add(none, &region, &fault, &vmm->map) == 0,
		  "%s", fault.text);
	vh_memory_unref(none);
	for (int i = 0; i < VMM_MAX_RINGS; i++)
		vmm->rings[i].kick = vmm->rings[i].call = -1;
}

void vmm_done(struct vmm *vmm)
{
	for (int i = 0; i < VMM_MAX_RINGS; i++) {
		vh_driver_queue_free(vmm->rings[i].queue);
		if (vmm->rings[i].kick >= 0)
			close(vmm->rings[i].kick);
		if (vmm->rings[i].call >= 0)
			close(vmm->rings[i].call);
	}
	vh_memory_unref(vmm->map);
	munmap(vmm->ram, VMM_RAM_SIZE);
	close(vmm->memfd);
}

void *vmm_alloc(struct vmm *vmm, size_t size)
{
	char *at = vmm->ram + vmm->used;

	vmm->used += (size + PAGE - 1) / PAGE * PAGE;
	VMM_CHECK(vmm->used <= VMM_RAM_SIZE, "guest memory is used up");
	return at;
}

struct vmm_ring *vmm_ring(struct vmm *vmm, uint32_t index, uint32_t num)
{
	struct vmm_ring *ring = &vmm->rings[index];
	struct vh_fault fault;
	VH_OPTS(vh_driver_queue_opts, opts);

	opts.index = index;
	opts.num = num;
	opts.features = vmm->features;
	opts.ring = vmm_alloc(vmm, vh_driver_queue_size(num, opts.features, 0));
	opts.ring_at = VMM_RAM_GUEST + vmm->shift +
		       (uint64_t)((char *)opts.ring - vmm->ram);
	opts.memory = vmm->map;
	VMM_CHECK(vh_driver_queue_new(&opts, &fault, &ring->queue) == 0, "%s",
		  fault.text);
	ring->index = index;
	ring->num = num;
	ring->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	VMM_CHECK(ring->kick >= 0 && ring->call >= 0, "eventfd: %s",
		  strerror(errno));
	return ring;
}

/* Gives one page of IOVAs. */
static void give(struct vmm *vmm, vh_gpa iova)
{
	const struct vh_iotlb_entry entry = {
	    .iova = iova & ~(PAGE - 1),
	    .size = PAGE,
	    .guest = (iova & ~(PAGE - 1)) - vmm->shift,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};

	VMM_OK(vmm, vh_backend_iotlb_update(vmm->backend, &entry));
}

void vmm_start_ring(struct vmm *vmm, struct vmm_ring *ring, uint32_t base)
{
	struct vh_backend *b = vmm->backend;
	struct vh_vring_addr addr = {0};

	vh_driver_queue_addresses(ring->queue, &addr.descriptors,
				  &addr.available, &addr.used);
	VMM_OK(vmm, vh_backend_set_vring_num(b, ring->index, ring->num));
	VMM_OK(vmm, vh_backend_set_vring_base(b, ring->index, base));
	VMM_OK(vmm, vh_backend_set_vring_addr(b, ring->index, &addr));
	/* The kernel looks at the used ring when it starts. */
	if (vmm->asks)
		give(vmm, addr.used);
	VMM_OK(vmm, vh_backend_set_vring_call(b, ring->index, ring->call));
	VMM_OK(vmm, vh_backend_set_vring_kick(b, ring->index, ring->kick));
}

void vmm_publish(struct vmm_ring *ring)
{
	const uint64_t one = 1;

	if (vh_driver_queue_publish(ring->queue))
		VMM_CHECK(write(ring->kick, &one, sizeof(one)) == sizeof(one),
			  "kick: %s", strerror(errno));
}

void vmm_add(struct vmm_ring *ring, void *readable, size_t readable_size,
	     void *writable, size_t writable_size)
{
	struct iovec out = {readable, readable_size};
	struct iovec in = {writable, writable_size};
	int r = vh_driver_queue_add(ring->queue, &out, readable_size > 0, &in,
				    writable_size > 0,
				    writable_size ? writable : readable);

	VMM_CHECK(r == 0, "ring %u: a chain can't be added: %d", ring->index,
		  r);
	vmm_publish(ring);
}

static void iotlb_miss(void *user, vh_gpa iova, uint32_t access)
{
	struct vmm *vmm = user;

	(void)access;
	VMM_CHECK(vmm->num_missing < 64, "too many misses at once");
	vmm->missing[vmm->num_missing++] = iova;
	vmm->misses++;
}

static void dispatch(struct vmm *vmm)
{
	VH_OPTS(vh_backend_events, events);

	events.iotlb_miss = iotlb_miss;
	VMM_OK(vmm, vh_backend_set_events(vmm->backend, &events, vmm));
	VMM_OK(vmm, vh_backend_dispatch(vmm->backend));
	while (vmm->num_missing)
		give(vmm, vmm->missing[--vmm->num_missing]);
}

/* False: nothing came in so many milliseconds. */
static bool sleep_for(struct vmm *vmm, struct vmm_ring *ring, int milliseconds)
{
	struct pollfd fds[2] = {
	    {.fd = ring->call, .events = POLLIN},
	    {.fd = vmm->asks ? vh_backend_fd(vmm->backend) : -1,
	     .events = POLLIN},
	};
	uint64_t count;
	int r = poll(fds, 2, milliseconds);

	if (r <= 0)
		return false;
	if (fds[1].revents)
		dispatch(vmm);
	if (fds[0].revents)
		VMM_CHECK(read(ring->call, &count, sizeof(count)) ==
			      sizeof(count),
			  "call: %s", strerror(errno));
	return true;
}

static int collect(struct vmm_ring *ring, struct vh_driver_used *used)
{
	int r = vh_driver_queue_collect(ring->queue, used, 1);

	VMM_CHECK(r >= 0, "ring %u: %s", ring->index,
		  vh_driver_queue_fault(ring->queue)->text);
	return r;
}

struct vh_driver_used vmm_wait(struct vmm *vmm, struct vmm_ring *ring)
{
	struct vh_driver_used used;

	while (collect(ring, &used) == 0) {
		if (vh_driver_queue_enable_calls(ring->queue))
			continue;
		VMM_CHECK(sleep_for(vmm, ring, VMM_PATIENCE),
			  "ring %u: no answer", ring->index);
	}
	return used;
}

bool vmm_is_quiet(struct vmm *vmm, struct vmm_ring *ring)
{
	struct vh_driver_used used;

	do {
		if (collect(ring, &used))
			return false;
	} while (vh_driver_queue_enable_calls(ring->queue) ||
		 sleep_for(vmm, ring, QUIET));
	return true;
}
