/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Messages into bytes: one writer for each payload layout. */
#include <base/check.h>
#include <errno.h>

#include "wire.h"

struct encoder {
	const struct vh_message_context *context;
	struct vhi_writer out;
};

/* The index and flag that stand in one 64-bit number. */
static int write_vring(struct encoder *e, uint32_t index, bool nofd)
{
	if (index > VHI_VRING_INDEX_MASK)
		return -EINVAL;
	vhi_write_u64(&e->out, index | (nofd ? VHI_VRING_NOFD : 0));
	return 0;
}

static void write_region(struct encoder *e,
			 const struct vh_message_region *region)
{
	vhi_write_u64(&e->out, region->guest);
	vhi_write_u64(&e->out, region->size);
	vhi_write_u64(&e->out, region->user);
	vhi_write_u64(&e->out, region->mmap_offset);
	if (vhi_negotiated(e->context, VH_USER_PROTOCOL_F_XEN_MMAP)) {
		vhi_write_u32(&e->out, region->xen_flags);
		vhi_write_u32(&e->out, region->xen_domid);
	}
}

static int write_mem_table(struct encoder *e, const struct vh_message *m)
{
	if (m->mem_table.count > VH_USER_MAX_TABLE_REGIONS)
		return -EINVAL;
	vhi_write_u32(&e->out, m->mem_table.count);
	vhi_write_u32(&e->out, 0);
	for (uint32_t i = 0; i < m->mem_table.count; i++)
		write_region(e, &m->mem_table.regions[i]);
	return 0;
}

static int write_config(struct encoder *e, const struct vh_message *m)
{
	if (m->config.size == 0 || m->config.size > VH_USER_MAX_CONFIG)
		return -EINVAL;
	vhi_write_u32(&e->out, m->config.offset);
	vhi_write_u32(&e->out, m->config.size);
	vhi_write_u32(&e->out, m->config.flags);
	vhi_write(&e->out, m->config.data, m->config.size);
	return 0;
}

static int write_addr(struct encoder *e, const struct vh_message *m)
{
	vhi_write_u32(&e->out, m->addr.index);
	vhi_write_u32(&e->out, m->addr.flags);
	vhi_write_u64(&e->out, m->addr.descriptors);
	vhi_write_u64(&e->out, m->addr.used);
	vhi_write_u64(&e->out, m->addr.available);
	vhi_write_u64(&e->out, m->addr.log);
	return 0;
}

static int write_iotlb(struct encoder *e, const struct vh_message *m)
{
	vhi_write_u64(&e->out, m->iotlb.iova);
	vhi_write_u64(&e->out, m->iotlb.size);
	vhi_write_u64(&e->out, m->iotlb.user);
	vhi_write_u8(&e->out, m->iotlb.perm);
	vhi_write_u8(&e->out, m->iotlb.type);
	vhi_write(&e->out, NULL, 6);
	return 0;
}

static int write_area(struct encoder *e, const struct vh_message *m)
{
	int ret = write_vring(e, m->area.index, m->area.nofd);

	vhi_write_u64(&e->out, m->area.size);
	vhi_write_u64(&e->out, m->area.offset);
	return ret;
}

static int write_inflight(struct encoder *e, const struct vh_message *m)
{
	vhi_write_u64(&e->out, m->inflight.mmap_size);
	vhi_write_u64(&e->out, m->inflight.mmap_offset);
	vhi_write_u16(&e->out, m->inflight.num_queues);
	vhi_write_u16(&e->out, m->inflight.queue_size);
	vhi_write(&e->out, NULL, 4);
	return 0;
}

static int write_mmap(struct encoder *e, const struct vh_message *m)
{
	vhi_write_u8(&e->out, m->mmap.shmid);
	vhi_write(&e->out, NULL, 7);
	vhi_write_u64(&e->out, m->mmap.fd_offset);
	vhi_write_u64(&e->out, m->mmap.shm_offset);
	vhi_write_u64(&e->out, m->mmap.len);
	vhi_write_u64(&e->out, m->mmap.flags);
	return 0;
}

static int write_shmem(struct encoder *e, const struct vh_message *m)
{
	if (m->shmem.count > VH_USER_MAX_SHMEM)
		return -EINVAL;
	vhi_write_u32(&e->out, m->shmem.count);
	vhi_write_u32(&e->out, 0);
	/* count doesn't bound them: sizes of unused ids between are 0. */
	for (uint32_t i = 0; i < VH_USER_MAX_SHMEM; i++)
		vhi_write_u64(&e->out, m->shmem.sizes[i]);
	return 0;
}

/* Two numbers of 32 bits. */
static int write_pair(struct encoder *e, uint32_t first, uint32_t second)
{
	vhi_write_u32(&e->out, first);
	vhi_write_u32(&e->out, second);
	return 0;
}

static int write_payload(struct encoder *e, const struct vh_message *m)
{
	switch (m->payload) {
	case VH_PAYLOAD_NONE:
		return 0;
	case VH_PAYLOAD_U64:
		vhi_write_u64(&e->out, m->u64);
		return 0;
	case VH_PAYLOAD_VRING_STATE:
		return write_pair(e, m->state.index, m->state.num);
	case VH_PAYLOAD_VRING_ADDR:
		return write_addr(e, m);
	case VH_PAYLOAD_VRING_FD:
		return write_vring(e, m->vring_fd.index, m->vring_fd.nofd);
	case VH_PAYLOAD_MEM_TABLE:
		return write_mem_table(e, m);
	case VH_PAYLOAD_MEM_REGION:
		vhi_write_u64(&e->out, 0);
		write_region(e, &m->mem_region);
		return 0;
	case VH_PAYLOAD_LOG:
		vhi_write_u64(&e->out, m->log.size);
		vhi_write_u64(&e->out, m->log.offset);
		return 0;
	case VH_PAYLOAD_IOTLB:
		return write_iotlb(e, m);
	case VH_PAYLOAD_CONFIG:
		return write_config(e, m);
	case VH_PAYLOAD_VRING_AREA:
		return write_area(e, m);
	case VH_PAYLOAD_INFLIGHT:
		return write_inflight(e, m);
	case VH_PAYLOAD_CRYPTO:
		vhi_write_u64(&e->out, (uint64_t)m->crypto.session_id);
		vhi_write(&e->out, m->crypto.data, VHI_CRYPTO_DATA_SIZE);
		return 0;
	case VH_PAYLOAD_SHARED_OBJECT:
		vhi_write(&e->out, m->object.uuid, sizeof(m->object.uuid));
		return 0;
	case VH_PAYLOAD_DEVICE_STATE:
		return write_pair(e, m->device_state.direction,
				  m->device_state.phase);
	case VH_PAYLOAD_MMAP:
		return write_mmap(e, m);
	case VH_PAYLOAD_SHMEM_CONFIG:
		return write_shmem(e, m);
	default:
		return -EINVAL;
	}
}

int vh_message_encode(const struct vh_message_context *context,
		      const struct vh_message *message, uint8_t *buffer,
		      size_t size)
{
	uint32_t flags =
	    (message->flags & ~VH_USER_VERSION_MASK) | VH_USER_VERSION;
	struct encoder e = {.context = context};
	size_t payload_size;
	int ret;

	if (size < VH_USER_HEADER_SIZE)
		return -ENOBUFS;
	e.out = (struct vhi_writer){
	    .at = buffer + VH_USER_HEADER_SIZE,
	    .left = size - VH_USER_HEADER_SIZE,
	};
	ret = write_payload(&e, message);
	if (ret < 0)
		return ret;
	if (e.out.overrun)
		return -ENOBUFS;

	payload_size = (size_t)(e.out.at - buffer) - VH_USER_HEADER_SIZE;
	e.out = (struct vhi_writer){buffer, VH_USER_HEADER_SIZE, false};
	vhi_write_u32(&e.out, message->id);
	vhi_write_u32(&e.out, flags);
	vhi_write_u32(&e.out, (uint32_t)payload_size);
	return (int)(VH_USER_HEADER_SIZE + payload_size);
}
