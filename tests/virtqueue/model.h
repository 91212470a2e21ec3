/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The device side of the model. It looks at the same guest memory as the
 * queue under test, through its own eyes, and says what has to come out; or
 * it is the device itself, for tests of the driver side. It knows one thing
 * about the library: what its limits are.
 */
#ifndef TESTS_VIRTQUEUE_MODEL_H
#define TESTS_VIRTQUEUE_MODEL_H

#include "model_ring.h"

#define MODEL_WRITES 0x20000

enum model_area { MODEL_DESCRIPTORS, MODEL_AVAILABLE, MODEL_USED };

/* A chain that was taken, by its head or buffer id. */
struct model_request {
	bool busy;
	bool done; /* with IN_ORDER: pushed, but it may have to wait */
	unsigned int slots;
	uint32_t writable;
	uint32_t written;
};

/* A chain that the driver is shown. */
struct model_used {
	unsigned int id;
	unsigned int slots;
	uint32_t writable;
	uint32_t written;
};

struct model {
	struct model_ring ring;
	unsigned int max_pieces;
	/* It writes to the ring; otherwise only to its image of it. */
	bool writes;
	bool broken;
	bool shown_once;
	unsigned int slots_out; /* of chains that weren't shown yet */
	/* split: free-running indices */
	uint16_t avail_next;
	uint16_t avail_seen; /* the index, when it was read last */
	uint16_t used_next;
	uint16_t used_shown;
	/* packed */
	struct model_place avail_place;
	struct model_place used_place;
	struct model_place used_place_shown;
	/* IN_ORDER: the chains taken and not shown, in order */
	unsigned int order_first;
	unsigned int order_count;
	/* pushed and to be shown next; then, what model_publish() showed */
	unsigned int staged_count;
	unsigned int shown_count;
	unsigned int entries; /* in which it did */
	/* what the ring must hold after the last call, area by area */
	bool image_whole;
	unsigned int write_count;
	/* arrays are at the end: they need not be cleared for each queue */
	struct model_request requests[32768];
	unsigned int order[32768];
	struct model_used staged[65536];
	uint8_t image[3][16 * 32768];
	struct {
		unsigned int area;
		uint64_t offset;
		unsigned int bytes;
	} writes_made[MODEL_WRITES];
};

void model_start(struct model *model, const struct box *box,
		 const struct vh_virtqueue_opts *opts);

/*
 * The next chain, of max that are wanted now: 1 and *chain, 0 if there is
 * none, or -1 if the driver broke a rule.
 */
int model_pop(struct model *model, unsigned int max, struct model_chain *chain);

void model_push(struct model *model, unsigned int id, uint32_t written);

/* Shows what was pushed; returns what vh_virtqueue_publish() must. */
int model_publish(struct model *model);

void model_enable_kick(struct model *model);
void model_disable_kick(struct model *model);
bool model_pending(const struct model *model);
uint32_t model_base(const struct model *model);

/*
 * Around each call of the queue under test: before it and before the model's
 * own, model_look() notes what the three areas hold, and after both
 * model_compare() fails if they hold anything but what the model wrote. Of
 * large rings only what the model wrote is compared, unless whole is true.
 */
void model_look(struct model *model, bool whole);
void model_compare(struct model *model);

/* Only one area, which nobody was to write to. */
void model_compare_area(const struct model *model, enum model_area area);

/* For model_split.c and model_packed.c: writes to the ring, or the image. */
void model_write(struct model *model, enum model_area area, uint64_t offset,
		 uint64_t value, unsigned int bytes);

/* What each format does in its own way; model.c chooses. */
int model_split_find(struct model *model, unsigned int max,
		     struct model_chain *chain);
void model_split_show(struct model *model, const struct model_used *entry,
		      unsigned int chains);
bool model_split_end_show(struct model *model);
void model_split_kick(struct model *model, bool enable);

int model_packed_find(const struct model *model, struct model_chain *chain);
void model_packed_show(struct model *model, const struct model_used *entry,
		       unsigned int slots);
bool model_packed_end_show(struct model *model);
void model_packed_kick(struct model *model, bool enable);

#endif
