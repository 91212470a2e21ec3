/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A back-end behind vhost-vdpa. */
#ifndef VDPA_VDPA_H
#define VDPA_VDPA_H

#include <backend/backend.h>
#include <ioctl/ram.h>
#include <ioctl/vring.h>
#include <libvhost/vdpa.h>

#define VDPA_S_FEATURES_OK 0x08u
#define VDPA_S_DRIVER_OK   0x04u
#define VDPA_S_NEEDS_RESET 0x40u

/* What is known of a queue beside its ring. */
struct vdpa_queue {
	int call;	/* a copy; -1: none */
	bool held;	/* stopped with the device, which is suspended */
	void *doorbell; /* NULL: isn't mapped */
};

/* What one message has put into an address space. */
struct vdpa_entry {
	uint32_t asid;
	struct vh_iotlb_entry e;
};

struct vdpa {
	struct vh_backend backend;
	struct vhi_node node;
	struct vhi_ram ram;
	struct vhi_ram_rules rules; /* first and last: the range of IOVAs */
	uint32_t device_id;
	uint32_t max_num;
	uint32_t config_size;
	bool knows_config_size;
	uint32_t num_groups;
	uint32_t num_spaces;
	uint32_t num_queues;
	struct vhi_vring *vrings;
	struct vdpa_queue *queues;
	struct vdpa_entry *entries; /* beside what is mapped of ram */
	size_t num_entries;
	uint64_t features; /* as the program negotiated */
	uint8_t status;
	bool chose_features; /* of the back-end: the program did */
	bool agreed;	     /* set_owner went through to its end */
	bool suspended;
	bool spaces_used; /* some group isn't in space 0 */
	bool mapped;	  /* there may be entries in space 0 */
	bool stale;	  /* not all of ram is mapped that should be */
	bool in_batch;	  /* the kernel is, of batch_asid */
	uint32_t batch_asid;
	int config_event; /* ours */
	int config_call;  /* the program's; -1: none */
};

static inline struct vdpa *vdpa_of(struct vh_backend *b)
{
	return (struct vdpa *)(void *)b;
}

/* The program has an IOMMU: IOVAs aren't guest addresses. */
static inline bool vdpa_has_iommu(const struct vdpa *v)
{
	return v->features & VH_F_ACCESS_PLATFORM;
}

static inline bool vdpa_is_packed(const struct vdpa *v)
{
	return v->features & VH_F_RING_PACKED;
}

static inline bool vdpa_runs(const struct vdpa *v)
{
	return v->status & VDPA_S_DRIVER_OK && !v->suspended;
}

/* Clears the fault; -EOPNOTSUPP: a handle of another kind. */
int vdpa_check(struct vh_backend *b);
int vdpa_check_queue(struct vdpa *v, uint32_t queue);

/* -EFAULT: a part of the ring isn't in guest memory, if that can be told. */
int vdpa_check_inside(struct vdpa *v, const struct vhi_vring *vring,
		      struct vh_fault *fault);

int vdpa_suspend(struct vdpa *v);
int vdpa_resume(struct vdpa *v);
int vdpa_send_config_call(struct vdpa *v);

/* Forgets rings, as a reset has done in the device. */
void vdpa_forget_vrings(struct vdpa *v);

/*
 * Messages about an address space: an entry that leads to host, a range without
 * entries, and the ends of a batch. -EBUSY: another space has a batch.
 */
int vdpa_update(struct vdpa *v, uint32_t asid,
		const struct vh_iotlb_entry *entry, const void *host);
int vdpa_invalidate(struct vdpa *v, uint32_t asid, vh_gpa iova, uint64_t size);
int vdpa_batch(struct vdpa *v, uint32_t asid, bool begin);

/*
 * -EBUSY: the program has a batch. What goes during one may still be used by
 * the device until it ends, so no memory does.
 */
int vdpa_check_no_batch(struct vdpa *v);

/* Takes out all entries that lead into a region; NULL: all there are. */
int vdpa_drop_entries(struct vdpa *v, const struct vh_region *region);

/* Takes everything out of address space 0, and puts guest memory in. */
int vdpa_remap(struct vdpa *v);

/* Members of the table of operations. */
int vdpa_set_mem_table(struct vh_backend *b, const struct vh_region regions[],
		       unsigned int count);
int vdpa_add_region(struct vh_backend *b, const struct vh_region *region);
int vdpa_remove_region(struct vh_backend *b, const struct vh_region *region);
int vdpa_iotlb_update(struct vh_backend *b, const struct vh_iotlb_entry *entry);
int vdpa_iotlb_invalidate(struct vh_backend *b, vh_gpa iova, uint64_t size);
int vdpa_set_vring_num(struct vh_backend *b, uint32_t q, uint32_t num);
int vdpa_set_vring_addr(struct vh_backend *b, uint32_t q,
			const struct vh_vring_addr *addr);
int vdpa_set_vring_base(struct vh_backend *b, uint32_t q, uint32_t base);
int vdpa_get_vring_base(struct vh_backend *b, uint32_t q, uint32_t *ret);
int vdpa_set_vring_kick(struct vh_backend *b, uint32_t q, int fd);
int vdpa_set_vring_call(struct vh_backend *b, uint32_t q, int fd);
int vdpa_set_vring_err(struct vh_backend *b, uint32_t q, int fd);
int vdpa_set_vring_enable(struct vh_backend *b, uint32_t q, bool enable);
int vdpa_get_config_size(struct vh_backend *b, uint32_t *ret);
int vdpa_get_config(struct vh_backend *b, uint32_t offset, void *buffer,
		    uint32_t size);
int vdpa_set_config(struct vh_backend *b, uint32_t offset, const void *buffer,
		    uint32_t size, uint32_t by);

#endif
