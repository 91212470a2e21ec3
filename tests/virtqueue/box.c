/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "box.h"
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* In the file they lie in another order than in guest memory. */
static const struct {
	vh_gpa guest;
	uint64_t size;
	uint64_t offset;
} regions[BOX_REGIONS] = {
    {BOX_A, BOX_A_SIZE, 0x100000},
    {BOX_B, BOX_B_SIZE, 0},
    {BOX_C, BOX_C_SIZE, 0x80000},
    {BOX_D, BOX_D_SIZE, 0x40000},
};

#define FILE_SIZE (0x100000 + BOX_A_SIZE)

struct vh_region box_region(const struct box *box, unsigned int which)
{
	return (struct vh_region){
	    .guest = regions[which].guest,
	    .size = regions[which].size,
	    .user = {0x7000000000 + regions[which].offset},
	    .fd_offset = regions[which].offset,
	    .fd = box->fd,
	};
}

void box_open_memory(struct box *box, uint32_t num)
{
	struct vh_memory *more;

	memset(box, 0, sizeof(*box));
	box->num = num;
	box->fd = memfd_create("box", MFD_CLOEXEC);
	assert_true(box->fd >= 0);
	assert_int_equal(ftruncate(box->fd, FILE_SIZE), 0);
	box->flat = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 box->fd, 0);
	assert_true(box->flat != MAP_FAILED);
	assert_int_equal(vh_memory_new(&box->memory), 0);
	for (unsigned int i = 0; i < BOX_REGIONS; i++) {
		struct vh_region region = box_region(box, i);

		assert_int_equal(
		    vh_memory_add(box->memory, &region, NULL, &more), 0);
		vh_memory_unref(box->memory);
		box->memory = more;
	}
}

struct vh_virtqueue_opts box_queue_opts(const struct box *box)
{
	VH_OPTS(vh_virtqueue_opts, opts);
	opts.index = BOX_QUEUE_INDEX;
	opts.num = box->num;
	opts.features = box->features;
	opts.descriptors = BOX_DESCRIPTORS;
	opts.available = BOX_AVAIL;
	opts.used = BOX_USED;
	return opts;
}

void box_open(struct box *box, const struct box_opts *opts)
{
	struct vh_virtqueue_opts queue_opts;

	box_open_memory(box, opts->num);
	box->features = opts->features;
	box->avail_index = opts->base;
	box_show(box);
	*box_used_word(box, 1) = htole16(opts->base);
	queue_opts = box_queue_opts(box);
	queue_opts.base = opts->base;
	queue_opts.max_segments = opts->max_segments;
	assert_int_equal(
	    vh_virtqueue_new(&queue_opts, box->memory, NULL, &box->queue), 0);
}

void box_close(struct box *box)
{
	vh_virtqueue_free(box->queue);
	vh_memory_unref(box->memory);
	munmap(box->flat, FILE_SIZE);
	close(box->fd);
}

static char *find(const struct box *box, vh_gpa guest)
{
	for (unsigned int i = 0; i < BOX_REGIONS; i++)
		if (guest - regions[i].guest < regions[i].size)
			return box->flat + regions[i].offset +
			       (guest - regions[i].guest);
	return NULL;
}

void *box_host(const struct box *box, vh_gpa guest)
{
	char *host = find(box, guest);

	if (!host)
		fail_msg("guest address 0x%llx", (unsigned long long)guest);
	return host;
}

/* Byte by byte: an entry may lie across two regions, or in none. */
static void put(struct box *box, vh_gpa guest, uint64_t value,
		unsigned int size)
{
	for (unsigned int i = 0; i < size; i++) {
		uint8_t *host = (uint8_t *)find(box, guest + i);

		if (host)
			__atomic_store_n(host, (uint8_t)(value >> 8 * i),
					 __ATOMIC_RELAXED);
	}
}

void box_entry(struct box *box, vh_gpa table, unsigned int index,
	       vh_gpa address, uint32_t length, unsigned int flags,
	       unsigned int next)
{
	vh_gpa at = table + 16 * (uint64_t)index;

	put(box, at, address, 8);
	put(box, at + 8, length, 4);
	put(box, at + 12, flags, 2);
	put(box, at + 14, next, 2);
}

void box_descriptor(struct box *box, unsigned int index, vh_gpa address,
		    uint32_t length, unsigned int flags, unsigned int next)
{
	box_entry(box, BOX_DESCRIPTORS, index, address, length, flags, next);
}

uint16_t *box_avail_word(const struct box *box, unsigned int word)
{
	return (uint16_t *)box_host(box, BOX_AVAIL) + word;
}

uint16_t *box_used_word(const struct box *box, unsigned int word)
{
	return (uint16_t *)box_host(box, BOX_USED) + word;
}

void box_offer(struct box *box, unsigned int head)
{
	*box_avail_word(box, 2 + box->avail_index % box->num) =
	    htole16((uint16_t)head);
	box->avail_index++;
}

void box_show(struct box *box)
{
	__atomic_store_n(box_avail_word(box, 1), htole16(box->avail_index),
			 __ATOMIC_RELEASE);
}

void box_send(struct box *box, unsigned int head)
{
	box_offer(box, head);
	box_show(box);
}

uint16_t box_used_index(const struct box *box)
{
	return le16toh(*box_used_word(box, 1));
}

static uint32_t used_field(const struct box *box, unsigned int position,
			   unsigned int field)
{
	const uint32_t *elements = box_host(box, BOX_USED + 4);

	return le32toh(elements[2 * (position % box->num) + field]);
}

uint32_t box_used_id(const struct box *box, unsigned int position)
{
	return used_field(box, position, 0);
}

uint32_t box_used_length(const struct box *box, unsigned int position)
{
	return used_field(box, position, 1);
}

struct vh_chain *box_pop(struct box *box)
{
	struct vh_chain *chain = NULL;

	assert_int_equal(vh_virtqueue_pop(box->queue, &chain, 1), 1);
	assert_non_null(chain);
	return chain;
}

void box_expect_fault(struct box *box, uint32_t code)
{
	unsigned int before = vh_virtqueue_inflight(box->queue);
	const struct vh_fault *fault;
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];

	assert_null(vh_virtqueue_fault(box->queue));
	assert_int_equal(
	    vh_virtqueue_pop(box->queue, chains, VH_VIRTQUEUE_BURST), -EPROTO);
	fault = vh_virtqueue_fault(box->queue);
	assert_non_null(fault);
	assert_string_equal(vh_fault_name(fault->code), vh_fault_name(code));
	assert_int_equal(fault->error, -EPROTO);
	assert_int_equal(fault->queue, BOX_QUEUE_INDEX);
	assert_true(strlen(fault->section) > 0);
	assert_true(strlen(fault->text) > 0);
	assert_int_equal(vh_virtqueue_inflight(box->queue), before);
	/* It stays so. */
	assert_int_equal(vh_virtqueue_pop(box->queue, chains, 1), -EPROTO);
	assert_false(vh_virtqueue_pending(box->queue));
	assert_int_equal(vh_virtqueue_publish(box->queue), 0);
}

void box_expect_piece(const struct box *box, const struct iovec *piece,
		      vh_gpa guest, size_t length)
{
	assert_int_equal(piece->iov_len, length);
	assert_ptr_equal(piece->iov_base,
			 vh_memory_at(box->memory, guest, length));
	assert_non_null(piece->iov_base);
}
