/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "dirty.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAPPED 4096u

void dirty_open(struct dirty *dirty)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MAPPED), 0);
	dirty->bits =
	    mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(dirty->bits != MAP_FAILED);
	assert_int_equal(
	    vh_dirty_log_new(fd, 0, DIRTY_BYTES, NULL, &dirty->log), 0);
	close(fd);
}

void dirty_start(struct dirty *dirty, uint32_t num)
{
	for (unsigned int i = 0; i < dirty->ids; i++) {
		free(dirty->pieces[i]);
		dirty->pieces[i] = NULL;
	}
	dirty->ids = num;
	memset(dirty->bits, 0, MAPPED);
	memset(dirty->must, 0, DIRTY_BYTES);
	memset(dirty->may, 0, DIRTY_BYTES);
	dirty->on = false;
}

void dirty_close(struct dirty *dirty)
{
	dirty_start(dirty, 0);
	vh_dirty_log_unref(dirty->log);
	munmap(dirty->bits, MAPPED);
}

bool dirty_switch(struct dirty *dirty, struct vh_virtqueue *queue)
{
	int result = vh_virtqueue_set_log(queue, dirty->on ? NULL : dirty->log,
					  true, DIRTY_RING_AT);

	if (result) {
		assert_int_equal(result, -EAGAIN);
		return false;
	}
	dirty->on = !dirty->on;
	return true;
}

static void mark(uint8_t bits[DIRTY_BYTES], vh_gpa guest, uint64_t size)
{
	uint64_t page = guest / VH_DIRTY_LOG_PAGE;
	uint64_t last = size ? (guest + size - 1) / VH_DIRTY_LOG_PAGE : 0;

	for (; size && page <= last && page / 8 < DIRTY_BYTES; page++)
		bits[page / 8] |= (uint8_t)(1u << page % 8);
}

void dirty_popped(struct dirty *dirty, const struct model_chain *chain)
{
	unsigned int count = chain->count - chain->readable_count;
	struct dirty_piece *pieces;

	assert_null(dirty->pieces[chain->head]);
	if (!dirty->on || !count)
		return;
	pieces = calloc(count, sizeof(*pieces));
	assert_non_null(pieces);
	for (unsigned int i = 0; i < count; i++) {
		pieces[i].guest =
		    chain->pieces[chain->readable_count + i].guest;
		pieces[i].length =
		    chain->pieces[chain->readable_count + i].length;
	}
	dirty->pieces[chain->head] = pieces;
	dirty->piece_count[chain->head] = count;
}

void dirty_pushed(struct dirty *dirty, unsigned int id, uint32_t written)
{
	struct dirty_piece *pieces = dirty->pieces[id];
	uint64_t left = written;

	if (!pieces)
		return;
	for (unsigned int i = 0; i < dirty->piece_count[id]; i++) {
		uint64_t size =
		    pieces[i].length < left ? pieces[i].length : left;

		mark(dirty->must, pieces[i].guest, size);
		left -= size;
	}
	free(pieces);
	dirty->pieces[id] = NULL;
}

static vh_gpa logged_at(const struct model *model, unsigned int area)
{
	return area == MODEL_DESCRIPTORS ? model->ring.descriptors
					 : DIRTY_RING_AT;
}

void dirty_published(struct dirty *dirty, const struct model *model)
{
	for (unsigned int i = 0; dirty->on && i < model->write_count; i++)
		mark(dirty->must,
		     logged_at(model, model->writes_made[i].area) +
			 model->writes_made[i].offset,
		     model->writes_made[i].bytes);
}

void dirty_told(struct dirty *dirty, const struct model *model)
{
	for (unsigned int i = 0; dirty->on && i < model->write_count; i++)
		mark(dirty->may, DIRTY_RING_AT + model->writes_made[i].offset,
		     model->writes_made[i].bytes);
}

void dirty_check(const struct dirty *dirty)
{
	for (unsigned int i = 0; i < DIRTY_BYTES; i++) {
		uint8_t bits = dirty->bits[i], must = dirty->must[i];

		if ((bits & must) != must)
			fail_msg("bits 0x%x of byte %u of the log are missing",
				 must & ~bits, i);
		if (bits & ~(must | dirty->may[i]))
			fail_msg("bits 0x%x of byte %u of the log are wrong",
				 bits & ~(must | dirty->may[i]), i);
	}
}
