/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A front-end's IOMMU: pages of IOVAs that lead to guest memory, and the
 * answers to a back-end that misses them.
 */
#ifndef CONFORMANCE_IOMMU_H
#define CONFORMANCE_IOMMU_H

#include "driven.h"

#define IOMMU_PAGE  4096
#define IOMMU_PAGES 256
#define IOMMU_RW    3

struct iommu_page {
	uint64_t iova;
	uint64_t guest;
	uint8_t perm;
	unsigned int asked; /* how often */
};

struct iommu {
	struct session *session;
	struct frontend reverse; /* what the back-end sends */
	int theirs;		 /* its end */
	unsigned int count;
	struct iommu_page pages[IOMMU_PAGES];
};

/* As driven_session(), behind an IOMMU. */
void iommu_open(struct iommu *mmu, struct fixture *f, unsigned int queues,
		uint64_t features, uint64_t protocol_features);
void iommu_close(struct iommu *mmu);

/* Maps pages one by one; backwards: the last comes first in guest memory. */
void iommu_map(struct iommu *mmu, uint64_t iova, uint64_t guest, uint64_t size,
	       uint8_t perm, bool backwards);

/* Makes a ring behind IOVAs of its own, page by page. */
void iommu_make(struct iommu *mmu, struct driven *d, unsigned int index,
		uint32_t num);

/*
 * Turns the pages of a ring that was just made round: the last comes first in
 * guest memory. Takes a mapping, which iommu_gather() gives back.
 */
void iommu_scatter(struct iommu *mmu, struct driven *d);
void iommu_gather(struct iommu *mmu, struct driven *d);

/* Tells the back-end a page before it asks. */
int iommu_update(struct iommu *mmu, uint64_t iova);
/* All pages of a ring. */
void iommu_update_ring(struct iommu *mmu, struct driven *d);
int iommu_invalidate(struct iommu *mmu, uint64_t iova, uint64_t size);

/* Waits for what the back-end asks for; it must be a page that there is. */
struct iommu_page *iommu_wait_miss(struct iommu *mmu);
/* Answers it, too. */
void iommu_answer(struct iommu *mmu);
/* Everything that the back-end had to say by now is here; was it nothing? */
bool iommu_is_quiet(struct iommu *mmu);

/* driven_wait(), with answers to all misses. */
int iommu_wait(struct iommu *mmu, struct driven *d,
	       struct vh_driver_used *ret_used);

/* Copies to and from memory behind IOVAs. */
void iommu_write(struct iommu *mmu, uint64_t iova, const void *data,
		 size_t size);
void iommu_read(struct iommu *mmu, uint64_t iova, void *data, size_t size);

/* There and back, as driven_echo() does it. */
void iommu_echo(struct iommu *mmu, struct driven *d, uint64_t area,
		uint32_t size);

/* An echo device with rings of 128 and buffers, all behind IOVAs. */
#define IOMMU_BUFFERS UINT64_C(0x10000000000) /* IOVA */
#define IOMMU_HALF    (16 * IOMMU_PAGE)	      /* of the buffers */

struct iommu_bench {
	struct iommu mmu;
	struct driven d[2];
	uint64_t guest; /* of the buffers, the last page first */
};

void iommu_bench_open(struct iommu_bench *b, struct fixture *f,
		      unsigned int queues, uint64_t features);
void iommu_bench_open_with(struct iommu_bench *b, struct fixture *f,
			   unsigned int queues, uint64_t features,
			   uint64_t protocol_features);
void iommu_bench_close(struct iommu_bench *b, unsigned int queues);
struct iommu_page *iommu_page_of(struct iommu_bench *b, uint64_t iova);

#endif
