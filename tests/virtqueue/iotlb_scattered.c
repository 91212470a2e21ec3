/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Rings behind an IOMMU that scatters their pages over guest memory. */
#include "scattered_box.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void for_all(void (*test)(uint64_t features))
{
	for (unsigned int i = 0; i < 8; i++)
		test(VH_F_VERSION_1 | (i & 1 ? VH_F_RING_PACKED : 0) |
		     (i & 2 ? VH_F_EVENT_IDX : 0) |
		     (i & 4 ? VH_F_IN_ORDER : 0));
}

/* Round and round: the index of a split ring wraps, too. */
static void works(uint64_t features)
{
	struct place p;

	open_place(&p, features);
	allow_ring(&p);
	start(&p);
	assert_true(mappings_of_guest() > p.mappings);
	for (unsigned int i = 0; i < 200; i++)
		pass(&p, 1 + i * 7 % (NUM / 2));
	pass(&p, NUM / 2);
	close_place(&p);
}

static void test_virtqueue_iotlb_scattered_ring_works(void **state)
{
	(void)state;
	for_all(works);
}

/* Its pages come one by one, each is asked for; some come first. */
static void comes_late(uint64_t features)
{
	unsigned int needed = 0;
	uint32_t access;
	struct place p;
	vh_gpa missing;

	open_place(&p, features);
	allow_page(&p, 1);
	start(&p);
	send_many(&p, 10);
	while (vh_virtqueue_missing(p.queue, &missing, &access)) {
		unsigned int n =
		    (unsigned int)((missing - ring_page(0)) / PAGE);

		assert_true(missing >= RING && n < RING_PAGES && n != 1);
		assert_int_equal(mappings_of_guest(), p.mappings);
		serve(&p);
		allow_page(&p, n);
		refresh(&p);
		needed++;
	}
	assert_true(needed >= 4 && needed < RING_PAGES);
	serve(&p);
	collect_many(&p, 10);
	close_place(&p);
}

static void test_virtqueue_iotlb_scattered_ring_comes_late(void **state)
{
	(void)state;
	for_all(comes_late);
}

/* What changes beside it, and within it without effect, costs no mapping. */
static void stays(uint64_t features)
{
	struct place p;
	unsigned int calls;

	open_place(&p, features);
	allow_ring(&p);
	start(&p);
	calls = mremap_calls;
	assert_true(calls > 0);
	for (unsigned int i = 0; i < 100; i++) {
		update(&p, DATA + (8 + i) * PAGE, guest_of(50), PAGE, BOTH);
		if (i % 3 == 0)
			invalidate(&p, DATA + (4 + i) * PAGE, PAGE);
		if (i % 5 == 0)
			update(&p, ring_page(1) + 8, guest_of(p.pages[1]) + 8,
			       8, BOTH);
		refresh(&p);
		pass(&p, 20);
	}
	assert_int_equal(mremap_calls, calls);
	close_place(&p);
}

static void test_virtqueue_iotlb_scattered_ring_stays(void **state)
{
	(void)state;
	for_all(stays);
}

/* A page of it moves to another place of guest memory. */
static void moves(uint64_t features)
{
	struct place p;

	open_place(&p, features);
	allow_ring(&p);
	start(&p);
	for (unsigned int i = 0; i < 3 * RING_PAGES; i++) {
		unsigned int n = i % RING_PAGES, old = p.pages[n];

		pass(&p, 100);
		move_page(&p, n, 21 + i % 10);
		refresh(&p);
		pass(&p, 100);
		move_page(&p, n, old);
		refresh(&p);
	}
	close_place(&p);
}

static void test_virtqueue_iotlb_scattered_ring_moves(void **state)
{
	(void)state;
	for_all(moves);
}

/* Completions go where the ring was, and then it isn't mapped any more. */
static void goes_away(uint64_t features)
{
	struct vh_chain *chains[2];
	struct place p;
	unsigned int mapped;

	open_place(&p, features);
	allow_ring(&p);
	start(&p);
	pass(&p, 300);
	mapped = mappings_of_guest();
	assert_true(mapped > p.mappings);
	send_many(&p, 2);
	assert_int_equal(vh_virtqueue_pop(p.queue, chains, 2), 2);
	invalidate(&p, ring_page(0), RING_PAGES * PAGE);
	refresh(&p);
	assert_true(vh_virtqueue_holds_old_memory(p.queue));
	assert_int_equal(mappings_of_guest(), mapped);
	give(&p, chains, 2);
	assert_true(vh_virtqueue_publish(p.queue) >= 0);
	assert_false(vh_virtqueue_holds_old_memory(p.queue));
	assert_int_equal(mappings_of_guest(), p.mappings);
	collect_many(&p, 2);
	allow_ring(&p);
	refresh(&p);
	assert_int_equal(mappings_of_guest(), mapped);
	pass(&p, 300);
	/* a broken one lets go at once */
	vh_virtqueue_break(p.queue, VH_FAULT_IO, NULL, "%d", 1);
	assert_int_equal(mappings_of_guest(), p.mappings);
	close_place(&p);
}

static void test_virtqueue_iotlb_scattered_ring_goes_away(void **state)
{
	(void)state;
	for_all(goes_away);
}

/* One of its own pages may be forbidden. */
static void permissions(uint64_t features)
{
	struct vh_fault fault;
	struct place p;

	open_place(&p, features);
	allow_ring(&p);
	update(&p, ring_page(2), guest_of(p.pages[2]), PAGE, WRITE);
	assert_int_equal(vh_virtqueue_new(&p.opts, p.iotlb, &fault, &p.queue),
			 -EFAULT);
	assert_int_equal(fault.code, VH_FAULT_RING_ADDR);
	assert_non_null(strstr(fault.text, "may not be accessed so"));
	/* all that a split ring's descriptors need is this */
	update(&p, ring_page(2), guest_of(p.pages[2]), PAGE, READ);
	assert_int_equal(vh_virtqueue_new(&p.opts, p.iotlb, NULL, &p.queue),
			 features & VH_F_RING_PACKED ? -EFAULT : 0);
	close_place(&p);
}

static void test_virtqueue_iotlb_scattered_ring_permissions(void **state)
{
	(void)state;
	for_all(permissions);
}

static void must_fault(struct place *p, const char *words)
{
	struct vh_fault fault = {0};

	p->queue = NULL;
	assert_int_equal(
	    vh_virtqueue_new(&p->opts, p->iotlb, &fault, &p->queue), -EFAULT);
	assert_null(p->queue);
	assert_int_equal(fault.code, VH_FAULT_RING_ADDR);
	if (!strstr(fault.text, words))
		fail_msg("no \"%s\" in \"%s\"", words, fault.text);
	assert_int_equal(mappings_of_guest(), p->mappings);
}

/* What can't be put side by side is said, sooner or later. */
static void cannot(uint64_t features)
{
	struct place p;

	open_place(&p, features);
	allow_ring(&p);
	for (unsigned int i = 0; i < 3; i++) {
		mremap_error = i == 1 ? EINVAL : ENOMEM;
		must_fault(&p, i == 1 ? "again: error 22" : "again: error 12");
	}
	/* the end of a page leads elsewhere */
	update(&p, ring_page(2) - 8, guest_of(60), 8, BOTH);
	must_fault(&p, "not by whole pages");
	allow_page(&p, 1);
	start(&p);
	pass(&p, 10);
	update(&p, ring_page(2) - 8, guest_of(60), 8, BOTH);
	assert_int_equal(vh_virtqueue_set_memory(p.queue, p.iotlb), -EFAULT);
	assert_int_equal(vh_virtqueue_fault(p.queue)->code, VH_FAULT_RING_ADDR);
	assert_int_equal(mappings_of_guest(), p.mappings);
	vh_virtqueue_free(p.queue);

	allow_page(&p, 1);
	invalidate(&p, ring_page(1), PAGE);
	start(&p);
	allow_page(&p, 1);
	mremap_error = ENOMEM;
	assert_int_equal(vh_virtqueue_set_memory(p.queue, p.iotlb), -EFAULT);
	assert_non_null(strstr(vh_virtqueue_fault(p.queue)->text, "error 12"));
	close_place(&p);
}

static void test_virtqueue_iotlb_scattered_ring_cannot(void **state)
{
	(void)state;
	for_all(cannot);
}

static void open_log(struct place *p)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)PAGE), 0);
	p->bits = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p->bits != MAP_FAILED);
	assert_int_equal(vh_dirty_log_new(fd, 0, PAGE, NULL, &p->log), 0);
	close(fd);
	assert_int_equal(vh_virtqueue_set_log(p->queue, p->log, true, 0), 0);
}

/*
 * Takes the marks. Each page that isn't what it was is marked, and no page that
 * the device can't have written to: the last part of the ring, or all of it.
 */
static void check_marks(struct place *p, const char *before)
{
	vh_gpa first =
	    p->features & VH_F_RING_PACKED ? p->opts.descriptors : p->opts.used;
	unsigned int from = (unsigned int)((first - ring_page(0)) / PAGE);

	for (unsigned int page = 0; page < PAGES; page++) {
		uint64_t bit = guest_of(page) / PAGE, at = offset_of(page);
		bool marked = p->bits[bit / 8] >> bit % 8 & 1;
		bool may = page >= DATA_PAGE && page < DATA_PAGE + 4;

		for (unsigned int i = from; i < RING_PAGES; i++)
			may |= p->pages[i] == page;
		if (memcmp(before + at, p->flat + at, PAGE) != 0 && !marked)
			fail_msg("page %u was written and isn't marked", page);
		if (marked && !may)
			fail_msg("page %u is marked", page);
		p->bits[bit / 8] &= (uint8_t) ~(1u << bit % 8);
	}
	for (unsigned int i = 0; i < PAGE; i++)
		assert_int_equal(p->bits[i], 0);
}

static unsigned int marks_of_ring(const struct place *p)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < RING_PAGES; i++) {
		uint64_t bit = guest_of(p->pages[i]) / PAGE;

		count += p->bits[bit / 8] >> bit % 8 & 1;
	}
	return count;
}

/*
 * The log is of guest-physical pages, wherever the ring has been put. An
 * element of a split ring may lie over the end of one.
 */
static void logged(uint64_t features)
{
	static char before[PAGES * PAGE];
	unsigned int most = 0, to = 0, old;
	struct place p;

	open_place(&p, features);
	allow_ring(&p);
	start(&p);
	open_log(&p);
	for (unsigned int i = 0; i < 200; i++) {
		unsigned int count = 1 + i * 31 % (NUM / 2), marks;
		unsigned int n = i / 2 % RING_PAGES;

		/* and back, the next time */
		old = p.pages[n];
		move_page(&p, n, i % 2 ? to : 25);
		to = old;
		refresh(&p);
		send_many(&p, count);
		memcpy(before, p.flat, sizeof(before));
		serve(&p);
		marks = marks_of_ring(&p);
		most = marks > most ? marks : most;
		check_marks(&p, before);
		collect_many(&p, count);
	}
	assert_true(most >= 2);
	close_place(&p);
}

static void test_virtqueue_iotlb_scattered_ring_logged(void **state)
{
	(void)state;
	for_all(logged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_iotlb_scattered_ring_works),
	    cmocka_unit_test(test_virtqueue_iotlb_scattered_ring_comes_late),
	    cmocka_unit_test(test_virtqueue_iotlb_scattered_ring_stays),
	    cmocka_unit_test(test_virtqueue_iotlb_scattered_ring_moves),
	    cmocka_unit_test(test_virtqueue_iotlb_scattered_ring_goes_away),
	    cmocka_unit_test(test_virtqueue_iotlb_scattered_ring_permissions),
	    cmocka_unit_test(test_virtqueue_iotlb_scattered_ring_cannot),
	    cmocka_unit_test(test_virtqueue_iotlb_scattered_ring_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
