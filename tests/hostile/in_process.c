/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A back-end used without a socket, by its own functions: in-flight areas of
 * the wrong format, resets, rings that wait for their IOTLB, and completions
 * by many threads at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <libvhost/libvhost.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY	   (UINT64_C(8) << 20)
#define BUFFER	   UINT64_C(0x400000)
#define PATIENCE   20000 /* ms */
#define SPLIT	   VH_F_VERSION_1
#define PACKED	   (VH_F_VERSION_1 | VH_F_RING_PACKED)
#define COMPLETERS 4
#define REQUESTS   20000

struct place {
	struct vh_backend *backend;
	char *memory;
	int fd;
	int kick;
	int call;
	struct vh_driver_queue *driver;
};

static void complete(void *user, struct vh_queue *queue,
		     struct vh_chain *chains[], unsigned int count)
{
	(void)user;
	for (unsigned int i = 0; i < count; i++)
		vh_queue_complete(queue, chains[i], 0);
}

static void open_place(struct place *p, uint64_t offered, uint64_t features,
		       void (*process)(void *, struct vh_queue *,
				       struct vh_chain *[], unsigned int))
{
	VH_OPTS(vh_device_ops, ops);
	VH_OPTS(vh_device_opts, opts);
	struct vh_region region = {.size = MEMORY};

	memset(p, 0, sizeof(*p));
	ops.process = process;
	opts.num_queues = 2;
	opts.workers = 1;
	opts.features = offered;
	assert_int_equal(vh_device_new(&ops, &opts, NULL, &p->backend), 0);
	p->fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(p->fd, (off_t)MEMORY), 0);
	p->memory =
	    mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	assert_true(p->memory != MAP_FAILED);
	region.user.raw = (uintptr_t)p->memory;
	region.fd = p->fd;
	assert_int_equal(vh_backend_set_features(p->backend, features), 0);
	assert_int_equal(vh_backend_set_mem_table(p->backend, &region, 1), 0);
	p->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void close_place(struct place *p)
{
	vh_backend_free(p->backend);
	vh_driver_queue_free(p->driver);
	munmap(p->memory, MEMORY);
	close(p->fd);
	close(p->kick);
	close(p->call);
}

static void make_driver(struct place *p, uint32_t queue, uint64_t features,
			uint32_t num)
{
	VH_OPTS(vh_driver_queue_opts, opts);

	opts.num = num;
	opts.features = features;
	opts.ring_at = UINT64_C(0x10000) * (queue + 1);
	opts.ring = p->memory + opts.ring_at;
	vh_driver_queue_free(p->driver);
	assert_int_equal(vh_driver_queue_new(&opts, NULL, &p->driver), 0);
}

/* What the start of the ring answers. */
static int start(struct place *p, uint32_t queue, uint32_t num)
{
	struct vh_vring_addr addr = {0};
	struct vh_backend *b = p->backend;

	vh_driver_queue_addresses(p->driver, &addr.descriptors, &addr.available,
				  &addr.used);
	assert_int_equal(vh_backend_set_vring_num(b, queue, num), 0);
	assert_int_equal(vh_backend_set_vring_base(
			     b, queue, vh_driver_queue_base(p->driver)),
			 0);
	assert_int_equal(vh_backend_set_vring_addr(b, queue, &addr), 0);
	assert_int_equal(vh_backend_set_vring_call(b, queue, p->call), 0);
	assert_int_equal(vh_backend_set_vring_enable(b, queue, true), 0);
	return vh_backend_set_vring_kick(b, queue, p->kick);
}

static void offer(struct place *p)
{
	const struct iovec buffer = {(void *)(uintptr_t)BUFFER, 512};
	const uint64_t one = 1;

	assert_int_equal(vh_driver_queue_add(p->driver, &buffer, 1, NULL, 0, p),
			 0);
	if (vh_driver_queue_publish(p->driver))
		assert_int_equal(write(p->kick, &one, sizeof(one)),
				 sizeof(one));
}

static void must_do_one(struct place *p)
{
	struct pollfd waiting = {.fd = p->call, .events = POLLIN};
	struct vh_driver_used used;
	uint64_t value;
	int n;

	offer(p);
	for (;;) {
		n = vh_driver_queue_collect(p->driver, &used, 1);
		assert_true(n >= 0);
		if (n == 1)
			return;
		if (vh_driver_queue_enable_calls(p->driver))
			continue;
		assert_int_equal(poll(&waiting, 1, PATIENCE), 1);
		(void)!read(p->call, &value, sizeof(value));
	}
}

static char *set_area(struct place *p, uint16_t num, bool in_flight,
		      size_t *ret_size)
{
	struct vh_inflight area = {.num_queues = 2, .queue_size = num};
	char *map;
	int fd;

	assert_int_equal(vh_backend_get_inflight(p->backend, &area, &fd), 0);
	map = mmap(NULL, area.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   0);
	assert_true(map != MAP_FAILED);
	if (in_flight) { /* head 0 of a split queue, of version 1 */
		map[8] = 1;
		map[10] = (char)num;
		map[16] = 1;
	}
	assert_int_equal(vh_backend_set_inflight(p->backend, &area, fd), 0);
	close(fd);
	*ret_size = area.mmap_size;
	return map;
}

/* One for split rings has half the size of one for packed rings. */
static void test_hostile_in_process_area_of_the_other_format(void **state)
{
	struct place p;
	size_t size;
	char *area;

	(void)state;
	open_place(&p, 0, SPLIT, complete);
	area = set_area(&p, 1024, false, &size);
	assert_int_equal(vh_backend_set_features(p.backend, PACKED), 0);
	make_driver(&p, 1, PACKED, 1024);
	assert_int_equal(start(&p, 1, 1024), -EINVAL);
	assert_int_equal(vh_backend_set_features(p.backend, SPLIT), 0);
	make_driver(&p, 1, SPLIT, 1024);
	assert_int_equal(start(&p, 1, 1024), 0);
	must_do_one(&p);
	munmap(area, size);
	close_place(&p);
}

static void after(bool reset)
{
	uint32_t base;
	struct place p;
	size_t size;
	char *area;

	open_place(&p, 0, PACKED, complete);
	area = set_area(&p, 16, false, &size);
	for (unsigned int turn = 0; turn < 2; turn++) {
		for (uint32_t queue = 0; queue < 2; queue++) {
			make_driver(&p, queue, PACKED, 16);
			assert_int_equal(start(&p, queue, 16), 0);
			for (unsigned int i = 0; i < 5; i++)
				must_do_one(&p);
			if (!reset)
				assert_int_equal(vh_backend_get_vring_base(
						     p.backend, queue, &base),
						 0);
		}
		if (reset)
			assert_int_equal(vh_backend_reset_device(p.backend), 0);
		assert_int_equal(vh_backend_set_features(p.backend, PACKED), 0);
	}
	munmap(area, size);
	close_place(&p);
}

/* The driver makes its rings anew, and they begin at their beginning. */
static void test_hostile_in_process_area_after_reset(void **state)
{
	(void)state;
	after(true);
}

static void test_hostile_in_process_area_after_queue_reset(void **state)
{
	(void)state;
	after(false);
}

/* The request from before isn't in the IOTLB: nobody will say where it is. */
static void waits_for_iotlb(bool just_leaves)
{
	const uint64_t features = SPLIT | VH_F_ACCESS_PLATFORM;
	const struct vh_iotlb_entry rings = {.size = 0x100000, .access = 3};
	struct place p;
	uint32_t base;
	size_t size;
	char *area;

	open_place(&p, VH_F_ACCESS_PLATFORM, features, complete);
	assert_int_equal(vh_backend_iotlb_update(p.backend, &rings), 0);
	area = set_area(&p, 16, true, &size);
	make_driver(&p, 0, features, 16);
	offer(&p);
	assert_int_equal(start(&p, 0, 16), 0);
	if (!just_leaves)
		assert_int_equal(vh_backend_get_vring_base(p.backend, 0, &base),
				 0);
	close_place(&p);
	assert_int_equal(area[16], 1);
	munmap(area, size);
}

static void test_hostile_in_process_stops_without_iotlb(void **state)
{
	(void)state;
	waits_for_iotlb(false);
}

static void test_hostile_in_process_leaves_without_iotlb(void **state)
{
	(void)state;
	waits_for_iotlb(true);
}

/* What the worker has handed to a thread, which alone takes it. */
static struct completer {
	struct {
		struct vh_queue *queue;
		struct vh_chain *chain;
	} jobs[1024];
	unsigned int first;
	unsigned int last;
	bool quit;
	pthread_t thread;
} completers[COMPLETERS];

static void hand_over(void *user, struct vh_queue *queue,
		      struct vh_chain *chains[], unsigned int count)
{
	static unsigned int turn;

	(void)user;
	for (unsigned int i = 0; i < count; i++) {
		struct completer *c = &completers[turn++ % COMPLETERS];
		unsigned int last = __atomic_load_n(&c->last, __ATOMIC_RELAXED);

		c->jobs[last % 1024].queue = queue;
		c->jobs[last % 1024].chain = chains[i];
		__atomic_store_n(&c->last, last + 1, __ATOMIC_RELEASE);
	}
}

static void *complete_remotely(void *arg)
{
	struct completer *c = arg;

	while (!__atomic_load_n(&c->quit, __ATOMIC_RELAXED)) {
		if (__atomic_load_n(&c->last, __ATOMIC_ACQUIRE) == c->first) {
			sched_yield();
			continue;
		}
		vh_queue_complete_remote(c->jobs[c->first % 1024].queue,
					 c->jobs[c->first % 1024].chain, 0);
		c->first++;
	}
	return NULL;
}

/* Two queues, so that the worker's list of queues is in motion, too. */
static void test_hostile_in_process_many_complete(void **state)
{
	struct vh_driver_used used[64];
	struct vh_driver_queue *drivers[2];
	unsigned int done = 0;
	struct place p;

	(void)state;
	open_place(&p, 0, SPLIT, hand_over);
	for (unsigned int i = 0; i < COMPLETERS; i++)
		assert_int_equal(pthread_create(&completers[i].thread, NULL,
						complete_remotely,
						&completers[i]),
				 0);
	for (uint32_t queue = 0; queue < 2; queue++) {
		p.driver = NULL;
		make_driver(&p, queue, SPLIT, 64);
		assert_int_equal(start(&p, queue, 64), 0);
		drivers[queue] = p.driver;
	}
	for (unsigned int turn = 0; done < REQUESTS; turn++) {
		int n;

		p.driver = drivers[turn % 2];
		while (vh_driver_queue_room(p.driver))
			offer(&p);
		n = vh_driver_queue_collect(p.driver, used, 64);
		assert_true(n >= 0);
		done += (unsigned int)n;
	}
	vh_driver_queue_free(drivers[0] == p.driver ? drivers[1] : drivers[0]);
	vh_backend_free(p.backend);
	p.backend = NULL;
	for (unsigned int i = 0; i < COMPLETERS; i++) {
		__atomic_store_n(&completers[i].quit, true, __ATOMIC_RELAXED);
		pthread_join(completers[i].thread, NULL);
	}
	close_place(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hostile_in_process_area_of_the_other_format),
	    cmocka_unit_test(test_hostile_in_process_area_after_reset),
	    cmocka_unit_test(test_hostile_in_process_area_after_queue_reset),
	    cmocka_unit_test(test_hostile_in_process_stops_without_iotlb),
	    cmocka_unit_test(test_hostile_in_process_leaves_without_iotlb),
	    cmocka_unit_test(test_hostile_in_process_many_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
