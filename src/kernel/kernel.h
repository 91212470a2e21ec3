/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A back-end in the kernel: what all kinds have, and what each fills in. */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include <backend/backend.h>
#include <ioctl/ram.h>
#include <ioctl/vring.h>
#include <libvhost/kernel.h>

struct kernel;

struct kernel_kind {
	const char *name;
	/* All rings run, or none. */
	bool whole;
	/*
	 * Older kernels write the answers of what is in flight to where it was
	 * in a table that has been replaced, until the rings stop.
	 */
	bool lingers;
	/* Is the device of this kind? -ENOTTY: no. */
	int (*probe)(struct kernel *k, uint64_t features);
	/* 0, or what is missing for the ring (or all of them) to run. */
	int (*check)(struct kernel *k, uint32_t queue);
	int (*start)(struct kernel *k, uint32_t queue);
	int (*stop)(struct kernel *k, uint32_t queue);
};

struct kernel {
	struct vh_backend backend;
	const struct kernel_kind *kind;
	struct vhi_node node;
	struct vhi_ram ram;
	struct vhi_ram_rules rules;
	struct vhi_ram *kept; /* earlier tables, until the rings stop */
	size_t num_kept;
	struct vh_dirty_log *log; /* NULL: none */
	uint64_t features;	  /* as negotiated */
	uint32_t num_queues;
	struct vhi_vring *vrings;
	int taps[2];		       /* net; -1: none */
	bool has_cid;		       /* vsock */
	bool held;		       /* vsock: by vh_vsock_set_running() */
	struct vhi_scsi_target target; /* scsi; no name: none */
};

/* Packed rings are unknown to these drivers; a feature bit may change that. */
static inline bool kernel_is_packed(const struct kernel *k)
{
	return k->features & VH_F_RING_PACKED;
}

static inline bool kernel_has_iommu(const struct kernel *k)
{
	return k->features & VH_F_ACCESS_PLATFORM;
}

static inline struct kernel *kernel_of(struct vh_backend *b)
{
	return (struct kernel *)(void *)b;
}

/*
 * Opens path or fd and sees whether it is of a kind. What a kind does itself
 * comes then; kernel_finish() is told what came of that, and makes the rings or
 * frees the handle.
 */
int kernel_open(const char *path, int fd, const struct kernel_kind *kind,
		struct vh_fault *fault, struct kernel **ret);
int kernel_finish(struct kernel *k, int error, uint32_t num_queues,
		  struct vh_fault *fault, struct vh_backend **ret);
void kernel_free(struct vh_backend *b);

/* -ENOTTY with words: the device isn't of this kind. */
int kernel_wrong_kind(struct kernel *k);

/*
 * For functions of one kind, or of any kind if kind is NULL: clears the fault
 * and checks. 0 or -EOPNOTSUPP.
 */
int kernel_check(struct vh_backend *b, const struct kernel_kind *kind);

int kernel_check_queue(struct kernel *k, uint32_t queue);
bool kernel_is_active(const struct kernel *k);

/* Lets a ring, or all of them, run or stop, as its state wants it. */
int kernel_run(struct kernel *k, uint32_t queue);

/* Sends where a ring is; -EFAULT: it isn't in guest memory. */
int kernel_place(struct kernel *k, uint32_t queue);

/* Sends new places of all rings after the memory has changed. */
void kernel_place_all(struct kernel *k);

/* Features that may be changed to: -EINVAL, -EBUSY. */
int kernel_check_features(struct kernel *k, uint64_t features);
void kernel_take_features(struct kernel *k, uint64_t features);

/*
 * Takes all entries out of the IOTLB, which lead to addresses of this process.
 * The driver asks for those that it needs.
 */
int kernel_clear_iotlb(struct kernel *k);

/* The rings have stopped: nobody has an address of an earlier table. */
void kernel_let_go(struct kernel *k);

/* -EINVAL: the log has no room for the pages of ram. */
int kernel_check_log(struct kernel *k, const struct vh_dirty_log *log,
		     const struct vhi_ram *ram);

/* -EFAULT: it has none for the used ring of a queue that is logged. */
int kernel_check_ring_log(struct kernel *k, const struct vh_dirty_log *log,
			  uint32_t queue);

int kernel_send_log(struct kernel *k, const struct vh_dirty_log *log);

/* Members of the table of operations. */
int kernel_set_mem_table(struct vh_backend *b, const struct vh_region regions[],
			 unsigned int count);
int kernel_add_region(struct vh_backend *b, const struct vh_region *region);
int kernel_remove_region(struct vh_backend *b, const struct vh_region *region);
int kernel_set_vring_num(struct vh_backend *b, uint32_t q, uint32_t num);
int kernel_set_vring_addr(struct vh_backend *b, uint32_t q,
			  const struct vh_vring_addr *addr);
int kernel_set_vring_base(struct vh_backend *b, uint32_t q, uint32_t base);
int kernel_set_vring_endian(struct vh_backend *b, uint32_t q, bool big);
int kernel_get_vring_base(struct vh_backend *b, uint32_t q, uint32_t *ret);
int kernel_set_vring_kick(struct vh_backend *b, uint32_t q, int fd);
int kernel_set_vring_call(struct vh_backend *b, uint32_t q, int fd);
int kernel_set_vring_err(struct vh_backend *b, uint32_t q, int fd);
int kernel_set_vring_enable(struct vh_backend *b, uint32_t q, bool enable);
int kernel_set_log_base(struct vh_backend *b, const struct vh_log_area *area,
			int fd);
int kernel_set_log_fd(struct vh_backend *b, int fd);
int kernel_iotlb_update(struct vh_backend *b,
			const struct vh_iotlb_entry *entry);
int kernel_iotlb_invalidate(struct vh_backend *b, vh_gpa iova, uint64_t size);
int kernel_dispatch(struct vh_backend *b);

#endif
