/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Rings that break the rules, through the server. The queue is broken and
 * says so through its err descriptor and the device status; the other one
 * goes on; stopping and starting anew, or reconnecting, mends it. CVE
 * numbers name the defects of others that a case looks for.
 */
#include "raw.h"

#include <pthread.h>
#include <sys/mman.h>

#define NEEDS_RESET 64

static uint64_t region_end(const struct fixture *f, unsigned int index)
{
	const struct fe_region *region = &f->session.guest.regions[index];

	return region->guest + region->size;
}

/* What is wrong with a chain: it begins at descriptor 0 and is offered. */
typedef void attack(struct raw_ring *ring);

/* CVE-2019-9547 and kin */
static void loop_to_itself(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){ring->in, 8, DESC_NEXT, 0});
}

static void loop_of_two(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){ring->in, 8, DESC_NEXT, 1});
	raw_set(ring, 1, (struct raw_desc){ring->in, 8, DESC_NEXT, 0});
}

/* CVE-2016-6490: of nothing, so that no length ends it */
static void loop_of_zero_lengths(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){ring->in, 0, DESC_NEXT, 1});
	raw_set(ring, 1, (struct raw_desc){ring->in, 0, DESC_NEXT, 0});
}

static void next_is_out_of_range(struct raw_ring *ring)
{
	raw_set(
	    ring, 0,
	    (struct raw_desc){ring->in, 8, DESC_NEXT, (uint16_t)ring->size});
}

static void next_is_far_out_of_range(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){ring->in, 8, DESC_NEXT, 0xffff});
}

static void address_is_unmapped(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){0x1000, 8, 0, 0});
}

static void address_is_the_front_end_s(struct raw_ring *ring)
{
	uint64_t user = ring->f->session.guest.regions[0].user;

	raw_set(ring, 0, (struct raw_desc){user, 8, 0, 0});
}

/* CVE-2018-1059: the first byte is inside, the last one isn't */
static void ends_one_byte_behind(struct raw_ring *ring)
{
	uint64_t end = region_end(ring->f, 1);

	raw_set(ring, 0, (struct raw_desc){end - 16, 17, 0, 0});
}

static void writes_one_byte_behind(struct raw_ring *ring)
{
	uint64_t end = region_end(ring->f, 1);

	raw_set(ring, 0, (struct raw_desc){end - 1, 2, DESC_WRITE, 0});
}

static void begins_one_byte_before(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){GUEST_BASE - 1, 2, 0, 0});
}

static void address_wraps(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){UINT64_MAX - 3, 8, 0, 0});
}

static void length_is_all_there_is(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){ring->in, UINT32_MAX, 0, 0});
}

static void readable_after_writable(struct raw_ring *ring)
{
	raw_set(ring, 0,
		(struct raw_desc){ring->out, 8, DESC_WRITE | DESC_NEXT, 1});
	raw_set(ring, 1, (struct raw_desc){ring->in, 8, 0, 0});
}

static void set_table(struct raw_ring *ring, unsigned int index,
		      struct raw_desc desc)
{
	guest_write(&ring->f->session.guest, ring->table + index * sizeof(desc),
		    &desc, sizeof(desc));
}

static void indirect_in_indirect(struct raw_ring *ring)
{
	set_table(ring, 0,
		  (struct raw_desc){ring->table, 16, DESC_INDIRECT, 0});
	raw_set(ring, 0, (struct raw_desc){ring->table, 16, DESC_INDIRECT, 0});
}

static void indirect_with_next(struct raw_ring *ring)
{
	set_table(ring, 0, (struct raw_desc){ring->in, 16, 0, 0});
	raw_set(ring, 1, (struct raw_desc){ring->in, 16, 0, 0});
	raw_set(
	    ring, 0,
	    (struct raw_desc){ring->table, 16, DESC_INDIRECT | DESC_NEXT, 1});
}

static void indirect_of_nothing(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){ring->table, 0, DESC_INDIRECT, 0});
}

static void indirect_of_half_an_entry(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){ring->table, 17, DESC_INDIRECT, 0});
}

static void indirect_is_unmapped(struct raw_ring *ring)
{
	raw_set(ring, 0, (struct raw_desc){0x2000, 32, DESC_INDIRECT, 0});
}

static void indirect_ends_behind(struct raw_ring *ring)
{
	uint64_t end = region_end(ring->f, 1);

	raw_set(ring, 0, (struct raw_desc){end - 16, 32, DESC_INDIRECT, 0});
}

static void indirect_loops(struct raw_ring *ring)
{
	set_table(ring, 0, (struct raw_desc){ring->in, 8, DESC_NEXT, 1});
	set_table(ring, 1, (struct raw_desc){ring->in, 8, DESC_NEXT, 0});
	raw_set(ring, 0, (struct raw_desc){ring->table, 32, DESC_INDIRECT, 0});
}

static void indirect_next_is_out_of_range(struct raw_ring *ring)
{
	set_table(ring, 0, (struct raw_desc){ring->in, 8, DESC_NEXT, 2});
	raw_set(ring, 0, (struct raw_desc){ring->table, 32, DESC_INDIRECT, 0});
}

/* CVE-2026-93683 */
static void indirect_is_huge(struct raw_ring *ring)
{
	raw_set(ring, 0,
		(struct raw_desc){ring->table, UINT32_MAX & ~15u, DESC_INDIRECT,
				  0});
}

static attack *const attacks[] = {
    loop_to_itself,
    loop_of_two,
    loop_of_zero_lengths,
    next_is_out_of_range,
    next_is_far_out_of_range,
    address_is_unmapped,
    address_is_the_front_end_s,
    ends_one_byte_behind,
    writes_one_byte_behind,
    begins_one_byte_before,
    address_wraps,
    length_is_all_there_is,
    readable_after_writable,
    indirect_in_indirect,
    indirect_with_next,
    indirect_of_nothing,
    indirect_of_half_an_entry,
    indirect_is_unmapped,
    indirect_ends_behind,
    indirect_loops,
    indirect_next_is_out_of_range,
    indirect_is_huge,
};

#define NUM_ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

static void must_be_broken(struct fixture *f)
{
	uint64_t status;

	must(session_wait_err(&f->session, 0));
	must(fe_get_u64(&f->session.fe, FE_GET_STATUS, &status));
	assert_true(status & NEEDS_RESET);
	must_echo(f, 1, 1000);
}

/* Stops the queue and starts it with an empty ring. */
static void mend(struct fixture *f)
{
	must(session_stop_queue(&f->session, 0));
	f->session.queues[0].base = 0;
	must(session_make_ring(&f->session, 0));
	must(session_start_queue(&f->session, 0));
	must_live(f);
}

static void test_conformance_hostile_chains(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	open_echo(f, 2);
	for (i = 0; i < NUM_ATTACKS; i++) {
		struct raw_ring ring;

		raw_attach(&ring, f, 0);
		ring.avail[1] = 0;
		attacks[i](&ring);
		must(session_stop_queue(&f->session, 0));
		f->session.queues[0].base = 0;
		ring.used[1] = 0;
		must(session_start_queue(&f->session, 0));
		raw_offer_one(&ring, 0);
		must_be_broken(f);
		assert_int_equal(raw_used(&ring), 0);
		mend(f);
	}
}

static void test_conformance_hostile_chain_then_reconnect(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	open_echo(f, 2);
	for (i = 0; i < NUM_ATTACKS; i++) {
		struct raw_ring ring;

		raw_attach(&ring, f, 0);
		attacks[i](&ring);
		raw_offer_one(&ring, 0);
		must_be_broken(f);
		start_session(f);
		must_live(f);
	}
}

/* Those behind a bad one are never done. */
static void test_conformance_hostile_chain_among_good_ones(void **state)
{
	static const uint16_t heads[] = {2, 4, 0, 6};
	struct fixture *f = *state;
	struct raw_ring ring;

	open_echo(f, 2);
	raw_attach(&ring, f, 0);
	raw_good_chain(&ring, 2);
	raw_good_chain(&ring, 4);
	raw_good_chain(&ring, 6);
	loop_to_itself(&ring);
	raw_offer(&ring, heads, 4);
	must_be_broken(f);
	must(session_stop_queue(&f->session, 0));
	assert_in_range(raw_used(&ring), 0, 2);
	f->session.queues[0].base = 0;
	must(session_make_ring(&f->session, 0));
	must(session_start_queue(&f->session, 0));
	must_live(f);
}

static void test_conformance_hostile_heads(void **state)
{
	static const uint16_t heads[] = {128, 129, 0x8000, 0xffff};
	struct fixture *f = *state;
	unsigned int i;

	open_echo(f, 2);
	for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct raw_ring ring;

		raw_attach(&ring, f, 0);
		raw_offer_one(&ring, heads[i]);
		must_be_broken(f);
		mend(f);
	}
}

/* More than the ring can have in flight: 129 to 65535 at once. */
static void test_conformance_hostile_available_index(void **state)
{
	static const uint16_t jumps[] = {129, 130, 256, 0x7fff, 0x8000, 0xffff};
	struct fixture *f = *state;
	unsigned int i;

	open_echo(f, 2);
	for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		struct raw_ring ring;

		raw_attach(&ring, f, 0);
		raw_set_index(&ring, (uint16_t)(ring.avail[1] + jumps[i]));
		must_be_broken(f);
		mend(f);
		if (i + 1 < sizeof(jumps) / sizeof(jumps[0])) {
			/* from an empty ring each time */
			must(session_stop_queue(&f->session, 0));
			f->session.queues[0].base = 0;
			must(session_make_ring(&f->session, 0));
			must(session_start_queue(&f->session, 0));
		}
	}
}

/* CVE-2026-45782: in flight already, twice over */
static void test_conformance_hostile_head_in_flight(void **state)
{
	static const uint16_t twice[] = {0, 0};
	struct fixture *f = *state;
	struct raw_ring ring;

	open_echo(f, 2);
	raw_attach(&ring, f, 0);
	raw_good_chain(&ring, 0);
	echo_hold(f->server.echo);
	raw_offer(&ring, twice, 2);
	must(session_wait_err(&f->session, 0));
	must(echo_wait_held(f->server.echo, 1));
	echo_release(f->server.echo);
	must(echo_wait_held(f->server.echo, 0));
	mend(f);

	raw_attach(&ring, f, 0);
	raw_good_chain(&ring, 0);
	echo_hold(f->server.echo);
	raw_offer_one(&ring, 0);
	must(echo_wait_held(f->server.echo, 1));
	raw_offer_one(&ring, 0);
	must(session_wait_err(&f->session, 0));
	echo_release(f->server.echo);
	must(echo_wait_held(f->server.echo, 0));
	mend(f);
}

/* A chain as long as the ring is fine, and longer ones can't be. */
static void test_conformance_longest_chain(void **state)
{
	struct fixture *f = *state;
	struct raw_ring ring;
	uint16_t i;

	open_echo(f, 2);
	raw_attach(&ring, f, 0);
	for (i = 0; i < 128; i++)
		raw_set(&ring, i,
			(struct raw_desc){i < 64 ? ring.in + i : ring.out + i,
					  1,
					  (uint16_t)((i < 64 ? 0 : DESC_WRITE) |
						     (i < 127 ? DESC_NEXT : 0)),
					  (uint16_t)(i + 1)});
	raw_offer_one(&ring, 0);
	must(fe_wait_readable(f->session.queues[0].call, FE_TIMEOUT_MS));
	assert_int_equal(raw_used(&ring), 1);
	must_echo(f, 1, 100);
}

/* Zero lengths are of no use, and no harm, wherever they point. */
static void test_conformance_zero_lengths(void **state)
{
	struct fixture *f = *state;
	struct raw_ring ring;

	open_echo(f, 2);
	raw_attach(&ring, f, 0);
	raw_set(&ring, 0, (struct raw_desc){ring.in, 0, DESC_NEXT, 1});
	raw_set(&ring, 1, (struct raw_desc){ring.in, 64, DESC_NEXT, 2});
	raw_set(&ring, 2,
		(struct raw_desc){ring.out, 0, DESC_NEXT | DESC_WRITE, 3});
	raw_set(&ring, 3, (struct raw_desc){ring.out, 64, DESC_WRITE, 0});
	raw_offer_one(&ring, 0);
	must(fe_wait_readable(f->session.queues[0].call, FE_TIMEOUT_MS));
	assert_int_equal(raw_used(&ring), 1);
	must_echo(f, 1, 100);
}

/* CVE-2020-14375: a driver that changes its descriptors while we look. */
struct mutator {
	struct raw_ring *ring;
	bool stop; /* atomic */
};

static void *mutate(void *user)
{
	struct mutator *mutator = user;
	struct raw_ring *ring = mutator->ring;
	volatile struct raw_desc *desc = ring->desc;
	uint32_t random = 1;

	while (!__atomic_load_n(&mutator->stop, __ATOMIC_ACQUIRE)) {
		unsigned int i = random >> 29;

		random = random * 1664525u + 1013904223u;
		desc[i].length = (random >> 8) % 5000;
		desc[i].flags = (uint16_t)((random >> 16) % 8);
		desc[i].next = (uint16_t)((random >> 20) % 10);
		desc[i].addr = random & 16 ? ring->in : ring->table;
	}
	return NULL;
}

static void test_conformance_hostile_changes_while_being_read(void **state)
{
	struct fixture *f = *state;
	struct raw_ring ring;
	struct mutator mutator = {.ring = &ring};
	pthread_t thread;
	unsigned int i, j;

	open_echo(f, 2);
	raw_attach(&ring, f, 0);
	must(pthread_create(&thread, NULL, mutate, &mutator));
	for (i = 0; i < 200; i++) {
		for (j = 0; j < 8; j++)
			raw_offer_one(&ring, (uint16_t)j);
		must(session_stop_queue(&f->session, 0));
		ring.avail[1] = 0;
		ring.used[1] = 0;
		f->session.queues[0].base = 0;
		must(session_start_queue(&f->session, 0));
	}
	__atomic_store_n(&mutator.stop, true, __ATOMIC_RELEASE);
	must(pthread_join(thread, NULL));
	must_echo(f, 1, 100);
	start_session(f);
	must_live(f);
}

/* The used ring and all else the driver may write is never believed. */
static void test_conformance_hostile_used_index(void **state)
{
	struct fixture *f = *state;
	struct raw_ring ring;
	unsigned int i;

	open_echo(f, 2);
	raw_attach(&ring, f, 0);
	for (i = 1; i <= 300; i++) {
		raw_good_chain(&ring, 0);
		ring.used[1] = 0x5555;
		raw_offer_one(&ring, 0);
		while (raw_used(&ring) != (uint16_t)i)
			must(fe_wait_readable(f->session.queues[0].call,
					      FE_TIMEOUT_MS));
	}
	must_echo(f, 1, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_hostile_chains),
	    fixture_test(test_conformance_hostile_chain_then_reconnect),
	    fixture_test(test_conformance_hostile_chain_among_good_ones),
	    fixture_test(test_conformance_hostile_heads),
	    fixture_test(test_conformance_hostile_available_index),
	    fixture_test(test_conformance_hostile_head_in_flight),
	    fixture_test(test_conformance_longest_chain),
	    fixture_test(test_conformance_zero_lengths),
	    fixture_test(test_conformance_hostile_changes_while_being_read),
	    fixture_test(test_conformance_hostile_used_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
