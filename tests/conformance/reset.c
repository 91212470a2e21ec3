/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * RING_RESET (virtio, "Virtqueue Reset"): one queue is broken, stopped, set
 * up afresh and works again, while the others go on.
 */
#include "driven.h"

#include <pthread.h>

#define AREA	    8192
#define NOWHERE	    UINT64_C(0x123456789000)
#define NEEDS_RESET 0x40

struct bench {
	struct driven broken;
	struct driven other;
	uint64_t area;
	uint64_t other_area;
};

static void open_bench(struct bench *b, struct fixture *f, uint64_t features)
{
	struct session_opts opts = {.num_queues = 2};

	start_echo(f, 2);
	driven_session(f, &opts, features | FE_F_RING_RESET, 0);
	b->area = guest_alloc(&f->session.guest, AREA, 64);
	b->other_area = guest_alloc(&f->session.guest, AREA, 64);
	driven_make(&b->broken, &f->session, 0, 16, 0);
	driven_make(&b->other, &f->session, 1, 16, 0);
	driven_start(&b->broken);
	driven_start(&b->other);
}

static void close_bench(struct bench *b)
{
	driven_free(&b->broken);
	driven_free(&b->other);
}

static void break_it(struct fixture *f, struct driven *d)
{
	const struct iovec nowhere = driven_iov(NOWHERE, 8);

	driven_add(d, &nowhere, 1, NULL, 0, d);
	must(session_wait_err(&f->session, d->index));
}

static void must_need_reset(struct fixture *f, bool need)
{
	uint64_t status;

	must(fe_get_u64(&f->session.fe, FE_GET_STATUS, &status));
	assert_int_equal(status & NEEDS_RESET, need ? NEEDS_RESET : 0);
}

static void reset_it(struct driven *d)
{
	struct frontend *fe = &d->session->fe;

	must(fe_set_vring(fe, FE_SET_VRING_ENABLE, d->index, 0));
	driven_stop(d);
	driven_renew(d);
	driven_start(d);
}

static void break_and_reset(struct fixture *f, uint64_t features)
{
	struct vh_fault fault;
	struct bench b;
	unsigned int i;

	open_bench(&b, f, features);
	for (i = 0; i < 10; i++) {
		driven_echo(&b.broken, b.area, 100 + i);
		break_it(f, &b.broken);
		vh_user_server_fault(f->server.server, &fault);
		assert_int_equal(fault.code, VH_FAULT_DESC_ADDR);
		assert_int_equal(fault.queue, 0);
		must_need_reset(f, true);
		driven_echo(&b.other, b.other_area, 1000);
		reset_it(&b.broken);
		must_need_reset(f, false);
		driven_echo(&b.other, b.other_area, 1000);
		driven_echo(&b.broken, b.area, 200);
	}
	close_bench(&b);
}

static void test_conformance_reset_of_a_split_ring(void **state)
{
	break_and_reset(*state, 0);
}

static void test_conformance_reset_of_a_packed_ring(void **state)
{
	break_and_reset(*state, FE_F_PACKED);
}

/* Of a ring that isn't broken: what was in flight is done first. */
static void reset_of_a_good_ring(struct fixture *f, uint64_t features)
{
	struct vh_driver_used used[8];
	struct iovec buffer;
	struct bench b;
	unsigned int i;

	open_bench(&b, f, features);
	buffer = driven_iov(b.area, 32);
	for (i = 0; i < 8; i++)
		driven_add(&b.broken, NULL, 0, &buffer, 1, &used[i]);
	driven_stop(&b.broken);
	/* as far as it got; nothing comes after that */
	driven_collect(&b.broken, used, 8);
	driven_renew(&b.broken);
	driven_start(&b.broken);
	driven_echo(&b.broken, b.area, 77);
	driven_echo(&b.other, b.other_area, 77);
	close_bench(&b);
}

static void test_conformance_reset_of_a_good_split_ring(void **state)
{
	reset_of_a_good_ring(*state, 0);
}

static void test_conformance_reset_of_a_good_packed_ring(void **state)
{
	reset_of_a_good_ring(*state, FE_F_PACKED);
}

/* The device has requests of the ring when it breaks. */
static void broken_with_requests(struct fixture *f, uint64_t features)
{
	const uint8_t zero[8] = {0};
	const struct fe_message stop = {
	    .id = FE_GET_VRING_BASE,
	    .flags = FE_VERSION,
	    .size = sizeof(zero),
	    .payload = zero,
	    .length = sizeof(zero),
	};
	struct fe_reply reply;
	struct iovec buffer;
	struct bench b;
	unsigned int i;

	open_bench(&b, f, features);
	buffer = driven_iov(b.area, 32);
	echo_hold(f->server.echo);
	for (i = 0; i < 5; i++)
		driven_add(&b.broken, NULL, 0, &buffer, 1, &b);
	must(echo_wait_held(f->server.echo, 5));
	break_it(f, &b.broken);
	must(fe_send(&f->session.fe, &stop));
	echo_release(f->server.echo);
	must(fe_receive_for(&f->session.fe, FE_GET_VRING_BASE, &reply));
	/* nothing of a broken ring is shown any more */
	assert_int_equal(
	    driven_collect(&b.broken, (struct vh_driver_used[8]){{0}}, 8), 0);
	driven_renew(&b.broken);
	driven_start(&b.broken);
	driven_echo(&b.broken, b.area, 200);
	driven_echo(&b.other, b.other_area, 200);
	close_bench(&b);
}

static void test_conformance_reset_with_requests_split(void **state)
{
	broken_with_requests(*state, 0);
}

static void test_conformance_reset_with_requests_packed(void **state)
{
	broken_with_requests(*state, FE_F_PACKED);
}

/* The other queue's traffic, in a thread. */
struct traffic {
	struct bench *bench;
	bool stop;     /* atomic */
	uint64_t done; /* atomic */
	int error;
};

static void *run_traffic(void *arg)
{
	struct traffic *traffic = arg;
	struct bench *b = traffic->bench;

	while (!traffic->error &&
	       !__atomic_load_n(&traffic->stop, __ATOMIC_ACQUIRE)) {
		traffic->error = driven_try_echo(&b->other, b->other_area, 512);
		__atomic_fetch_add(&traffic->done, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void wait_progress(struct traffic *traffic)
{
	uint64_t before = __atomic_load_n(&traffic->done, __ATOMIC_ACQUIRE);
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;

	while (__atomic_load_n(&traffic->done, __ATOMIC_ACQUIRE) < before + 2) {
		assert_true(fe_now_ms() < deadline);
		usleep(200);
	}
}

static void reset_beside_traffic(struct fixture *f, uint64_t features)
{
	struct bench b;
	struct traffic traffic = {.bench = &b};
	pthread_t thread;
	unsigned int i;

	open_bench(&b, f, features);
	must(pthread_create(&thread, NULL, run_traffic, &traffic));
	for (i = 0; i < 30; i++) {
		driven_echo(&b.broken, b.area, 64);
		break_it(f, &b.broken);
		wait_progress(&traffic);
		reset_it(&b.broken);
	}
	driven_echo(&b.broken, b.area, 64);
	__atomic_store_n(&traffic.stop, true, __ATOMIC_RELEASE);
	must(pthread_join(thread, NULL));
	must(traffic.error);
	close_bench(&b);
}

static void test_conformance_reset_beside_traffic_split(void **state)
{
	reset_beside_traffic(*state, 0);
}

static void test_conformance_reset_beside_traffic_packed(void **state)
{
	reset_beside_traffic(*state, FE_F_PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_reset_of_a_split_ring),
	    fixture_test(test_conformance_reset_of_a_packed_ring),
	    fixture_test(test_conformance_reset_of_a_good_split_ring),
	    fixture_test(test_conformance_reset_of_a_good_packed_ring),
	    fixture_test(test_conformance_reset_with_requests_split),
	    fixture_test(test_conformance_reset_with_requests_packed),
	    fixture_test(test_conformance_reset_beside_traffic_split),
	    fixture_test(test_conformance_reset_beside_traffic_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
