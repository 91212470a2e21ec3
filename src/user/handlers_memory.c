/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests about guest memory: its regions, where rings are in it, the log of
 * what is written to it, and the IOTLB in front of it.
 */
#include "handler.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <string.h>

/* The back-end has taken the regions; now we note where they are. */
static int noted(struct vh_user_server *server, int r)
{
	return r == 0 ? 0
		      : vhi_fault(&server->fault, VH_FAULT_SYSTEM, r, "",
				  "the list of memory regions: %s",
				  strerrordesc_np(-r));
}

static struct vh_region region_of(const struct vh_message_region *from, int fd)
{
	return (struct vh_region){
	    .guest = from->guest,
	    .size = from->size,
	    .user = {from->user},
	    .fd_offset = from->mmap_offset,
	    .fd = fd,
	};
}

/* The same table goes back, with addresses of the back-end ("Migration"). */
static int set_postcopy_table(struct vh_user_server *server,
			      const struct vh_message *m,
			      const struct vh_region regions[],
			      struct vhi_reply *reply)
{
	uint64_t addresses[VH_USER_MAX_TABLE_REGIONS];
	uint32_t count = m->mem_table.count;
	int r;

	if (count == 0)
		return vhi_done(server,
				vh_backend_postcopy_ready(server->backend));
	r = vh_backend_postcopy_set_memory(server->backend, regions, count,
					   addresses);
	if (r < 0)
		return vhi_done(server, r);
	reply->made = true;
	reply->message = *m;
	for (uint32_t i = 0; i < count; i++)
		reply->message.mem_table.regions[i].user = addresses[i];
	return 0;
}

HANDLER(vhi_set_mem_table)
{
	struct vhi_session *session = &server->session;
	struct vh_region regions[VH_USER_MAX_TABLE_REGIONS] = {{.fd = -1}};
	uint32_t count = m->mem_table.count;
	int r;

	for (uint32_t i = 0; i < count; i++)
		regions[i] =
		    region_of(&m->mem_table.regions[i],
			      vhi_channel_take_fd(session->channel, i));
	r = session->postcopy
		? set_postcopy_table(server, m, regions, reply)
		: vhi_done(server, vh_backend_set_mem_table(server->backend,
							    regions, count));
	if (r == 0 && (count > 0 || !session->postcopy))
		r = noted(server,
			  vhi_regions_set(&session->regions, regions, count));
	for (uint32_t i = 0; i < count; i++)
		vhi_fd_close(&regions[i].fd);
	return r;
}

HANDLER(vhi_add_mem_reg)
{
	struct vhi_session *session = &server->session;
	struct vh_region region =
	    region_of(&m->mem_region, vhi_channel_take_fd(session->channel, 0));
	int r =
	    vhi_done(server, vh_backend_add_region(server->backend, &region));

	UNUSED(reply);
	if (r == 0)
		r = noted(server, vhi_regions_add(&session->regions, &region));
	vhi_fd_close(&region.fd);
	return r;
}

HANDLER(vhi_rem_mem_reg)
{
	struct vh_region region = region_of(&m->mem_region, -1);
	int r = vhi_done(server,
			 vh_backend_remove_region(server->backend, &region));

	UNUSED(reply);
	if (r == 0)
		vhi_regions_remove(&server->session.regions, &region);
	return r;
}

/* Replaces a front-end address. */
static int part_to_guest(struct vh_user_server *server, const char *part,
			 vh_gpa *address)
{
	const struct vh_user_addr user = {*address};

	if (vhi_regions_to_guest(&server->session.regions, user, address))
		return 0;
	return vhi_fault(&server->fault, VH_FAULT_RING_ADDR, -EFAULT,
			 "A vring address description",
			 "%s ring at front-end address 0x%llx isn't in any "
			 "memory region",
			 part, (unsigned long long)user.raw);
}

static int ring_to_guest(struct vh_user_server *server,
			 struct vh_vring_addr *addr)
{
	int r = part_to_guest(server, "descriptor", &addr->descriptors);

	if (r == 0)
		r = part_to_guest(server, "available", &addr->available);
	return r < 0 ? r : part_to_guest(server, "used", &addr->used);
}

HANDLER(vhi_set_vring_addr)
{
	struct vh_vring_addr addr = {
	    .descriptors = m->addr.descriptors,
	    .available = m->addr.available,
	    .used = m->addr.used,
	    .flags = m->addr.flags,
	    .log = m->addr.log,
	};
	int r = 0;

	UNUSED(reply);
	/* Behind an IOMMU they are IOVAs, which mean the same everywhere. */
	if (!(server->session.context.features & VH_F_ACCESS_PLATFORM))
		r = ring_to_guest(server, &addr);
	if (r < 0) {
		server->fault.queue = m->addr.index;
		return r;
	}
	return vhi_done(server, vh_backend_set_vring_addr(
				    server->backend, m->addr.index, &addr));
}

HANDLER(vhi_set_log_base)
{
	const struct vh_log_area area = {
	    .size = m->log.size,
	    .offset = m->log.offset,
	};
	int fd, r;

	if (!vhi_session_has(server, VH_USER_PROTOCOL_F_LOG_SHMFD))
		return vhi_fault(&server->fault, VH_FAULT_UNSUPPORTED,
				 -EOPNOTSUPP, "Migration",
				 "without LOG_SHMFD the log is in memory that "
				 "only the front-end has");
	fd = vhi_channel_take_fd(server->session.channel, 0);
	r = vh_backend_set_log_base(server->backend, &area, fd);
	vhi_fd_close(&fd);
	return r < 0 ? vhi_done(server, r) : vhi_reply_u64(reply, 0);
}

HANDLER(vhi_set_log_fd)
{
	int fd = vhi_channel_take_fd(server->session.channel, 0);
	int r = vh_backend_set_log_fd(server->backend, fd);

	UNUSED(m), UNUSED(reply);
	vhi_fd_close(&fd);
	return vhi_done(server, r);
}

static int bad_update(struct vh_user_server *server, const struct vh_message *m,
		      int error, const char *rule)
{
	return vhi_fault(&server->fault, VH_FAULT_MSG_FIELD, error,
			 "IOMMU support",
			 "IOTLB update of IOVA 0x%llx, %llu bytes at front-end "
			 "address 0x%llx: %s",
			 (unsigned long long)m->iotlb.iova,
			 (unsigned long long)m->iotlb.size,
			 (unsigned long long)m->iotlb.user, rule);
}

/* All of it must be right before a part of it counts. */
static int check_update(struct vh_user_server *server,
			const struct vh_message *m)
{
	struct vh_user_addr user = {m->iotlb.user};
	uint64_t part, left = m->iotlb.size;
	vh_gpa guest;

	if (!left)
		return bad_update(server, m, -EINVAL, "it is empty");
	if (vhi_range_wraps(m->iotlb.iova, left) ||
	    vhi_range_wraps(user.raw, left))
		return bad_update(server, m, -EINVAL, "it wraps 2^64");
	for (; left; user.raw += part, left -= part) {
		part = vhi_regions_to_guest(&server->session.regions, user,
					    &guest);
		if (!part)
			return bad_update(server, m, -EFAULT,
					  "not all of it is in memory regions");
		if (part > left)
			part = left;
	}
	return 0;
}

/*
 * What follows on a region in front-end addresses need not do so in guest
 * addresses: an entry over several regions becomes as many.
 */
static int update_iotlb(struct vh_user_server *server,
			const struct vh_message *m)
{
	struct vh_iotlb_entry entry = {
	    .iova = m->iotlb.iova, .access = m->iotlb.perm, /* the same bits */
	};
	struct vh_user_addr user = {m->iotlb.user};
	uint64_t left = m->iotlb.size;
	int r = check_update(server, m);

	for (; r == 0 && left; left -= entry.size) {
		entry.size = vhi_regions_to_guest(&server->session.regions,
						  user, &entry.guest);
		if (entry.size > left)
			entry.size = left;
		r = vhi_done(server,
			     vh_backend_iotlb_update(server->backend, &entry));
		entry.iova += entry.size;
		user.raw += entry.size;
	}
	return r;
}

HANDLER(vhi_iotlb_msg)
{
	int r;

	if (m->iotlb.type == VH_USER_IOTLB_UPDATE)
		r = update_iotlb(server, m);
	else
		r = vhi_done(
		    server, vh_backend_iotlb_invalidate(
				server->backend, m->iotlb.iova, m->iotlb.size));
	return r < 0 ? r : vhi_reply_u64(reply, 0);
}
