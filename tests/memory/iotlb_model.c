/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "iotlb_model.h"

#include <errno.h>
#include <memory/translate.h>
#include <stdlib.h>
#include <string.h>

#define BOTH (VH_ACCESS_READ | VH_ACCESS_WRITE)

__extension__ typedef unsigned __int128 wide;

static const wide END = (wide)1 << 64;

/* Memory that can't be had isn't what is tested here. */
static void must(int err)
{
	if (err)
		abort();
}

void model_init(struct iotlb_model *model)
{
	struct vh_memory *guest;

	memset(model, 0, sizeof(*model));
	must(vh_memory_new(&guest));
	must(vh_iotlb_new(guest, &model->iotlb));
	vh_memory_unref(guest);
}

void model_free(struct iotlb_model *model)
{
	vh_memory_unref(model->iotlb);
	model->iotlb = NULL;
}

void model_keep(struct iotlb_model *copy, const struct iotlb_model *model)
{
	*copy = *model;
	vh_memory_ref(copy->iotlb);
}

static vh_gpa iova_of(unsigned int cell)
{
	return cell < MODEL_LOW ? cell : (vh_gpa)cell - MODEL_CELLS;
}

/* The region that a byte lies in, or NULL. */
static const struct vh_region *region_of(const struct iotlb_model *model,
					 vh_gpa guest)
{
	for (unsigned int i = 0; i < model->num_regions; i++) {
		const struct vh_region *region = &model->regions[i];

		if (guest >= region->guest &&
		    guest < (wide)region->guest + region->size)
			return region;
	}
	return NULL;
}

/* Does the next cell belong to the same row as this one? */
static bool joined(const struct iotlb_model *model, unsigned int cell)
{
	const struct model_cell *a = &model->cells[cell], *b = a + 1;

	return cell + 1 != MODEL_LOW && cell + 1 < MODEL_CELLS &&
	       b->access == a->access && b->guest == a->guest + 1 &&
	       region_of(model, b->guest) == region_of(model, a->guest);
}

/* The number of cells of a row that begins here. */
static unsigned int row_length(const struct iotlb_model *model,
			       unsigned int cell)
{
	unsigned int length = 1;

	while (joined(model, cell + length - 1))
		length++;
	return length;
}

static const char *replace(struct iotlb_model *model, struct vh_memory *iotlb)
{
	vh_memory_unref(model->iotlb);
	model->iotlb = iotlb;
	return NULL;
}

/* An error has its words, and leaves everything as it was. */
static const char *check_error(int err, int expected,
			       const struct vh_fault *fault,
			       const struct vh_memory *iotlb)
{
	if (err != expected)
		return "another error than the model's";
	if (fault->error != err || !err != !fault->text[0])
		return "a fault that doesn't fit the error";
	if (!err != !!iotlb)
		return "an IOTLB in spite of an error";
	return NULL;
}

static int expected_error(const struct iotlb_model *model,
			  const struct vh_iotlb_entry *entry)
{
	if (entry->size == 0 || (wide)entry->iova + entry->size > END ||
	    (wide)entry->guest + entry->size > END || entry->access == 0 ||
	    entry->access > BOTH)
		return -EINVAL;
	for (uint64_t i = 0; i < entry->size; i++)
		if (!region_of(model, entry->guest + i))
			return -EFAULT;
	return 0;
}

const char *model_update(struct iotlb_model *model,
			 const struct vh_iotlb_entry *entry)
{
	struct vh_memory *next = NULL;
	struct vh_fault fault = {0};
	int expected = expected_error(model, entry);
	int err = vh_iotlb_update(model->iotlb, entry, &fault, &next);
	const char *words = check_error(err, expected, &fault, next);

	if (words || err)
		return words;
	for (unsigned int i = 0; i < MODEL_CELLS; i++) {
		uint64_t offset = iova_of(i) - entry->iova;

		if (iova_of(i) >= entry->iova && offset < entry->size)
			model->cells[i] = (struct model_cell){
			    entry->access, entry->guest + offset};
	}
	return replace(model, next);
}

const char *model_invalidate(struct iotlb_model *model, vh_gpa iova,
			     uint64_t size)
{
	struct vh_memory *next = NULL;
	struct vh_fault fault = {0};
	int err = vh_iotlb_invalidate(model->iotlb, iova, size, &fault, &next);
	const char *words = check_error(err, size ? 0 : -EINVAL, &fault, next);

	if (words || err)
		return words;
	for (unsigned int i = 0; i < MODEL_CELLS; i++)
		if (iova_of(i) >= iova && iova_of(i) < (wide)iova + size)
			model->cells[i] = (struct model_cell){0};
	return replace(model, next);
}

static bool contains(const struct vh_region *regions, unsigned int count,
		     const struct vh_region *region)
{
	for (unsigned int i = 0; i < count; i++)
		if (regions[i].guest == region->guest &&
		    regions[i].size == region->size &&
		    regions[i].user.raw == region->user.raw &&
		    regions[i].fd_offset == region->fd_offset)
			return true;
	return false;
}

/* The map of other regions, or NULL if they don't go together. */
static struct vh_memory *change_map(const struct iotlb_model *model,
				    const struct vh_region *regions,
				    unsigned int count, bool anew)
{
	struct vh_memory *guest = NULL, *next;

	if (anew)
		must(vh_memory_new(&guest));
	else
		guest = vh_memory_ref(vh_iotlb_guest(model->iotlb));
	for (unsigned int i = 0; !anew && i < model->num_regions; i++) {
		if (contains(regions, count, &model->regions[i]))
			continue;
		must(vh_memory_remove(guest, &model->regions[i], NULL, &next));
		vh_memory_unref(guest);
		guest = next;
	}
	for (unsigned int i = 0; i < count; i++) {
		if (!anew &&
		    contains(model->regions, model->num_regions, &regions[i]))
			continue;
		if (vh_memory_add(guest, &regions[i], NULL, &next)) {
			vh_memory_unref(guest);
			return NULL;
		}
		vh_memory_unref(guest);
		guest = next;
	}
	return guest;
}

/* Does a row of the old model lead to the same in the new one? */
static bool stays(const struct iotlb_model *old, const struct iotlb_model *now,
		  unsigned int cell, unsigned int length)
{
	vh_gpa guest = old->cells[cell].guest;
	const struct vh_region *before = region_of(old, guest);
	const struct vh_region *after = region_of(now, guest);

	return after &&
	       (wide)guest + length <= (wide)after->guest + after->size &&
	       before->user.raw - before->guest ==
		   after->user.raw - after->guest;
}

const char *model_set_regions(struct iotlb_model *model,
			      const struct vh_region *regions,
			      unsigned int count, bool anew)
{
	static struct iotlb_model old;
	struct vh_memory *guest = change_map(model, regions, count, anew);
	struct vh_memory *next;
	unsigned int length;

	if (!guest)
		return NULL;
	old = *model;
	memmove(model->regions, regions, count * sizeof(*regions));
	model->num_regions = count;
	must(vh_iotlb_rebase(model->iotlb, guest, &next));
	vh_memory_unref(guest);
	for (unsigned int i = 0; i < MODEL_CELLS; i += length) {
		length = row_length(&old, i);
		if (old.cells[i].access && !stays(&old, model, i, length))
			memset(&model->cells[i], 0,
			       length * sizeof(model->cells[i]));
	}
	return replace(model, next);
}

static const char *compare_row(const struct iotlb_model *model,
			       unsigned int cell, unsigned int length,
			       unsigned int index)
{
	const struct vh_memory *guest = vh_iotlb_guest(model->iotlb);
	const struct model_cell *here = &model->cells[cell];
	const struct vh_region *region = region_of(model, here->guest);
	uint64_t offset = here->guest - region->guest;
	struct vh_user_addr user;
	struct vh_region row;

	if (vh_memory_region(model->iotlb, index, &row))
		return "a row is missing";
	if (row.guest != iova_of(cell) || row.size != length)
		return "a row of another place or size";
	if (row.user.raw != region->user.raw + offset ||
	    row.fd_offset != region->fd_offset + offset || row.fd != -1)
		return "a row of another part of its region";
	if (vh_memory_at(model->iotlb, row.guest, row.size) !=
	    vh_memory_at(guest, here->guest, row.size))
		return "a row leads elsewhere";
	if (vh_memory_at(model->iotlb, row.guest, row.size + 1))
		return "a row is longer than it is";
	if (vh_memory_guest_to_user(model->iotlb, row.guest, row.size, &user) ||
	    user.raw != row.user.raw)
		return "another front-end address";
	return NULL;
}

static const char *compare_cell(const struct iotlb_model *model,
				struct vhi_hit *hit, unsigned int cell)
{
	const struct vh_memory *guest = vh_iotlb_guest(model->iotlb);
	const struct model_cell *here = &model->cells[cell];
	void *host = vhi_translate(model->iotlb, hit, iova_of(cell), 1);

	if (!host != !here->access)
		return "an entry too many or too few";
	if (!host)
		return NULL;
	if (host != vh_memory_at(guest, here->guest, 1))
		return "an IOVA leads elsewhere";
	if (hit->access != here->access)
		return "another access";
	if (hit->guest + (iova_of(cell) - hit->base) != here->guest)
		return "another guest address";
	return NULL;
}

const char *model_compare(const struct iotlb_model *model)
{
	struct vhi_hit hit = {0};
	unsigned int rows = 0, length;
	const char *words = NULL;

	for (unsigned int i = 0; i < MODEL_CELLS && !words; i += length) {
		length = row_length(model, i);
		if (model->cells[i].access)
			words = compare_row(model, i, length, rows++);
	}
	if (!words && rows != vh_memory_count(model->iotlb))
		words = "more rows than there should be";
	for (unsigned int i = 0; i < MODEL_CELLS && !words; i++)
		words = compare_cell(model, &hit, i);
	return words;
}

/* Small numbers of either sign. */
static uint64_t address(uint8_t byte)
{
	return byte < 128 ? byte : (uint64_t)byte - 256;
}

/* Small sizes, 0 among them, and now and then a huge one. */
static uint64_t size_of(uint8_t byte)
{
	return byte < 240 ? byte / 8 : UINT64_MAX - (byte - 240u);
}

/* A region of this size, and one for what it was larger. */
static void split(struct vh_region *region, struct vh_region *rest,
		  uint64_t size)
{
	*rest = *region;
	rest->guest += size;
	rest->size -= size;
	rest->user.raw += size;
	rest->fd_offset += size;
	region->size = size;
}

/* The number of the region that goes on where this one ends; or count. */
static unsigned int follower(const struct vh_region *regions,
			     unsigned int count, const struct vh_region *region)
{
	unsigned int i = 0;

	while (i < count &&
	       (regions[i].guest != region->guest + region->size ||
		regions[i].user.raw != region->user.raw + region->size))
		i++;
	return i;
}

/* Guest memory changes: another region, one less, two of one or one of two */
static const char *change_regions(struct iotlb_model *model, int fd,
				  const uint8_t bytes[MODEL_STEP_BYTES])
{
	struct vh_region regions[MODEL_REGIONS + 1];
	unsigned int count = model->num_regions, other;
	unsigned int at = count ? bytes[2] % count : 0;

	memcpy(regions, model->regions, sizeof(model->regions));
	if (bytes[1] % 4 == 0 || count == 0) {
		/* the front-end sees it at one of two places */
		regions[count++] = (struct vh_region){
		    .guest = address(bytes[2] & 0xf0),
		    .size = 16 * (1 + bytes[3] % 4) - bytes[4] % 2,
		    .user.raw =
			4096 * (1 + bytes[4] / 2 % 2) + (bytes[2] & 0xf0),
		    .fd_offset = 31 * bytes[4],
		    .fd = fd,
		};
		if (contains(regions, count - 1, &regions[count - 1]))
			return NULL;
	} else if (bytes[1] % 4 == 1) {
		regions[at] = regions[--count];
	} else if (bytes[1] % 4 == 2) {
		if (regions[at].size > 8)
			split(&regions[at], &regions[count++], 8);
	} else {
		other = follower(regions, count, &regions[at]);
		if (other < count) {
			regions[at].size += regions[other].size;
			regions[other] = regions[--count];
		}
	}
	if (count > MODEL_REGIONS)
		return NULL;
	return model_set_regions(model, regions, count, bytes[0] & 0x80);
}

static const char *change(struct iotlb_model *model, int fd,
			  const uint8_t bytes[MODEL_STEP_BYTES])
{
	struct vh_iotlb_entry entry = {
	    .iova = address(bytes[1]),
	    .size = size_of(bytes[2]),
	    .guest = address(bytes[3]),
	    .access = bytes[4] % 5,
	};

	/* By chance it would seldom be in a region. */
	if (bytes[0] & 0x20 && model->num_regions > 0)
		entry.guest =
		    model->regions[bytes[3] % model->num_regions].guest +
		    bytes[4] / 5;
	switch (bytes[0] % 16) {
	case 0:
		return change_regions(model, fd, bytes);
	case 1:
	case 2:
		return model_invalidate(model, entry.iova, entry.size);
	default:
		return model_update(model, &entry);
	}
}

const char *model_step(struct iotlb_model *model, int fd,
		       const uint8_t bytes[MODEL_STEP_BYTES])
{
	const char *words = change(model, fd, bytes);

	return words ? words : model_compare(model);
}
