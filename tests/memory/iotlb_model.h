/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * An IOTLB beside a model that is too simple to be wrong: for each of 768
 * IOVAs, at both ends of the address space, what it leads to and what it
 * allows. Guest memory is a few regions at both ends, of any size in bytes.
 *
 * Each change is made in both. A result that isn't NULL says in words where
 * the two differ.
 */
#ifndef TESTS_MEMORY_IOTLB_MODEL_H
#define TESTS_MEMORY_IOTLB_MODEL_H

#include <libvhost/memory.h>

/* IOVAs below 512, and the last 256. */
#define MODEL_LOW     512
#define MODEL_CELLS   768

#define MODEL_REGIONS 6
#define MODEL_FILE    16384

struct model_cell {
	uint32_t access; /* 0: no entry */
	vh_gpa guest;
};

struct iotlb_model {
	struct vh_memory *iotlb;
	struct vh_region regions[MODEL_REGIONS]; /* of guest memory */
	unsigned int num_regions;
	struct model_cell cells[MODEL_CELLS];
};

void model_init(struct iotlb_model *model);
void model_free(struct iotlb_model *model);

/* copy shares the IOTLB and stays as it is while model changes. */
void model_keep(struct iotlb_model *copy, const struct iotlb_model *model);

const char *model_update(struct iotlb_model *model,
			 const struct vh_iotlb_entry *entry);
const char *model_invalidate(struct iotlb_model *model, vh_gpa iova,
			     uint64_t size);

/*
 * Changes guest memory and rebases. Regions that stay keep their mappings,
 * unless all are to be mapped anew. If the regions don't go together nothing
 * happens.
 */
const char *model_set_regions(struct iotlb_model *model,
			      const struct vh_region *regions,
			      unsigned int count, bool anew);

/* Looks at all rows, and at all IOVAs one by one. */
const char *model_compare(const struct iotlb_model *model);

/*
 * One change, of any kind, as the bytes say, and the comparison after it. fd is
 * a file of MODEL_FILE bytes.
 */
#define MODEL_STEP_BYTES 5
const char *model_step(struct iotlb_model *model, int fd,
		       const uint8_t bytes[MODEL_STEP_BYTES]);

#endif
