/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests in flight of a packed ring: what is noted while all goes well,
 * and what becomes of it after a crash.
 */
#include "packed_area.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define NUM 8

static const uint32_t fresh = PACKED_BASE(0, 1, 0, 1);

static void open_both(struct packed_box *p, struct area *area, uint32_t base)
{
	packed_open_memory(p, &(struct packed_opts){.num = NUM,
						    .features = BOX_INDIRECT,
						    .base = base});
	open_queue(p, area, base);
}

/* A list of readable buffers, 16 bytes each from its own place on. */
static void send_list(struct packed_box *p, unsigned int id, unsigned int count)
{
	for (unsigned int i = 1; i <= count; i++)
		packed_send(p, id, BOX_DATA + 256 * id + 16 * i, 16,
			    i < count ? F_NEXT : 0);
}

static struct vh_chain *pop_list(struct packed_box *p, unsigned int id,
				 unsigned int count)
{
	struct vh_chain *chain;

	assert_true(vh_virtqueue_pending(p->box.queue));
	chain = box_pop(&p->box);
	assert_int_equal(chain->head, id);
	assert_int_equal(chain->descriptors, count);
	assert_int_equal(chain->readable_count, count);
	for (unsigned int i = 1; i <= count; i++)
		box_expect_piece(&p->box, &chain->readable[i - 1],
				 BOX_DATA + 256 * id + 16 * i, 16);
	return chain;
}

static void expect_no_more(struct packed_box *p)
{
	struct vh_chain *more;

	assert_int_equal(vh_virtqueue_pop(p->box.queue, &more, 1), 0);
	assert_false(vh_virtqueue_pending(p->box.queue));
}

static void give(struct packed_box *p, struct vh_chain *chain,
		 unsigned int count)
{
	unsigned int id = chain->head;

	vh_virtqueue_push(p->box.queue, chain, 0);
	assert_true(vh_virtqueue_publish(p->box.queue) >= 0);
	packed_expect_used(p, id, 0, count);
}

/* By hand from the text's tables. */
static void test_virtqueue_packed_inflight_layout(void **state)
{
	(void)state;
	assert_int_equal(offsetof(struct area, version), 8);
	assert_int_equal(offsetof(struct area, free_head), 12);
	assert_int_equal(offsetof(struct area, used_idx), 16);
	assert_int_equal(offsetof(struct area, old_used_wrap_counter), 21);
	assert_int_equal(offsetof(struct area, entries), 32);
	assert_int_equal(sizeof(struct entry), 32);
	assert_int_equal(offsetof(struct entry, counter), 8);
	assert_int_equal(offsetof(struct entry, addr), 24);
	assert_int_equal(VH_VIRTQUEUE_INFLIGHT_SIZE_PACKED(NUM),
			 area_size(NUM));
}

/* Version 0 means that nothing else in it means anything. */
static void test_virtqueue_packed_inflight_fresh(void **state)
{
	static const uint8_t fills[] = {0, 0xff, 0x01};
	static const uint32_t bases[] = {PACKED_BASE(0, 1, 0, 1),
					 PACKED_BASE(5, 0, 5, 0)};

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		struct area *area = new_area(NUM);
		struct packed_box p;

		memset(area, fills[i % 3], area_size(NUM));
		area->version = 0;
		open_both(&p, area, bases[i / 3]);
		assert_int_equal(area->features, 0);
		expect_clean(&p, area);
		expect_no_more(&p);
		assert_int_equal(vh_virtqueue_base(p.box.queue), bases[i / 3]);
		close_all(&p, area);
	}
}

/* Each descriptor of a chain as it was in the ring. */
static void expect_noted(const struct area *area, uint16_t head,
			 unsigned int id, unsigned int count)
{
	const struct entry *entry = &area->entries[head];
	uint16_t at = head;

	assert_int_equal(entry->inflight, 1);
	assert_int_equal(entry->num, count);
	for (unsigned int i = 1; i <= count; i++) {
		assert_true(at < NUM);
		assert_int_equal(area->entries[at].addr,
				 BOX_DATA + 256 * id + 16 * i);
		assert_int_equal(area->entries[at].len, 16);
		assert_int_equal(area->entries[at].flags,
				 F_AVAIL | (i < count ? F_NEXT : 0));
		if (i == count)
			assert_int_equal(area->entries[at].id, id);
		if (i == count)
			assert_int_equal(entry->last, at);
		at = area->entries[at].next;
	}
}

static void test_virtqueue_packed_inflight_taken_and_given(void **state)
{
	struct area *area = new_area(NUM);
	const struct entry *entries = area->entries;
	struct vh_chain *a, *b;
	uint16_t head_a, head_b;
	struct packed_box p;

	(void)state;
	open_both(&p, area, fresh);
	send_list(&p, 6, 3);
	send_list(&p, 2, 1);
	send_list(&p, 5, 2);
	head_a = area->free_head;
	a = pop_list(&p, 6, 3);
	expect_noted(area, head_a, 6, 3);
	expect_free(&p, area, NUM - 3);
	head_b = area->free_head;
	b = pop_list(&p, 2, 1);
	expect_noted(area, head_a, 6, 3);
	expect_noted(area, head_b, 2, 1);
	expect_free(&p, area, NUM - 4);
	assert_true(entries[head_a].counter < entries[head_b].counter);

	/* Not before the driver can see it is it done. */
	vh_virtqueue_push(p.box.queue, b, 0);
	assert_int_equal(entries[head_b].inflight, 1);
	assert_int_equal(area->old_used_idx, 0);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	packed_expect_used(&p, 2, 0, 1);
	assert_int_equal(entries[head_b].inflight, 0);
	assert_int_equal(area->used_idx, 1);
	assert_int_equal(area->old_used_idx, 1);
	expect_noted(area, head_a, 6, 3);
	expect_free(&p, area, NUM - 3);
	b = pop_list(&p, 5, 2);
	give(&p, a, 3);
	give(&p, b, 2);
	expect_clean(&p, area);
	assert_int_equal(area->used_idx, 6);
	/* Once round: the counter changes. */
	send_list(&p, 1, 2);
	give(&p, pop_list(&p, 1, 2), 2);
	expect_clean(&p, area);
	assert_int_equal(area->used_wrap_counter, 0);
	close_all(&p, area);
}

/*
 * What was taken comes first, then what is new; base says nothing then. A
 * used descriptor lies where the first of a chain was that is in flight, so
 * only the area knows that one.
 */
static void test_virtqueue_packed_inflight_popped_again(void **state)
{
	static const uint32_t bases[] = {0, PACKED_BASE(0, 1, 0, 1),
					 PACKED_BASE(7, 0, 3, 1),
					 PACKED_BASE(7, 1, 7, 1)};

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct area *area = new_area(NUM);
		/* Goes over the end of the ring, or not. */
		uint32_t base =
		    i & 1 ? PACKED_BASE(6, 0, 6, 0) : PACKED_BASE(1, 1, 1, 1);
		struct vh_chain *a, *b, *c, *d;
		struct packed_box p;

		open_both(&p, area, base);
		send_list(&p, 0, 3);
		send_list(&p, 1, 1);
		send_list(&p, 2, 2);
		send_list(&p, 3, 2);
		pop_list(&p, 0, 3);
		b = pop_list(&p, 1, 1);
		c = pop_list(&p, 2, 2);
		give(&p, b, 1);
		vh_virtqueue_push(p.box.queue, c, 0); /* never shown */
		crash(&p);
		send_list(&p, 1, 1);
		open_queue(&p, area, bases[i / 2]);
		a = pop_list(&p, 0, 3);
		c = pop_list(&p, 2, 2);
		d = pop_list(&p, 3, 2);
		b = pop_list(&p, 1, 1);
		expect_no_more(&p);
		assert_int_equal(vh_virtqueue_inflight(p.box.queue), 4);
		give(&p, d, 2);
		give(&p, b, 1);
		give(&p, a, 3);
		give(&p, c, 2);
		expect_clean(&p, area);
		assert_int_equal(
		    vh_virtqueue_base(p.box.queue),
		    PACKED_BASE(p.place, p.wrap, p.used, p.used_wrap));
		crash(&p);
		open_queue(&p, area, fresh);
		expect_no_more(&p);
		close_all(&p, area);
	}
}

/* It doesn't count, but it must be one. */
static void test_virtqueue_packed_inflight_base_outside(void **state)
{
	static const uint32_t bases[] = {PACKED_BASE(NUM, 1, 0, 1),
					 PACKED_BASE(0, 1, NUM, 1)};
	struct area *area = new_area(NUM);
	struct packed_box p;
	struct vh_fault fault;

	(void)state;
	open_both(&p, area, fresh);
	send_list(&p, 0, 1);
	pop_list(&p, 0, 1);
	crash(&p);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(
		    try_queue(&p, area, area_size(NUM), bases[i], &fault),
		    -EINVAL);
		assert_int_equal(fault.code, VH_FAULT_MSG_FIELD);
		assert_non_null(strstr(fault.text, "base 0x"));
	}
	open_queue(&p, area, fresh);
	give(&p, pop_list(&p, 0, 1), 1);
	expect_clean(&p, area);
	close_all(&p, area);
}

/* A chain is taken while another one is given back but not shown. */
static void test_virtqueue_packed_inflight_taken_before_shown(void **state)
{
	struct area *area = new_area(NUM);
	struct vh_chain *a, *b;
	struct packed_box p;

	(void)state;
	open_both(&p, area, fresh);
	send_list(&p, 0, 2);
	send_list(&p, 1, 2);
	vh_virtqueue_push(p.box.queue, pop_list(&p, 0, 2), 0);
	pop_list(&p, 1, 2);
	crash(&p);
	open_queue(&p, area, fresh);
	a = pop_list(&p, 0, 2);
	b = pop_list(&p, 1, 2);
	expect_no_more(&p);
	give(&p, a, 2);
	give(&p, b, 2);
	expect_clean(&p, area);
	close_all(&p, area);
}

/* The table lies in guest memory; only the one that leads to it is noted. */
static void test_virtqueue_packed_inflight_indirect(void **state)
{
	struct area *area = new_area(NUM);
	struct vh_chain *chain;
	struct packed_box p;

	(void)state;
	open_both(&p, area, fresh);
	for (unsigned int i = 0; i < 20; i++)
		packed_entry(&p, BOX_TABLES, i, BOX_DATA + i, 1,
			     i > 3 ? F_WRITE : 0);
	packed_send(&p, 7, BOX_TABLES, 320, F_INDIRECT);
	for (unsigned int life = 0; life < 3; life++) {
		chain = box_pop(&p.box);
		assert_int_equal(chain->head, 7);
		assert_int_equal(chain->descriptors, 20);
		assert_int_equal(chain->writable_size, 16);
		if (life == 2)
			break;
		crash(&p);
		open_queue(&p, area, fresh);
		assert_int_equal(vh_virtqueue_unrecovered(p.box.queue), 1);
	}
	vh_virtqueue_push(p.box.queue, chain, 16);
	assert_int_equal(vh_virtqueue_publish(p.box.queue), 1);
	packed_expect_used(&p, 7, 16, 1);
	expect_clean(&p, area);
	close_all(&p, area);
}

/* A burst may be smaller than what is to be popped again. */
static void test_virtqueue_packed_inflight_popped_again_in_bursts(void **state)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	struct area *area = new_area(129);
	unsigned int done = 0;
	struct packed_box p;

	(void)state;
	packed_open_memory(&p, &(struct packed_opts){.num = 129});
	open_queue(&p, area, fresh);
	for (unsigned int i = 0; i < 100; i++)
		packed_send(&p, 127 - i, BOX_DATA, 1, 0);
	for (unsigned int i = 0; i < 90; i++)
		box_pop(&p.box);
	crash(&p);
	open_queue(&p, area, fresh);
	assert_int_equal(vh_virtqueue_unrecovered(p.box.queue), 90);
	while (done < 100) {
		int n = vh_virtqueue_pop(p.box.queue, chains, 32);

		assert_true(n > 0);
		for (int i = 0; i < n; i++, done++) {
			assert_int_equal(chains[i]->head, 127 - done);
			give(&p, chains[i], 1);
		}
	}
	expect_clean(&p, area);
	close_all(&p, area);
}

/* The driver was reset and the area begins anew with the ring. */
static void test_virtqueue_packed_inflight_forgotten(void **state)
{
	struct area *area = new_area(NUM);
	struct packed_box p;

	(void)state;
	open_both(&p, area, fresh);
	send_list(&p, 0, 3);
	pop_list(&p, 0, 3);
	crash(&p);
	vh_virtqueue_forget_inflight(area);
	memset(box_host(&p.box, BOX_DESCRIPTORS), 0, 16 * NUM);
	packed_set_base(&p, fresh);
	open_queue(&p, area, fresh);
	expect_clean(&p, area);
	expect_no_more(&p);
	close_all(&p, area);
}

struct log {
	struct vh_dirty_log *log;
	uint8_t *bits;
};

static void open_log(struct log *log)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	log->bits = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(log->bits != MAP_FAILED);
	assert_int_equal(vh_dirty_log_new(fd, 0, 4096, NULL, &log->log), 0);
	close(fd);
}

static void close_log(struct log *log)
{
	vh_dirty_log_unref(log->log);
	munmap(log->bits, 4096);
}

/* All of the ring was offered and is used, but for the first to be shown. */
static void crash_before_showing(struct packed_box *p, struct area *area)
{
	struct vh_chain *chains[NUM];

	open_both(p, area, fresh);
	for (unsigned int id = 0; id < NUM; id++)
		send_list(p, id, 1);
	assert_int_equal(vh_virtqueue_pop(p->box.queue, chains, NUM), NUM);
	for (unsigned int id = 0; id < NUM; id++)
		vh_virtqueue_push(p->box.queue, chains[id], 0);
	assert_int_not_equal(packed_flags(p, 1) & F_USED, 0);
	crash(p);
}

static void expect_logged(struct packed_box *p, const struct log *log)
{
	assert_int_equal(packed_flags(p, 1) & F_USED, 0);
	assert_int_not_equal(log->bits[BOX_DESCRIPTORS / 4096 / 8] >>
				     BOX_DESCRIPTORS / 4096 % 8 &
				 1,
			     0);
}

/* What was used and not shown is available again, on the other side, too. */
static void test_virtqueue_packed_inflight_mended_ring_is_logged(void **state)
{
	struct area *area = new_area(NUM);
	struct packed_box p;
	struct log log;

	(void)state;
	open_log(&log);
	crash_before_showing(&p, area);
	open_queue(&p, area, fresh);
	assert_int_equal(vh_virtqueue_set_log(p.box.queue, log.log, true, 0),
			 0);
	expect_logged(&p, &log);
	close_all(&p, area);
	close_log(&log);
}

/* The log is there before the ring is. */
static void
test_virtqueue_packed_inflight_mended_ring_behind_iommu(void **state)
{
	const struct vh_iotlb_entry entry = {
	    .iova = BOX_A,
	    .size = BOX_A_SIZE,
	    .guest = BOX_A,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};
	struct vh_memory *guest, *empty, *full;
	struct area *area = new_area(NUM);
	struct packed_box p;
	struct log log;

	(void)state;
	open_log(&log);
	crash_before_showing(&p, area);
	guest = p.box.memory;
	assert_int_equal(vh_iotlb_new(guest, &empty), 0);
	p.box.memory = empty;
	open_queue(&p, area, fresh);
	p.box.memory = guest;
	assert_int_equal(vh_virtqueue_set_log(p.box.queue, log.log, true, 0),
			 0);
	assert_int_equal(vh_iotlb_update(empty, &entry, NULL, &full), 0);
	assert_int_equal(vh_virtqueue_set_memory(p.box.queue, full), 0);
	expect_logged(&p, &log);
	vh_memory_unref(empty);
	vh_memory_unref(full);
	close_all(&p, area);
	close_log(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_packed_inflight_layout),
	    cmocka_unit_test(test_virtqueue_packed_inflight_fresh),
	    cmocka_unit_test(test_virtqueue_packed_inflight_taken_and_given),
	    cmocka_unit_test(test_virtqueue_packed_inflight_popped_again),
	    cmocka_unit_test(test_virtqueue_packed_inflight_base_outside),
	    cmocka_unit_test(test_virtqueue_packed_inflight_taken_before_shown),
	    cmocka_unit_test(test_virtqueue_packed_inflight_indirect),
	    cmocka_unit_test(
		test_virtqueue_packed_inflight_popped_again_in_bursts),
	    cmocka_unit_test(test_virtqueue_packed_inflight_forgotten),
	    cmocka_unit_test(
		test_virtqueue_packed_inflight_mended_ring_is_logged),
	    cmocka_unit_test(
		test_virtqueue_packed_inflight_mended_ring_behind_iommu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
