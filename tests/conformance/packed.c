/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Packed rings behind the server (virtio, "Packed Virtqueues"): the data path
 * over any layout and size, and where they stop and start again (vhost-user,
 * "Vring descriptor indices for packed virtqueues").
 */
#include "driven.h"

#define WRAPS	      0x80008000u /* both wrap counters of a fresh ring */
#define AREA	      4096
#define MAX_PIECES    300
#define MAX_IN_FLIGHT 1100

static void open_packed(struct fixture *f, unsigned int queues,
			uint64_t features)
{
	struct session_opts opts = {.num_queues = queues, .regions = 3};

	start_echo(f, queues);
	driven_session(f, &opts, features, 0);
}

static unsigned int cut(struct iovec pieces[], uint64_t at, uint32_t size,
			uint32_t piece)
{
	unsigned int count = 0;

	while (size > 0) {
		uint32_t n = size < piece ? size : piece;

		assert_true(count < MAX_PIECES);
		pieces[count++] = driven_iov(at, n);
		at += n;
		size -= n;
	}
	return count;
}

/* One request, cut into pieces; what comes back is what was sent. */
static void echo_cut(struct driven *d, const uint64_t at[2],
		     const uint32_t pieces[2])
{
	enum { SIZE = 250 };
	const struct guest *guest = &d->session->guest;
	struct iovec readable[MAX_PIECES], writable[MAX_PIECES];
	unsigned int readables = cut(readable, at[0], SIZE, pieces[0]);
	unsigned int writables = cut(writable, at[1], SIZE, pieces[1]);
	uint8_t out[SIZE], in[SIZE] = {0};
	struct vh_driver_used used;

	blk_pattern(out, SIZE, at[0] + d->tries++);
	guest_write(guest, at[0], out, SIZE);
	guest_write(guest, at[1], in, SIZE);
	driven_add(d, readable, readables, writable, writables, out);
	must(driven_wait(d, &used));
	assert_ptr_equal(used.token, out);
	assert_int_equal(used.written, SIZE);
	guest_read(guest, at[1], in, SIZE);
	assert_memory_equal(in, out, SIZE);
}

static void echo_cuts(struct driven *d, uint64_t readable, uint64_t writable)
{
	static const uint32_t cuts[] = {1, 2, 7, 64, 249, 250};
	unsigned int i, j;

	for (i = 0; i < 6; i++)
		for (j = i == 0; j < 6; j++)
			echo_cut(d, (uint64_t[]){readable, writable},
				 (uint32_t[]){cuts[i], cuts[j]});
}

static void any_layout(struct fixture *f, uint64_t features, uint64_t without,
		       uint32_t table_entries)
{
	struct session_opts opts = {.regions = 3, .not_features = without};
	const struct fe_region *regions = f->session.guest.regions;
	struct driven d;
	uint64_t area, edge;

	start_echo(f, 1);
	driven_session(f, &opts, features, 0);
	driven_make(&d, &f->session, 0, 401, table_entries);
	driven_start(&d);
	area = guest_alloc(&f->session.guest, 2 * AREA, 64);
	echo_cuts(&d, area, area + AREA);
	echo_cuts(&d, area + 1, area + AREA + 3);
	/* over the edge between two regions: what is read, what is written */
	for (edge = 1; edge < 250; edge += 83)
		echo_cuts(&d, regions[1].guest - edge, regions[2].guest - edge);
	driven_stop(&d);
	assert_int_equal(d.base, vh_driver_queue_base(d.ring));
	driven_free(&d);
}

static void test_conformance_packed_any_layout(void **state)
{
	any_layout(*state, FE_F_PACKED, FE_F_INDIRECT, 0);
}

static void test_conformance_packed_any_layout_indirect(void **state)
{
	any_layout(*state, FE_F_PACKED, 0, 500);
}

static void test_conformance_packed_any_layout_without_event_idx(void **state)
{
	any_layout(*state, FE_F_PACKED, FE_F_EVENT_IDX, 300);
}

/* As many as the ring holds at once, and several rings full. */
static void fill_again_and_again(struct driven *d, uint64_t area)
{
	struct vh_driver_used used;
	const struct iovec one = driven_iov(area, 16);
	const struct iovec other = driven_iov(area + 16, 16);
	unsigned int turn, sent, done = 0, per_chain = d->num > 1 ? 2 : 1;
	bool seen[MAX_IN_FLIGHT];

	for (turn = 0; turn < 4; turn++) {
		memset(seen, 0, sizeof(seen));
		for (sent = 0; vh_driver_queue_room(d->ring) >= per_chain;
		     sent++)
			driven_add(d, &one, per_chain - 1, &other, 1,
				   &seen[sent]);
		assert_int_equal(sent, d->num / per_chain);
		for (done = 0; done < sent; done++) {
			must(driven_wait(d, &used));
			assert_false(*(bool *)used.token);
			*(bool *)used.token = true;
			assert_int_equal(used.written, per_chain > 1 ? 16 : 0);
		}
	}
}

static void test_conformance_packed_sizes(void **state)
{
	static const uint32_t sizes[] = {1, 2, 3, 5, 8, 100, 255, 1000};
	struct fixture *f = *state;
	struct driven d;
	uint64_t area;
	unsigned int i;

	open_packed(f, 1, FE_F_PACKED);
	area = guest_alloc(&f->session.guest, AREA, 64);
	for (i = 0; i < 8; i++) {
		driven_make(&d, &f->session, 0, sizes[i], 0);
		driven_start(&d);
		fill_again_and_again(&d, area);
		driven_stop(&d);
		assert_int_equal(d.base, vh_driver_queue_base(d.ring));
		driven_free(&d);
	}
}

static void test_conformance_packed_largest_ring(void **state)
{
	struct fixture *f = *state;
	struct driven d;
	uint64_t area;
	unsigned int i;

	open_packed(f, 1, FE_F_PACKED);
	area = guest_alloc(&f->session.guest, AREA, 64);
	must_refuse(fe_set_vring(&f->session.fe, FE_SET_VRING_NUM, 0, 32769));
	must_refuse(fe_set_vring(&f->session.fe, FE_SET_VRING_NUM, 0, 0));
	driven_make(&d, &f->session, 0, 32768, 0);
	driven_start(&d);
	for (i = 0; i < 100; i++)
		driven_echo(&d, area, 100);
	driven_stop(&d);
	assert_int_equal(d.base, WRAPS + 200 + (200 << 16));
	driven_free(&d);
}

/* After each request, so that every place and wrap comes up. */
static void test_conformance_packed_stop_and_go_on(void **state)
{
	struct fixture *f = *state;
	struct driven d;
	uint64_t area;
	uint32_t num;
	unsigned int i;

	open_packed(f, 1, FE_F_PACKED);
	area = guest_alloc(&f->session.guest, AREA, 64);
	for (num = 2; num <= 7; num++) {
		driven_make(&d, &f->session, 0, num, 0);
		assert_int_equal(d.base, WRAPS);
		for (i = 0; i < 5 * num; i++) {
			driven_start(&d);
			driven_echo(&d, area, 64);
			driven_stop(&d);
			assert_int_equal(d.base, vh_driver_queue_base(d.ring));
			/* asked once more, it says the same */
			driven_stop(&d);
			assert_int_equal(d.base, vh_driver_queue_base(d.ring));
		}
		driven_free(&d);
	}
}

/* User-Mode Linux begins any ring at 0. */
static void test_conformance_packed_base_0_is_fresh(void **state)
{
	struct fixture *f = *state;
	struct driven d;
	uint64_t area;

	open_packed(f, 1, FE_F_PACKED);
	area = guest_alloc(&f->session.guest, AREA, 64);
	driven_make(&d, &f->session, 0, 4, 0);
	d.base = 0;
	driven_start(&d);
	driven_echo(&d, area, 64);
	driven_stop(&d);
	assert_int_equal(d.base, WRAPS + 2 + (2 << 16));
	/* after a round of the ring it is what it says */
	driven_start(&d);
	driven_echo(&d, area, 64);
	driven_stop(&d);
	assert_int_equal(d.base, 0);
	driven_start(&d);
	driven_echo(&d, area, 64);
	driven_stop(&d);
	assert_int_equal(d.base, 2 + (2 << 16));
	driven_free(&d);
}

static void test_conformance_packed_base_outside_the_ring(void **state)
{
	static const uint32_t bases[] = {5, 5 << 16, 0x7fff, 0xffffffff};
	struct fixture *f = *state;
	struct driven d;
	uint64_t area;
	unsigned int i;

	open_packed(f, 1, FE_F_PACKED);
	area = guest_alloc(&f->session.guest, AREA, 64);
	driven_make(&d, &f->session, 0, 5, 0);
	for (i = 0; i < 4; i++) {
		d.base = bases[i];
		must(driven_setup(&d));
		must_refuse(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK,
					    0, f->session.queues[0].kick));
	}
	d.base = WRAPS;
	driven_start(&d);
	driven_echo(&d, area, 64);
	driven_free(&d);
}

/* What is in flight is done before the ring stops. */
static void test_conformance_packed_stop_drains(void **state)
{
	const uint8_t zero[8] = {0};
	const struct fe_message stop = {
	    .id = FE_GET_VRING_BASE,
	    .flags = FE_VERSION,
	    .size = sizeof(zero),
	    .payload = zero,
	    .length = sizeof(zero),
	};
	struct fixture *f = *state;
	struct vh_driver_used used[12];
	struct fe_reply reply;
	struct iovec buffer;
	struct driven d;
	unsigned int i;

	open_packed(f, 1, FE_F_PACKED);
	buffer = driven_iov(guest_alloc(&f->session.guest, AREA, 64), 8);
	driven_make(&d, &f->session, 0, 13, 0);
	driven_start(&d);
	echo_hold(f->server.echo);
	for (i = 0; i < 12; i++)
		driven_add(&d, NULL, 0, &buffer, 1, &used[i]);
	must(echo_wait_held(f->server.echo, 12));
	must(fe_send(&f->session.fe, &stop));
	assert_int_equal(driven_collect(&d, used, 12), 0);
	echo_release(f->server.echo);
	must(fe_receive_for(&f->session.fe, FE_GET_VRING_BASE, &reply));
	assert_int_equal(driven_collect(&d, used, 12), 12);
	assert_int_equal(get32(reply.payload + 4),
			 vh_driver_queue_base(d.ring));
	driven_free(&d);
}

/* Everything is forgotten, the format of the rings, too. */
static void test_conformance_packed_reset_device(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	uint64_t area, packed;
	struct driven d;
	unsigned int i;

	open_packed(f, 1, FE_F_PACKED);
	packed = session->features;
	area = guest_alloc(&session->guest, AREA, 64);
	driven_make(&d, session, 0, 8, 0);
	for (i = 0; i < 6; i++) {
		driven_start(&d);
		driven_echo(&d, area, 64);
		driven_echo(&d, area, 64);
		must(fe_command(&session->fe, FE_RESET_DEVICE));
		session->features = i % 2 ? packed : packed & ~FE_F_PACKED;
		must(fe_set_u64(&session->fe, FE_SET_FEATURES,
				session->features));
		driven_renew(&d);
	}
	driven_free(&d);
}

/* A packed and a split ring can't be mixed, but queues of any sizes can. */
static void test_conformance_packed_queues_of_two_workers(void **state)
{
	enum { QUEUES = 4, TURNS = 200 };
	struct fixture *f = *state;
	uint64_t areas[QUEUES];
	struct driven d[QUEUES];
	unsigned int i;

	open_packed(f, QUEUES, FE_F_PACKED);
	for (i = 0; i < QUEUES; i++) {
		areas[i] = guest_alloc(&f->session.guest, AREA, 64);
		driven_make(&d[i], &f->session, i, 3 + 17 * i, 0);
		driven_start(&d[i]);
	}
	for (i = 0; i < TURNS; i++)
		driven_echo(&d[i % QUEUES], areas[i % QUEUES], 500);
	for (i = 0; i < QUEUES; i++) {
		driven_stop(&d[i]);
		assert_int_equal(d[i].base, vh_driver_queue_base(d[i].ring));
		driven_free(&d[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_packed_any_layout),
	    fixture_test(test_conformance_packed_any_layout_indirect),
	    fixture_test(test_conformance_packed_any_layout_without_event_idx),
	    fixture_test(test_conformance_packed_sizes),
	    fixture_test(test_conformance_packed_largest_ring),
	    fixture_test(test_conformance_packed_stop_and_go_on),
	    fixture_test(test_conformance_packed_base_0_is_fresh),
	    fixture_test(test_conformance_packed_base_outside_the_ring),
	    fixture_test(test_conformance_packed_stop_drains),
	    fixture_test(test_conformance_packed_reset_device),
	    fixture_test(test_conformance_packed_queues_of_two_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
