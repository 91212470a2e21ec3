/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The area that tracks requests in flight: made here, kept by the front-end,
 * given back to whoever serves the device next.
 */
#include "device.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <fcntl.h>
#include <memory/translate.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION "Inflight I/O tracking"

static bool is_packed(const struct vh_device *device)
{
	return device->features & VH_F_RING_PACKED;
}

static size_t queue_part(bool packed, uint16_t queue_size)
{
	return packed ? VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(queue_size)
		      : VH_VIRTQUEUE_INFLIGHT_SIZE(queue_size);
}

/* Parts begin at cache lines, so that queues don't share one. */
static uint64_t part_size(bool packed, uint16_t queue_size)
{
	uint64_t size = queue_part(packed, queue_size);

	return (size + 63) & ~UINT64_C(63);
}

static int check_numbers(struct vh_backend *b,
			 const struct vh_inflight *inflight)
{
	const struct vh_device *device = vhi_device_of(b);

	if (!inflight->num_queues ||
	    inflight->num_queues > device->opts.num_queues)
		return vhi_fault(&b->fault, VH_FAULT_MSG_FIELD, -EINVAL,
				 SECTION,
				 "an area for %u queues, there are 1 to %u",
				 inflight->num_queues, device->opts.num_queues);
	if (!inflight->queue_size ||
	    inflight->queue_size > device->opts.max_queue_size)
		return vhi_fault(
		    &b->fault, VH_FAULT_MSG_FIELD, -EINVAL, SECTION,
		    "an area for queues of %u, the limit is %u",
		    inflight->queue_size, device->opts.max_queue_size);
	return 0;
}

int vhi_device_get_inflight(struct vh_backend *b, struct vh_inflight *inflight,
			    int *ret_fd)
{
	int r = check_numbers(b, inflight);
	uint64_t size;
	int fd;

	if (r < 0)
		return r;
	size = part_size(is_packed(vhi_device_of(b)), inflight->queue_size) *
	       inflight->num_queues;
	fd = memfd_create("vhost-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* Nobody shall pull it away from under us. */
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		r = -errno;
		vhi_fd_close(&fd);
		return r;
	}
	inflight->mmap_size = size;
	inflight->mmap_offset = 0;
	*ret_fd = fd;
	return 0;
}

static int check_file(struct vh_backend *b, const struct vh_inflight *inflight,
		      int fd)
{
	uint64_t need =
	    part_size(is_packed(vhi_device_of(b)), inflight->queue_size) *
	    inflight->num_queues;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (inflight->mmap_size < need)
		return vhi_fault(&b->fault, VH_FAULT_MSG_FIELD, -EINVAL,
				 SECTION,
				 "an area of %llu bytes, %u queues of %u need "
				 "%llu",
				 (unsigned long long)inflight->mmap_size,
				 inflight->num_queues, inflight->queue_size,
				 (unsigned long long)need);
	if (!vhi_range_inside(inflight->mmap_offset, inflight->mmap_size, 0,
			      (uint64_t)st.st_size))
		return vhi_fault(&b->fault, VH_FAULT_MEM_FILE, -EINVAL, SECTION,
				 "%llu bytes at %llu of a file of %lld",
				 (unsigned long long)inflight->mmap_size,
				 (unsigned long long)inflight->mmap_offset,
				 (long long)st.st_size);
	/* The parts are structs with 8-byte members. */
	if (inflight->mmap_offset % 8)
		return vhi_fault(&b->fault, VH_FAULT_MSG_FIELD, -EINVAL,
				 SECTION, "offset %llu isn't aligned to 8",
				 (unsigned long long)inflight->mmap_offset);
	return 0;
}

int vhi_device_set_inflight(struct vh_backend *b,
			    const struct vh_inflight *inflight, int fd)
{
	struct vh_device *device = vhi_device_of(b);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t skip = inflight->mmap_offset % page;
	int r = check_numbers(b, inflight);
	char *map;

	if (r == 0)
		r = check_file(b, inflight, fd);
	if (r < 0)
		return r;
	if (vhi_device_started(device))
		return vhi_fault(&b->fault, VH_FAULT_MSG_STATE, -EBUSY, SECTION,
				 "the area can't change while a ring is "
				 "started");
	map = mmap(NULL, inflight->mmap_size + skip, PROT_READ | PROT_WRITE,
		   MAP_SHARED, fd, (off_t)(inflight->mmap_offset - skip));
	if (map == MAP_FAILED)
		return vhi_fault(&b->fault, VH_FAULT_MEM_MAP, -errno, SECTION,
				 "the area can't be mapped: error %d", errno);
	vhi_device_drop_inflight(device);
	device->area = (struct vhi_area){
	    .map = map,
	    .map_size = inflight->mmap_size + skip,
	    .start = map + skip,
	    .num_queues = inflight->num_queues,
	    .queue_size = inflight->queue_size,
	    .packed = is_packed(device),
	};
	return 0;
}

void vhi_device_drop_inflight(struct vh_device *device)
{
	if (device->area.map)
		munmap(device->area.map, device->area.map_size);
	device->area = (struct vhi_area){0};
}

/* The driver was reset and wants nothing of it any more. */
void vhi_device_forget_inflight(struct vh_device *device)
{
	size_t size;

	/* It is the front-end's file: it may be gone. */
	vhi_memory_guard_begin();
	for (uint32_t i = 0; i < device->area.num_queues; i++)
		vh_virtqueue_forget_inflight(
		    vhi_device_inflight(device, i, &size));
	vhi_memory_guard_end();
}

void *vhi_device_inflight(const struct vh_device *device, uint32_t queue,
			  size_t *ret_size)
{
	const struct vhi_area *area = &device->area;
	uint64_t part = part_size(area->packed, area->queue_size);

	if (!area->map || queue >= area->num_queues)
		return NULL;
	*ret_size = queue_part(area->packed, area->queue_size);
	return area->start + queue * part;
}
