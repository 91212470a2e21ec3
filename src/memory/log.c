/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The dirty log. */
#include <base/check.h>
#include <base/fault.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <memory/log.h>
#include <stdlib.h>

#include "mapping.h"

#define HEX "0x%" PRIx64

/* All that guest-physical addresses can name. */
#define ALL_PAGES (UINT64_C(1) << (64 - VHI_LOG_PAGE_SHIFT))

static void log_init(struct vh_dirty_log *log, char *bits, uint64_t size)
{
	uintptr_t outside = (uintptr_t)bits % sizeof(uint64_t);

	log->refs = 1;
	log->words = (uint64_t *)(void *)(bits - outside);
	log->shift = (unsigned int)outside * 8;
	log->pages = size < ALL_PAGES / 8 ? size * 8 : ALL_PAGES;
}

int vh_dirty_log_new(int fd, uint64_t offset, uint64_t size,
		     struct vh_fault *fault, struct vh_dirty_log **ret_log)
{
	struct vhi_file_part part = {.fd = fd, .offset = offset, .size = size};
	struct vh_dirty_log *log;
	char *bits;
	int err;

	if (vhi_range_wraps(offset, size))
		return vhi_fault(
		    fault, VH_FAULT_MEM_LOG, -EINVAL,
		    "vhost-user, VHOST_USER_SET_LOG_BASE",
		    "size " HEX " of the dirty log at offset " HEX " %s", size,
		    offset, size ? "exceeds 2^64" : "must not be 0");
	log = malloc(sizeof(*log));
	if (!log)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a dirty log");
	err = vhi_mapping_new(&part, fault, &log->mapping, &bits);
	if (err < 0) {
		free(log);
		return err;
	}
	log_init(log, bits, size);
	*ret_log = log;
	return 0;
}

struct vh_dirty_log *vh_dirty_log_ref(struct vh_dirty_log *log)
{
	__atomic_add_fetch(&log->refs, 1, __ATOMIC_RELAXED);
	return log;
}

void vh_dirty_log_unref(struct vh_dirty_log *log)
{
	if (!log || __atomic_sub_fetch(&log->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	vhi_mapping_unref(log->mapping);
	free(log);
}

static void word_or(struct vh_dirty_log *log, uint64_t word, uint64_t mask)
{
	__atomic_fetch_or(&log->words[word], htole64(mask), __ATOMIC_RELEASE);
}

/*
 * The bits of the pages of a range, as far as the log has them; *ret_last is
 * below *ret_first if it has none. False if it hasn't all.
 */
static bool bits_of(const struct vh_dirty_log *log, vh_gpa guest, uint64_t size,
		    uint64_t *ret_first, uint64_t *ret_last)
{
	vh_gpa end =
	    size - 1 > UINT64_MAX - guest ? UINT64_MAX : guest + (size - 1);
	uint64_t first = guest >> VHI_LOG_PAGE_SHIFT;
	uint64_t last = end >> VHI_LOG_PAGE_SHIFT;
	bool whole = last < log->pages && end - guest == size - 1;

	if (last >= log->pages)
		last = log->pages - 1;
	*ret_first = first + log->shift;
	*ret_last = last + log->shift;
	return whole;
}

/* The part of bits first to last that lies in the word of first. */
static uint64_t word_of(uint64_t first, uint64_t last)
{
	return vhi_log_mask(first, last / 64 > first / 64 ? first | 63 : last);
}

bool vh_dirty_log_mark(struct vh_dirty_log *log, vh_gpa guest, uint64_t size)
{
	uint64_t bit, last;
	bool whole;

	if (size == 0)
		return true;
	whole = bits_of(log, guest, size, &bit, &last);
	for (; bit <= last; bit = (bit | 63) + 1)
		word_or(log, bit / 64, word_of(bit, last));
	return whole;
}

/* Finds or makes room for a word's mark, and makes it the last one. */
static struct vhi_log_mark *
find_mark(struct vh_dirty_log *log, struct vhi_log_cache *cache, uint64_t word)
{
	struct vhi_log_mark *marks = cache->marks;

	for (unsigned int i = 0; i <= cache->top; i++) {
		if (marks[i].word != word && marks[i].mask != 0)
			continue;
		marks[i].word = word;
		cache->last = i;
		return &marks[i];
	}
	if (cache->top == VHI_LOG_CACHE_WORDS - 1)
		vhi_log_flush(log, cache);
	else
		cache->last = ++cache->top;
	marks[cache->last] = (struct vhi_log_mark){.word = word};
	return &marks[cache->last];
}

void vhi_log_note_slowly(struct vh_dirty_log *log, struct vhi_log_cache *cache,
			 vh_gpa guest, uint64_t size)
{
	uint64_t bit, last;

	if (size == 0)
		return;
	bits_of(log, guest, size, &bit, &last);
	for (; bit <= last; bit = (bit | 63) + 1) {
		uint64_t mask = word_of(bit, last);

		/* Long ranges would only push others out. */
		if (mask == UINT64_MAX)
			word_or(log, bit / 64, mask);
		else
			find_mark(log, cache, bit / 64)->mask |= mask;
	}
}

void vhi_log_flush(struct vh_dirty_log *log, struct vhi_log_cache *cache)
{
	for (unsigned int i = 0; i <= cache->top; i++) {
		struct vhi_log_mark *mark = &cache->marks[i];

		if (mark->mask == 0)
			continue;
		word_or(log, mark->word, mark->mask);
		mark->mask = 0;
	}
	cache->last = 0;
	cache->top = 0;
}
