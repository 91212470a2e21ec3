/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Memory of a back-end behind a socket. A change is first made in our own map,
 * which knows every rule and doesn't count yet; then it is sent; then the new
 * map counts. So whatever fails, the map is what the back-end has.
 */
#include "client.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <memory/iotlb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SECTION "Memory region description"

static bool has_slots(const struct vhi_client *c)
{
	return vhi_client_has(c, VH_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

struct vh_message_region vhi_client_on_the_wire(const struct vh_region *region)
{
	return (struct vh_message_region){
	    .guest = region->guest,
	    .size = region->size,
	    .user = region->user.raw,
	    .mmap_offset = region->fd_offset,
	};
}

static int send_table(struct vhi_client *c, const struct vh_region list[],
		      unsigned int count)
{
	struct vh_message m = {
	    .id = VH_USER_SET_MEM_TABLE,
	    .payload = VH_PAYLOAD_MEM_TABLE,
	    .mem_table.count = count,
	};
	int fds[VH_USER_MAX_TABLE_REGIONS];

	for (unsigned int i = 0; i < count; i++) {
		m.mem_table.regions[i] = vhi_client_on_the_wire(&list[i]);
		fds[i] = list[i].fd;
	}
	return vhi_client_call(c, &m, fds, count, NULL);
}

static int send_region(struct vhi_client *c, uint32_t id,
		       const struct vh_region *region)
{
	const struct vh_message m = {
	    .id = id,
	    .payload = VH_PAYLOAD_MEM_REGION,
	    .mem_region = vhi_client_on_the_wire(region),
	};

	return vhi_client_call(c, &m, &region->fd, id == VH_USER_ADD_MEM_REG,
			       NULL);
}

static int check_count(struct vhi_client *c, unsigned int count)
{
	if (count <= c->slots)
		return 0;
	return vhi_fault(
	    &c->backend.fault, VH_FAULT_MEM_SLOTS, -ENOSPC, SECTION,
	    "%u regions, the back-end has %" PRIu32 " slots%s", count, c->slots,
	    has_slots(c) ? "" : " without CONFIGURE_MEM_SLOTS");
}

static void free_list(struct vh_region list[], unsigned int count)
{
	for (unsigned int i = 0; list && i < count; i++)
		vhi_fd_close(&list[i].fd);
	free(list);
}

/* A copy with descriptors of its own; NULL: the fault says why not. */
static struct vh_region *copy_list(struct vhi_client *c,
				   const struct vh_region list[],
				   unsigned int count)
{
	struct vh_region *copy = calloc(count + 1, sizeof(*copy));

	if (!copy)
		vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, -ENOMEM, "",
			  "no memory for the list of regions");
	for (unsigned int i = 0; copy && i < count; i++) {
		copy[i] = list[i];
		copy[i].fd = vhi_fd_dup(list[i].fd);
		if (copy[i].fd >= 0)
			continue;
		vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, copy[i].fd, "",
			  "descriptor %d: %s", list[i].fd,
			  strerrordesc_np(-copy[i].fd));
		free_list(copy, i);
		copy = NULL;
	}
	return copy;
}

static int make_map(struct vhi_client *c, const struct vh_region list[],
		    unsigned int count, struct vh_memory **ret)
{
	struct vh_memory *map = NULL, *next = NULL;
	int r = vh_memory_new(&map);

	for (unsigned int i = 0; r == 0 && i < count; i++) {
		r = vh_memory_add(map, &list[i], &c->backend.fault, &next);
		vh_memory_unref(map);
		map = r == 0 ? next : NULL;
	}
	if (r == 0)
		*ret = map;
	else if (c->backend.fault.code == VH_FAULT_NONE)
		vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, r, "",
			  "the memory map: %s", strerrordesc_np(-r));
	return r;
}

static bool same_region(const struct vh_region *a, const struct vh_region *b)
{
	return a->guest == b->guest && a->size == b->size &&
	       a->user.raw == b->user.raw;
}

/* The same bytes of the same file, too. */
static bool same_content(const struct vh_region *a, const struct vh_region *b)
{
	struct stat sa, sb;

	return same_region(a, b) && a->fd_offset == b->fd_offset &&
	       fstat(a->fd, &sa) == 0 && fstat(b->fd, &sb) == 0 &&
	       sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static bool contains(const struct vh_region list[], unsigned int count,
		     const struct vh_region *region)
{
	for (unsigned int i = 0; i < count; i++)
		if (same_content(&list[i], region))
			return true;
	return false;
}

/* Sends id for what is in one list and not in the other; *ret_sent counts. */
static int send_missing(struct vhi_client *c, uint32_t id,
			const struct vhi_client_memory *in,
			const struct vhi_client_memory *not_in,
			unsigned int *ret_sent)
{
	int r = 0;

	*ret_sent = 0;
	for (unsigned int i = 0; r == 0 && i < in->count; i++) {
		if (contains(not_in->list, not_in->count, &in->list[i]))
			continue;
		r = send_region(c, id, &in->list[i]);
		if (r == 0)
			++*ret_sent;
	}
	return r;
}

/* Undoes the first sent of what send_missing() did. */
static int send_back(struct vhi_client *c, uint32_t id,
		     const struct vhi_client_memory *in,
		     const struct vhi_client_memory *not_in, unsigned int sent)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && sent > 0; i++) {
		if (contains(not_in->list, not_in->count, &in->list[i]))
			continue;
		r = send_region(c, id, &in->list[i]);
		sent--;
	}
	return r;
}

/* One by one: only the difference. All or nothing, as far as it goes. */
static int change_slots(struct vhi_client *c,
			const struct vhi_client_memory *to)
{
	const struct vhi_client_memory *from = &c->memory;
	unsigned int removed, added = 0;
	struct vh_fault why;
	int r, back;

	r = send_missing(c, VH_USER_REM_MEM_REG, from, to, &removed);
	if (r == 0)
		r = send_missing(c, VH_USER_ADD_MEM_REG, to, from, &added);
	if (r == 0 || !c->channel)
		return r;
	why = c->backend.fault;
	back = send_back(c, VH_USER_REM_MEM_REG, to, from, added);
	if (back == 0)
		back = send_back(c, VH_USER_ADD_MEM_REG, from, to, removed);
	if (back < 0 && c->channel)
		vhi_client_lose(c);
	c->backend.fault = why;
	return r;
}

int vhi_client_begin_table(struct vhi_client *c,
			   const struct vh_region regions[], unsigned int count,
			   struct vhi_client_memory *ret_next)
{
	struct vhi_client_memory next = {.count = count};
	int r = check_count(c, count);

	if (r == 0)
		r = make_map(c, regions, count, &next.map);
	if (r < 0)
		return r;
	next.list = copy_list(c, regions, count);
	if (!next.list) {
		r = c->backend.fault.error;
		vh_memory_unref(next.map);
		return r < 0 ? r : -ENOMEM;
	}
	*ret_next = next;
	return 0;
}

int vhi_client_end_table(struct vhi_client *c,
			 const struct vhi_client_memory *next, int r)
{
	struct vhi_client_memory gone = r == 0 ? c->memory : *next;

	if (r == 0)
		c->memory = *next;
	free_list(gone.list, gone.count);
	vh_memory_unref(gone.map);
	return r;
}

int vhi_client_set_mem_table(struct vh_backend *b,
			     const struct vh_region regions[],
			     unsigned int count)
{
	struct vhi_client *c = vhi_client_of(b);
	struct vhi_client_memory next;
	int r;

	if (c->postcopy >= VHI_POSTCOPY_LISTENING)
		return vhi_fault(&b->fault, VH_FAULT_MSG_STATE, -EBUSY,
				 "Migration",
				 "a table during postcopy is for "
				 "vh_backend_postcopy_set_memory()");
	r = vhi_client_begin_table(c, regions, count, &next);
	if (r < 0)
		return r;
	if (has_slots(c) && (count == 0 || count > VH_USER_MAX_TABLE_REGIONS))
		r = change_slots(c, &next);
	else
		r = send_table(c, next.list, count);
	return vhi_client_end_table(c, &next, r);
}

int vhi_client_add_region(struct vh_backend *b, const struct vh_region *region)
{
	struct vhi_client *c = vhi_client_of(b);
	unsigned int count = c->memory.count;
	struct vh_region *list;
	struct vh_memory *map = NULL;
	int fd, r = check_count(c, count + 1);

	if (r == 0)
		r = vh_memory_add(c->memory.map, region, &b->fault, &map);
	if (r < 0)
		return r;
	fd = vhi_fd_dup(region->fd);
	list = fd < 0 ? NULL
		      : realloc(c->memory.list, (count + 1) * sizeof(*list));
	if (!list) {
		vh_memory_unref(map);
		r = fd < 0 ? fd : -ENOMEM;
		vhi_fd_close(&fd);
		return vhi_fault(&b->fault, VH_FAULT_SYSTEM, r, "",
				 "one more region: %s", strerrordesc_np(-r));
	}
	c->memory.list = list;
	list[count] = *region;
	list[count].fd = fd;
	r = has_slots(c) ? send_region(c, VH_USER_ADD_MEM_REG, &list[count])
			 : send_table(c, list, count + 1);
	if (r < 0) {
		vhi_fd_close(&list[count].fd);
		vh_memory_unref(map);
		return r;
	}
	vh_memory_unref(c->memory.map);
	c->memory.map = map;
	c->memory.count++;
	return 0;
}

/* The list stays in order: the last one must not take the gap. */
static void take_out(struct vhi_client_memory *memory, unsigned int at)
{
	struct vh_region gone = memory->list[at];

	memmove(&memory->list[at], &memory->list[at + 1],
		(memory->count - at - 1) * sizeof(gone));
	memory->list[memory->count - 1] = gone;
}

static void put_back(struct vhi_client_memory *memory, unsigned int at)
{
	struct vh_region gone = memory->list[memory->count - 1];

	memmove(&memory->list[at + 1], &memory->list[at],
		(memory->count - at - 1) * sizeof(gone));
	memory->list[at] = gone;
}

int vhi_client_remove_region(struct vh_backend *b,
			     const struct vh_region *region)
{
	struct vhi_client *c = vhi_client_of(b);
	struct vhi_client_memory *memory = &c->memory;
	struct vh_memory *map = NULL;
	unsigned int at = 0;
	int r = vh_memory_remove(memory->map, region, &b->fault, &map);

	if (r < 0)
		return r;
	while (!same_region(&memory->list[at], region))
		at++;
	if (has_slots(c)) {
		r = send_region(c, VH_USER_REM_MEM_REG, &memory->list[at]);
		if (r == 0)
			take_out(memory, at);
	} else {
		take_out(memory, at);
		r = send_table(c, memory->list, memory->count - 1);
		if (r < 0)
			put_back(memory, at);
	}
	if (r < 0) {
		vh_memory_unref(map);
		return r;
	}
	memory->count--;
	vhi_fd_close(&memory->list[memory->count].fd);
	vh_memory_unref(memory->map);
	memory->map = map;
	return 0;
}

void vhi_client_drop_memory(struct vhi_client *c)
{
	free_list(c->memory.list, c->memory.count);
	vh_memory_unref(c->memory.map);
	c->memory = (struct vhi_client_memory){0};
}

/*
 * Takes everything back. Without slots the back-end keeps what it has until
 * the next table: an empty one is more than some of them survive.
 */
int vhi_client_forget_memory(struct vhi_client *c)
{
	struct vh_memory *none = NULL;
	int r = vh_memory_new(&none);

	if (r < 0)
		return r;
	while (c->channel && has_slots(c) && r == 0 && c->memory.count > 0) {
		const struct vh_region region =
		    c->memory.list[c->memory.count - 1];

		r = vhi_client_remove_region(&c->backend, &region);
	}
	vhi_client_drop_memory(c);
	c->memory.map = none;
	return r;
}

int vhi_client_check_file(struct vhi_client *c, int fd, uint64_t offset,
			  uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return vhi_fault(&c->backend.fault, VH_FAULT_CALLER, -errno, "",
				 "descriptor %d: %m", fd);
	if (size > 0 && vhi_range_inside(offset, size, 0, (uint64_t)st.st_size))
		return 0;
	return vhi_fault(&c->backend.fault, VH_FAULT_MEM_FILE, -EINVAL, "",
			 "%" PRIu64 " bytes at %" PRIu64 " of a file of "
			 "%lld",
			 size, offset, (long long)st.st_size);
}

static int send_iotlb(struct vhi_client *c, uint8_t type,
		      const struct vh_iotlb_entry *entry,
		      struct vh_user_addr user)
{
	const struct vh_message m = {
	    .id = VH_USER_IOTLB_MSG,
	    .payload = VH_PAYLOAD_IOTLB,
	    .iotlb.iova = entry->iova,
	    .iotlb.size = entry->size,
	    .iotlb.user = user.raw,
	    .iotlb.perm = (uint8_t)entry->access, /* the same bits */
	    .iotlb.type = type,
	};

	return vhi_client_call(c, &m, NULL, 0, NULL);
}

/* The bytes from guest on that lie in its region; 0: it is in none. */
static uint64_t room_at(const struct vhi_client *c, vh_gpa guest,
			struct vh_user_addr *ret_user)
{
	for (unsigned int i = 0; i < c->memory.count; i++) {
		const struct vh_region *r = &c->memory.list[i];

		if (guest < r->guest || guest - r->guest >= r->size)
			continue;
		ret_user->raw = r->user.raw + (guest - r->guest);
		return r->size - (guest - r->guest);
	}
	return 0;
}

static int invalidate(struct vhi_client *c, vh_gpa iova, uint64_t size)
{
	const struct vh_iotlb_entry range = {
	    .iova = iova,
	    .size = vhi_range_clip(iova, size),
	};

	return send_iotlb(c, VH_USER_IOTLB_INVALIDATE, &range,
			  (struct vh_user_addr){0});
}

/*
 * Takes the parts of an entry out again that came before one that failed. If
 * that fails, too, nobody knows what the back-end has, and it is left.
 */
static void undo(struct vhi_client *c, vh_gpa iova, uint64_t size)
{
	const struct vh_fault words = c->backend.fault;

	if (size == 0)
		return;
	if (invalidate(c, iova, size) < 0 && c->channel)
		vhi_client_lose(c);
	c->backend.fault = words;
}

/*
 * Neighbours in guest addresses need not be neighbours in ours: an entry over
 * several regions becomes as many. send: else it is only checked.
 */
static int each_part(struct vhi_client *c, const struct vh_iotlb_entry *entry,
		     bool send)
{
	struct vh_iotlb_entry part = *entry;
	uint64_t left = entry->size;
	struct vh_user_addr user;
	int r = 0;

	for (; r == 0 && left; left -= part.size) {
		part.size = room_at(c, part.guest, &user);
		if (!part.size)
			return vhi_fault(&c->backend.fault, VH_FAULT_MEM_IOTLB,
					 -EFAULT, "IOMMU support",
					 "IOTLB entry of IOVA 0x%" PRIx64
					 ": guest address 0x%" PRIx64
					 " isn't in any memory region",
					 entry->iova, part.guest);
		if (part.size > left)
			part.size = left;
		if (send)
			r = send_iotlb(c, VH_USER_IOTLB_UPDATE, &part, user);
		if (r < 0)
			undo(c, entry->iova, part.iova - entry->iova);
		part.iova += part.size;
		part.guest += part.size;
	}
	return r;
}

int vhi_client_iotlb_update(struct vh_backend *b,
			    const struct vh_iotlb_entry *entry)
{
	struct vhi_client *c = vhi_client_of(b);
	int r = vhi_iotlb_check_entry(entry, &b->fault);

	if (r == 0)
		r = each_part(c, entry, false);
	return r == 0 ? each_part(c, entry, true) : r;
}

int vhi_client_iotlb_invalidate(struct vh_backend *b, vh_gpa iova,
				uint64_t size)
{
	if (size == 0)
		return vhi_fault(&b->fault, VH_FAULT_MEM_IOTLB, -EINVAL,
				 "IOMMU support",
				 "the range of IOVAs to forget is empty");
	return invalidate(vhi_client_of(b), iova, size);
}
