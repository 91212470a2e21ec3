/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Logging is switched while a queue is busy: from the answer to "on" until
 * "off" is sent every page that was written is marked by the time that its
 * completion is seen, and none outside of that time.
 */
#include "driven.h"

#include <pthread.h>
#include <sys/mman.h>

#define PAGE	 4096
#define SIZE	 256
#define PLACES	 16
#define SWITCHES 60

/* What the log is doing; it only ever goes round. */
enum { OFF, TO_ON, ON, TO_OFF, PHASES };

struct bench {
	struct fixture *f;
	struct driven d;
	uint64_t area; /* a page for each place */
	int log_fd;
	size_t log_size;
	uint8_t *log;
	uint64_t phase; /* atomic, of the other thread's */
	uint64_t done;	/* atomic */
	bool stop;	/* atomic */
	int error;	/* atomic */
};

static uint8_t *byte_of(const struct bench *b, uint64_t page)
{
	return &b->log[page / 8];
}

static void unmark(const struct bench *b, uint64_t page)
{
	__atomic_fetch_and(byte_of(b, page), (uint8_t) ~(1u << page % 8),
			   __ATOMIC_ACQ_REL);
}

static bool is_marked(const struct bench *b, uint64_t page)
{
	return __atomic_load_n(byte_of(b, page), __ATOMIC_ACQUIRE) >> page % 8 &
	       1;
}

static int write_one(struct bench *b, unsigned int place)
{
	uint64_t at = b->area + (uint64_t)place * PAGE, page = at / PAGE;
	uint64_t before, after;
	int ret;

	before = __atomic_load_n(&b->phase, __ATOMIC_ACQUIRE);
	unmark(b, page);
	ret = driven_try_echo(&b->d, at, SIZE);
	after = __atomic_load_n(&b->phase, __ATOMIC_ACQUIRE);
	if (ret < 0 || before != after)
		return ret;
	if (before % PHASES == ON && !is_marked(b, page))
		return -ENODATA;
	if (before % PHASES == OFF && is_marked(b, page))
		return -EEXIST;
	return 0;
}

static void *run_traffic(void *arg)
{
	struct bench *b = arg;
	unsigned int i;
	int ret = 0;

	for (i = 0; ret == 0 && !__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE);
	     i++) {
		ret = write_one(b, i % PLACES);
		__atomic_fetch_add(&b->done, 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&b->error, ret, __ATOMIC_RELEASE);
	return NULL;
}

static void next_phase(struct bench *b)
{
	__atomic_fetch_add(&b->phase, 1, __ATOMIC_ACQ_REL);
}

/* Some requests belong to the present phase alone. */
static void wait_progress(struct bench *b)
{
	uint64_t before = __atomic_load_n(&b->done, __ATOMIC_ACQUIRE);
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;

	while (__atomic_load_n(&b->done, __ATOMIC_ACQUIRE) < before + 5) {
		must(__atomic_load_n(&b->error, __ATOMIC_ACQUIRE));
		assert_true(fe_now_ms() < deadline);
		usleep(100);
	}
}

static void switch_it(struct bench *b, bool on)
{
	struct session *session = &b->f->session;
	uint64_t off = on ? 0 : FE_F_LOG_ALL;

	next_phase(b);
	/* a new mapping of the same log each time */
	if (on)
		must(fe_set_log_base(&session->fe, b->log_size, 3, b->log_fd));
	must(fe_set_u64(&session->fe, FE_SET_FEATURES,
			session->features & ~off));
	b->d.flags = on;
	must(driven_set_addr(&b->d));
	next_phase(b);
}

static void make_log(struct bench *b)
{
	const struct guest *guest = &b->f->session.guest;
	const struct fe_region *last = &guest->regions[guest->count - 1];

	b->log_size = (size_t)(last->guest + last->size) / PAGE / 8;
	b->log_fd = memfd_create("log", MFD_CLOEXEC);
	must(ftruncate(b->log_fd, (off_t)b->log_size + 3));
	b->log = mmap(NULL, b->log_size + 3, PROT_READ | PROT_WRITE, MAP_SHARED,
		      b->log_fd, 0);
	assert_true(b->log != MAP_FAILED);
	b->log += 3;
}

static void open_bench(struct bench *b, struct fixture *f, uint64_t features,
		       unsigned int helpers)
{
	struct server_opts server = {
	    .helpers = helpers,
	    .features = FE_F_IN_ORDER,
	};
	struct session_opts opts = {.num_queues = 1};

	*b = (struct bench){.f = f};
	start_server(f, &server, true);
	driven_session(f, &opts, features | FE_F_LOG_ALL, FE_PF_LOG_SHMFD);
	must(fe_set_u64(&f->session.fe, FE_SET_FEATURES,
			f->session.features & ~FE_F_LOG_ALL));
	make_log(b);
	driven_make(&b->d, &f->session, 0, 16, 0);
	b->area = guest_alloc(&f->session.guest, PLACES * PAGE, PAGE);
	assert_true(b->area != 0);
	driven_start(&b->d);
}

static void switched(struct fixture *f, uint64_t features, unsigned int helpers)
{
	struct bench b;
	pthread_t thread;
	unsigned int i;

	open_bench(&b, f, features, helpers);
	must(pthread_create(&thread, NULL, run_traffic, &b));
	for (i = 0; i < SWITCHES; i++) {
		switch_it(&b, i % 2 == 0);
		wait_progress(&b);
	}
	__atomic_store_n(&b.stop, true, __ATOMIC_RELEASE);
	must(pthread_join(thread, NULL));
	must(b.error);
	driven_free(&b.d);
	munmap(b.log - 3, b.log_size + 3);
	close(b.log_fd);
}

static void test_conformance_dirty_log_traffic_split(void **state)
{
	switched(*state, 0, 0);
}

static void test_conformance_dirty_log_traffic_packed(void **state)
{
	switched(*state, FE_F_PACKED, 0);
}

static void test_conformance_dirty_log_traffic_in_order(void **state)
{
	switched(*state, FE_F_IN_ORDER, 2);
}

static void test_conformance_dirty_log_traffic_remote_packed(void **state)
{
	switched(*state, FE_F_PACKED, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_dirty_log_traffic_split),
	    fixture_test(test_conformance_dirty_log_traffic_packed),
	    fixture_test(test_conformance_dirty_log_traffic_in_order),
	    fixture_test(test_conformance_dirty_log_traffic_remote_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
