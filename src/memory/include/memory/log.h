/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Marks in a dirty log, gathered so that a burst costs about one atomic.
 *
 * A mark must come after the write that it is about: a front-end takes the
 * bits, then copies the pages. So each OR is a release, whose partner is the
 * front-end's read of the bits; and marks must be flushed before the used
 * index is stored, so that a front-end that has stopped the ring sees all.
 *
 * The log may begin at any byte of its file. It is used as 64-bit words that
 * are aligned in memory, the first of which may begin before the log: the
 * mapping is of whole pages, and bits that aren't the log's are never set.
 */
#ifndef MEMORY_LOG_H
#define MEMORY_LOG_H

#include <libvhost/memory.h>

struct vhi_mapping;

struct vh_dirty_log {
	unsigned int refs;
	unsigned int shift; /* the bit of page 0 in words[0] */
	uint64_t *words;    /* little-endian */
	uint64_t pages;	    /* from page 0 on, that there are bits for */
	struct vhi_mapping *mapping;
};

#define VHI_LOG_PAGE_SHIFT  12
#define VHI_LOG_CACHE_WORDS 32

_Static_assert(VH_DIRTY_LOG_PAGE == 1 << VHI_LOG_PAGE_SHIFT, "a page's size");

struct vhi_log_mark {
	uint64_t word;
	uint64_t mask; /* in the host's order; 0: nothing to mark */
};

/*
 * Marks of one queue in one log that weren't made yet. All zero: none.
 * Belongs to a thread; must be flushed before another log's turn.
 */
struct vhi_log_cache {
	unsigned int last; /* the mark that was used last */
	unsigned int top;  /* no mark behind this one is in use */
	struct vhi_log_mark marks[VHI_LOG_CACHE_WORDS];
};

/* The bits from first to last, both in the same word. */
static inline uint64_t vhi_log_mask(uint64_t first, uint64_t last)
{
	return (UINT64_MAX << (first % 64)) & (UINT64_MAX >> (63 - last % 64));
}

void vhi_log_note_slowly(struct vh_dirty_log *log, struct vhi_log_cache *cache,
			 vh_gpa guest, uint64_t size);

/*
 * Notes that size bytes at guest were written, which has been done. Pages that
 * the log has no bit for are left out. May touch the log.
 */
static inline void vhi_log_note(struct vh_dirty_log *log,
				struct vhi_log_cache *cache, vh_gpa guest,
				uint64_t size)
{
	struct vhi_log_mark *mark = &cache->marks[cache->last];
	uint64_t end = (guest + (size - 1)) >> VHI_LOG_PAGE_SHIFT;
	uint64_t first = (guest >> VHI_LOG_PAGE_SHIFT) + log->shift;
	uint64_t last = end + log->shift;

	/* What is empty, long, or ends outside isn't for here. */
	if (__builtin_expect(size - 1 < UINT64_C(64) * VH_DIRTY_LOG_PAGE &&
				 end < log->pages && first / 64 == mark->word &&
				 last / 64 == mark->word,
			     1))
		mark->mask |= vhi_log_mask(first, last);
	else
		vhi_log_note_slowly(log, cache, guest, size);
}

/* Makes the marks that were noted. */
void vhi_log_flush(struct vh_dirty_log *log, struct vhi_log_cache *cache);

#endif
