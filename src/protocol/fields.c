/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Payloads into fields: one reader for each layout, which checks what the
 * specification says of each field. */
#include <base/check.h>
#include <inttypes.h>

#include "decoder.h"

#define VRING_ADDR_F_LOG 1u
#define STATUS_MAX	 255
#define QUEUE_SIZE_MAX	 32768
#define IOTLB_PERM_MAX	 3
/* Foreign mapping, grant mapping, not to be mapped in advance. */
#define XEN_FLAGS ((1u << 0) | (1u << 1) | (1u << 8))

static int bad_field(const struct vhi_decoder *d, const char *field,
		     uint64_t value, const char *rule)
{
	return vhi_decode_fail(d, VH_FAULT_MSG_FIELD, -EINVAL,
			       "%s%s: %s is %" PRIu64 " (0x%" PRIx64
			       "), must be %s",
			       d->info->name, d->reply ? "'s reply" : "", field,
			       value, value, rule);
}

static bool is_request(const struct vhi_decoder *d, uint32_t id)
{
	return !d->reply && d->direction == VH_USER_FROM_FRONTEND &&
	       d->info->id == id;
}

static int read_u64(struct vhi_decoder *d, struct vh_message *m)
{
	m->u64 = vhi_read_u64(&d->in);
	if (is_request(d, VH_USER_SET_STATUS) && m->u64 > STATUS_MAX)
		return bad_field(d, "status", m->u64, "at most 255");
	return 0;
}

/*
 * num is reserved in GET_VRING_BASE and the in-band notifications, and
 * taken as it comes: old front-ends leave garbage there, and some ask for
 * a stop without draining by a 1.
 */
static int read_state(struct vhi_decoder *d, struct vh_message *m)
{
	bool is_switch = is_request(d, VH_USER_SET_VRING_ENABLE) ||
			 is_request(d, VH_USER_SET_VRING_ENDIAN);

	m->state.index = vhi_read_u32(&d->in);
	m->state.num = vhi_read_u32(&d->in);
	d->queue = m->state.index;
	if (is_switch && m->state.num > 1)
		return bad_field(d, "num", m->state.num, "0 or 1");
	return 0;
}

static int read_addr(struct vhi_decoder *d, struct vh_message *m)
{
	m->addr.index = vhi_read_u32(&d->in);
	m->addr.flags = vhi_read_u32(&d->in);
	m->addr.descriptors = vhi_read_u64(&d->in);
	m->addr.used = vhi_read_u64(&d->in);
	m->addr.available = vhi_read_u64(&d->in);
	m->addr.log = vhi_read_u64(&d->in);
	d->queue = m->addr.index;
	if (m->addr.flags & ~VRING_ADDR_F_LOG)
		return bad_field(d, "flags", m->addr.flags, "0 or 1");
	return 0;
}

/* The index and flag that stand in one 64-bit number. */
static int read_vring(struct vhi_decoder *d, uint32_t *index, bool *nofd)
{
	uint64_t value = vhi_read_u64(&d->in);

	*index = value & VHI_VRING_INDEX_MASK;
	*nofd = value & VHI_VRING_NOFD;
	d->queue = *index;
	if (value & ~(VHI_VRING_INDEX_MASK | VHI_VRING_NOFD))
		return bad_field(d, "vring", value,
				 "an index in bits 0-7 and a flag in bit 8");
	return 0;
}

static int read_vring_fd(struct vhi_decoder *d, struct vh_message *m)
{
	return read_vring(d, &m->vring_fd.index, &m->vring_fd.nofd);
}

static int read_region(struct vhi_decoder *d, struct vh_message_region *region)
{
	region->guest = vhi_read_u64(&d->in);
	region->size = vhi_read_u64(&d->in);
	region->user = vhi_read_u64(&d->in);
	region->mmap_offset = vhi_read_u64(&d->in);
	if (!vhi_negotiated(d->context, VH_USER_PROTOCOL_F_XEN_MMAP))
		return 0;
	region->xen_flags = vhi_read_u32(&d->in);
	region->xen_domid = vhi_read_u32(&d->in);
	if (region->xen_flags & ~XEN_FLAGS)
		return bad_field(d, "xen mmap flags", region->xen_flags,
				 "made of bits 0, 1 and 8");
	return 0;
}

/*
 * No region at all is allowed: it ends a postcopy hand-over, and a guest
 * without memory has none. User-Mode Linux sends room for two regions and
 * counts one, so the payload may be longer than the regions.
 */
static int read_mem_table(struct vhi_decoder *d, struct vh_message *m)
{
	m->mem_table.count = vhi_read_u32(&d->in);
	vhi_read_u32(&d->in);
	if (m->mem_table.count > VH_USER_MAX_TABLE_REGIONS)
		return bad_field(d, "num regions", m->mem_table.count,
				 "at most 8");
	if (d->in.left <
	    (size_t)m->mem_table.count * vhi_region_size(d->context))
		return vhi_decode_bad_size(
		    d, "enough for the regions that it counts");
	for (uint32_t i = 0; i < m->mem_table.count; i++) {
		int ret = read_region(d, &m->mem_table.regions[i]);

		if (ret < 0)
			return ret;
	}
	vhi_read_bytes(&d->in, d->in.left);
	return 0;
}

static int read_mem_region(struct vhi_decoder *d, struct vh_message *m)
{
	vhi_read_u64(&d->in);
	return read_region(d, &m->mem_region);
}

static int read_log(struct vhi_decoder *d, struct vh_message *m)
{
	m->log.size = vhi_read_u64(&d->in);
	m->log.offset = vhi_read_u64(&d->in);
	if (!d->reply && m->log.size == 0)
		return bad_field(d, "log size", 0, "larger");
	if (!d->reply && vhi_range_wraps(m->log.offset, m->log.size))
		return bad_field(d, "log offset", m->log.offset,
				 "so that offset + size fits 64 bits");
	return 0;
}

static int read_iotlb(struct vhi_decoder *d, struct vh_message *m)
{
	bool back = d->direction == VH_USER_FROM_BACKEND;
	uint8_t first = back ? VH_USER_IOTLB_MISS : VH_USER_IOTLB_UPDATE;
	uint8_t second =
	    back ? VH_USER_IOTLB_ACCESS_FAIL : VH_USER_IOTLB_INVALIDATE;

	m->iotlb.iova = vhi_read_u64(&d->in);
	m->iotlb.size = vhi_read_u64(&d->in);
	m->iotlb.user = vhi_read_u64(&d->in);
	m->iotlb.perm = vhi_read_u8(&d->in);
	m->iotlb.type = vhi_read_u8(&d->in);
	vhi_read_bytes(&d->in, 6);
	if (m->iotlb.type != first && m->iotlb.type != second)
		return bad_field(d, "type", m->iotlb.type,
				 back ? "1 or 4 from a back-end"
				      : "2 or 3 from a front-end");
	if (m->iotlb.perm > IOTLB_PERM_MAX)
		return bad_field(d, "permissions", m->iotlb.perm, "at most 3");
	return 0;
}

static int read_config(struct vhi_decoder *d, struct vh_message *m)
{
	m->config.offset = vhi_read_u32(&d->in);
	m->config.size = vhi_read_u32(&d->in);
	m->config.flags = vhi_read_u32(&d->in);
	if (m->config.size != d->in.left)
		return bad_field(d, "size", m->config.size,
				 "the number of bytes that follow");
	if (m->config.size > UINT32_MAX - m->config.offset)
		return bad_field(d, "offset", m->config.offset,
				 "so that offset + size fits 32 bits");
	if (m->config.flags > 1)
		return bad_field(d, "flags", m->config.flags, "0 or 1");
	m->config.data = vhi_read_bytes(&d->in, m->config.size);
	return 0;
}

static int read_area(struct vhi_decoder *d, struct vh_message *m)
{
	int ret = read_vring(d, &m->area.index, &m->area.nofd);

	m->area.size = vhi_read_u64(&d->in);
	m->area.offset = vhi_read_u64(&d->in);
	return ret;
}

static int read_inflight(struct vhi_decoder *d, struct vh_message *m)
{
	m->inflight.mmap_size = vhi_read_u64(&d->in);
	m->inflight.mmap_offset = vhi_read_u64(&d->in);
	m->inflight.num_queues = vhi_read_u16(&d->in);
	m->inflight.queue_size = vhi_read_u16(&d->in);
	vhi_read_bytes(&d->in, d->in.left);
	if (!d->reply && m->inflight.num_queues == 0)
		return bad_field(d, "num queues", 0, "larger");
	if (!d->reply && (m->inflight.queue_size == 0 ||
			  m->inflight.queue_size > QUEUE_SIZE_MAX))
		return bad_field(d, "queue size", m->inflight.queue_size,
				 "1 to 32768");
	if (is_request(d, VH_USER_SET_INFLIGHT_FD) &&
	    m->inflight.mmap_size == 0)
		return bad_field(d, "mmap size", 0, "larger");
	/* What a GET_INFLIGHT_FD request says of the area is for the reply. */
	if (!is_request(d, VH_USER_GET_INFLIGHT_FD) && m->inflight.mmap_size &&
	    vhi_range_wraps(m->inflight.mmap_offset, m->inflight.mmap_size))
		return bad_field(d, "mmap offset", m->inflight.mmap_offset,
				 "so that offset + size fits 64 bits");
	return 0;
}

static int read_crypto(struct vhi_decoder *d, struct vh_message *m)
{
	m->crypto.session_id = (int64_t)vhi_read_u64(&d->in);
	m->crypto.data = vhi_read_bytes(&d->in, VHI_CRYPTO_DATA_SIZE);
	return 0;
}

static int read_object(struct vhi_decoder *d, struct vh_message *m)
{
	vhi_read(&d->in, m->object.uuid, sizeof(m->object.uuid));
	return 0;
}

static int read_device_state(struct vhi_decoder *d, struct vh_message *m)
{
	m->device_state.direction = vhi_read_u32(&d->in);
	m->device_state.phase = vhi_read_u32(&d->in);
	if (m->device_state.direction > 1)
		return bad_field(d, "direction", m->device_state.direction,
				 "0 or 1");
	if (m->device_state.phase != 0)
		return bad_field(d, "phase", m->device_state.phase, "0");
	return 0;
}

static int read_mmap(struct vhi_decoder *d, struct vh_message *m)
{
	m->mmap.shmid = vhi_read_u8(&d->in);
	vhi_read_bytes(&d->in, 7);
	m->mmap.fd_offset = vhi_read_u64(&d->in);
	m->mmap.shm_offset = vhi_read_u64(&d->in);
	m->mmap.len = vhi_read_u64(&d->in);
	m->mmap.flags = vhi_read_u64(&d->in);
	if (m->mmap.len == 0)
		return bad_field(d, "len", 0, "larger");
	if (vhi_range_wraps(m->mmap.shm_offset, m->mmap.len))
		return bad_field(d, "shm_offset", m->mmap.shm_offset,
				 "so that offset + len fits 64 bits");
	if (vhi_range_wraps(m->mmap.fd_offset, m->mmap.len))
		return bad_field(d, "fd_offset", m->mmap.fd_offset,
				 "so that offset + len fits 64 bits");
	if (m->mmap.flags > 1)
		return bad_field(d, "flags", m->mmap.flags, "0 or 1");
	return 0;
}

static int read_shmem(struct vhi_decoder *d, struct vh_message *m)
{
	m->shmem.count = vhi_read_u32(&d->in);
	vhi_read_u32(&d->in);
	for (uint32_t i = 0; i < VH_USER_MAX_SHMEM; i++)
		m->shmem.sizes[i] = vhi_read_u64(&d->in);
	if (m->shmem.count > VH_USER_MAX_SHMEM)
		return bad_field(d, "num regions", m->shmem.count,
				 "at most 256");
	return 0;
}

static int (*const readers[])(struct vhi_decoder *d, struct vh_message *m) = {
    [VH_PAYLOAD_U64] = read_u64,
    [VH_PAYLOAD_VRING_STATE] = read_state,
    [VH_PAYLOAD_VRING_ADDR] = read_addr,
    [VH_PAYLOAD_VRING_FD] = read_vring_fd,
    [VH_PAYLOAD_MEM_TABLE] = read_mem_table,
    [VH_PAYLOAD_MEM_REGION] = read_mem_region,
    [VH_PAYLOAD_LOG] = read_log,
    [VH_PAYLOAD_IOTLB] = read_iotlb,
    [VH_PAYLOAD_CONFIG] = read_config,
    [VH_PAYLOAD_VRING_AREA] = read_area,
    [VH_PAYLOAD_INFLIGHT] = read_inflight,
    [VH_PAYLOAD_CRYPTO] = read_crypto,
    [VH_PAYLOAD_SHARED_OBJECT] = read_object,
    [VH_PAYLOAD_DEVICE_STATE] = read_device_state,
    [VH_PAYLOAD_MMAP] = read_mmap,
    [VH_PAYLOAD_SHMEM_CONFIG] = read_shmem,
};

/* SET_LOG_BASE and its reply come as a number or as a log description. */
static uint8_t actual_payload(const struct vhi_decoder *d, uint8_t payload)
{
	if (d->header->size == 0)
		return VH_PAYLOAD_NONE;
	if (d->info->fds_rule != VH_FDS_IF_LOG_SHMFD)
		return payload;
	return d->header->size == 8 ? VH_PAYLOAD_U64 : VH_PAYLOAD_LOG;
}

/* The size is within limits that were checked. */
int vhi_decode_payload(struct vhi_decoder *d, uint8_t payload,
		       struct vh_message *ret_message)
{
	struct vh_message message = {
	    .id = d->header->id,
	    .flags = d->header->flags,
	    .payload = actual_payload(d, payload),
	};
	int ret = 0;

	d->in = (struct vhi_reader){d->payload, d->header->size, false};
	if (message.payload != VH_PAYLOAD_NONE)
		ret = readers[message.payload](d, &message);
	if (d->in.overrun || (ret == 0 && d->in.left > 0))
		return vhi_decode_bad_size(d, "that of its layout");
	if (ret < 0)
		return ret;
	*ret_message = message;
	return 0;
}
