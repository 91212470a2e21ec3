/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests that other threads complete, in any order: with IN_ORDER the
 * driver sees them in its own, without it each comes once.
 */
#include "driven.h"

#define SIZE 64 /* of the ring */
#define SLOT 512
#define ROOM (SLOT / 2)

struct request {
	uint32_t readable;
	uint32_t writable;
	uint64_t number;
};

struct bench {
	struct fixture *f;
	struct driven d;
	uint64_t area;
	uint64_t sent;
	uint64_t received;
	uint64_t random;
	bool in_order;
	struct request requests[SIZE]; /* by number, as long as in flight */
	bool open[SIZE];
};

static void open_bench(struct bench *b, struct fixture *f, uint64_t features,
		       uint32_t num)
{
	struct server_opts server = {
	    .helpers = 3,
	    .features = FE_F_IN_ORDER,
	};
	struct session_opts opts = {.num_queues = 1};

	*b = (struct bench){.f = f, .in_order = features & FE_F_IN_ORDER};
	start_server(f, &server, true);
	driven_session(f, &opts, features, 0);
	driven_make(&b->d, &f->session, 0, num, 4);
	b->area = guest_alloc(&f->session.guest, SIZE * SLOT, 64);
	driven_start(&b->d);
}

static uint32_t any(struct bench *b, uint32_t limit)
{
	b->random = b->random * UINT64_C(6364136223846793005) + 1;
	return (uint32_t)(b->random >> 33) % limit;
}

static uint64_t slot_at(const struct bench *b, uint64_t number)
{
	return b->area + number % SIZE * SLOT;
}

/* What is written is at most what is read, and seldom all of the room. */
static bool send(struct bench *b)
{
	struct request *request = &b->requests[b->sent % SIZE];
	uint64_t at = slot_at(b, b->sent);
	struct iovec readable, writable;
	uint8_t bytes[ROOM], zero[ROOM] = {0};

	if (b->open[b->sent % SIZE] || vh_driver_queue_room(b->d.ring) < 2)
		return false;
	*request = (struct request){
	    .readable = 1 + any(b, ROOM),
	    .writable = 1 + any(b, ROOM),
	    .number = b->sent,
	};
	blk_pattern(bytes, ROOM, b->sent);
	guest_write(&b->f->session.guest, at, bytes, ROOM);
	guest_write(&b->f->session.guest, at + ROOM, zero, ROOM);
	readable = driven_iov(at, request->readable);
	writable = driven_iov(at + ROOM, request->writable);
	driven_add(&b->d, &readable, 1, &writable, 1, request);
	b->open[b->sent++ % SIZE] = true;
	return true;
}

static void check(struct bench *b, const struct vh_driver_used *used)
{
	const struct request *request = used->token;
	uint64_t at = slot_at(b, request->number) + ROOM;
	uint32_t least = request->readable < request->writable
			     ? request->readable
			     : request->writable;
	uint8_t bytes[ROOM], in[ROOM];

	if (b->in_order)
		assert_int_equal(request->number, b->received);
	assert_true(b->open[request->number % SIZE]);
	b->open[request->number % SIZE] = false;
	b->received++;
	assert_int_equal(used->written, least);
	blk_pattern(bytes, ROOM, request->number);
	guest_read(&b->f->session.guest, at, in, ROOM);
	assert_memory_equal(in, bytes, least);
}

static void receive(struct bench *b)
{
	struct vh_driver_used used;

	must(driven_wait(&b->d, &used));
	check(b, &used);
}

static void under_load(struct fixture *f, uint64_t features)
{
	enum { REQUESTS = 3000 };
	struct bench b;

	open_bench(&b, f, features, SIZE);
	while (b.received < REQUESTS) {
		while (b.sent < REQUESTS && any(&b, 30) && send(&b))
			;
		if (b.received < b.sent)
			receive(&b);
	}
	driven_stop(&b.d);
	assert_int_equal(b.d.base, vh_driver_queue_base(b.d.ring));
	driven_free(&b.d);
}

static void test_conformance_order_split(void **state)
{
	under_load(*state, FE_F_IN_ORDER);
}

static void test_conformance_order_packed(void **state)
{
	under_load(*state, FE_F_IN_ORDER | FE_F_PACKED);
}

static void test_conformance_order_any_split(void **state)
{
	under_load(*state, 0);
}

static void test_conformance_order_any_packed(void **state)
{
	under_load(*state, FE_F_PACKED);
}

/* GET_VRING_BASE waits for what other threads have. */
static void stop_drains(struct fixture *f, uint64_t features)
{
	const uint8_t zero[8] = {0};
	const struct fe_message stop = {
	    .id = FE_GET_VRING_BASE,
	    .flags = FE_VERSION,
	    .size = sizeof(zero),
	    .payload = zero,
	    .length = sizeof(zero),
	};
	struct vh_driver_used used;
	struct fe_reply reply;
	struct bench b;
	unsigned int turn;

	open_bench(&b, f, features, features & FE_F_PACKED ? 61 : SIZE);
	for (turn = 0; turn < 10; turn++) {
		echo_hold(f->server.echo);
		while (b.sent - b.received < 20 + turn)
			assert_true(send(&b));
		must(echo_wait_held(f->server.echo, 20 + turn));
		must(fe_send(&f->session.fe, &stop));
		assert_int_equal(driven_collect(&b.d, &used, 1), 0);
		echo_release(f->server.echo);
		must(fe_receive_for(&f->session.fe, FE_GET_VRING_BASE, &reply));
		while (driven_collect(&b.d, &used, 1) == 1)
			check(&b, &used);
		assert_int_equal(b.received, b.sent);
		b.d.base = get32(reply.payload + 4);
		assert_int_equal(b.d.base, vh_driver_queue_base(b.d.ring));
		driven_start(&b.d);
	}
	driven_free(&b.d);
}

static void test_conformance_order_stop_drains_split(void **state)
{
	stop_drains(*state, FE_F_IN_ORDER);
}

static void test_conformance_order_stop_drains_packed(void **state)
{
	stop_drains(*state, FE_F_IN_ORDER | FE_F_PACKED);
}

/* The front-end leaves while other threads have its requests. */
static void test_conformance_order_front_end_leaves(void **state)
{
	struct fixture *f = *state;
	struct bench b;
	unsigned int turn;

	open_bench(&b, f, FE_F_IN_ORDER, SIZE);
	driven_free(&b.d);
	for (turn = 0; turn < 10; turn++) {
		struct session_opts opts = {.num_queues = 1};
		unsigned int i;

		driven_session(f, &opts, turn % 2 ? FE_F_PACKED : FE_F_IN_ORDER,
			       0);
		driven_make(&b.d, &f->session, 0, SIZE, 0);
		b.area = guest_alloc(&f->session.guest, SIZE * SLOT, 64);
		b.sent = b.received = 0;
		memset(b.open, 0, sizeof(b.open));
		driven_start(&b.d);
		for (i = 0; i < 30; i++)
			assert_true(send(&b));
		driven_free(&b.d);
	}
	must_serve_another(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_order_split),
	    fixture_test(test_conformance_order_packed),
	    fixture_test(test_conformance_order_any_split),
	    fixture_test(test_conformance_order_any_packed),
	    fixture_test(test_conformance_order_stop_drains_split),
	    fixture_test(test_conformance_order_stop_drains_packed),
	    fixture_test(test_conformance_order_front_end_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
