/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Workers use maps while the control side makes new ones. ThreadSanitizer
 * sees a race, AddressSanitizer a use after free; without either, a
 * mapping that goes too early ends the process.
 */
#include "support.h"

#include <memory/translate.h>
#include <pthread.h>

#define GUEST	UINT64_C(0x300000000)
#define USER	UINT64_C(0x7c0000000000)
#define REGIONS 60
#define WORKERS 4
#define CHANGES 3000

struct shared {
	pthread_mutex_t lock;
	struct vh_memory *memory;
	bool stop;
	int fd;
};

struct worker {
	pthread_t thread;
	struct shared *shared;
	uint64_t random;
	uint64_t seen;
	uint64_t wrong;
};

static struct vh_region numbered(uint64_t n, int fd)
{
	return region_of(GUEST + n * PAGE, PAGE, USER + n * PAGE, 0, fd);
}

static struct vh_memory *acquire(struct shared *shared, bool *stop)
{
	struct vh_memory *memory;

	pthread_mutex_lock(&shared->lock);
	memory = vh_memory_ref(shared->memory);
	*stop = shared->stop;
	pthread_mutex_unlock(&shared->lock);
	return memory;
}

/* Looks at random regions of one map; whatever is found can be read. */
static void look(struct worker *worker, const struct vh_memory *memory)
{
	struct vhi_hit hit = {0};

	for (unsigned int i = 0; i < 50; i++) {
		vh_gpa guest;
		const volatile unsigned char *host;

		worker->random = worker->random * 6364136223846793005u + 1;
		guest = GUEST + (worker->random >> 33) % (REGIONS * PAGE);
		host = vhi_translate(memory, &hit, guest, 1);
		if (!host)
			continue;
		worker->seen++;
		worker->wrong += *host != byte_at(guest % PAGE);
	}
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct vh_memory *kept = NULL;
	bool stop = false;

	while (!stop) {
		struct vh_memory *memory = acquire(worker->shared, &stop);

		look(worker, memory);
		/* Some maps are kept, so that any side may be the last. */
		if (worker->random >> 62 == 0) {
			vh_memory_unref(kept);
			kept = memory;
		} else {
			vh_memory_unref(memory);
		}
	}
	if (kept)
		look(worker, kept);
	vh_memory_unref(kept);
	return NULL;
}

/* Takes region n away if it is there, else puts it in. */
static void change(struct shared *shared, uint64_t n)
{
	struct vh_region region = numbered(n, shared->fd);
	struct vh_memory *old = shared->memory, *next;

	if (vh_memory_at(old, region.guest, 1))
		assert_int_equal(vh_memory_remove(old, &region, NULL, &next),
				 0);
	else
		assert_int_equal(vh_memory_add(old, &region, NULL, &next), 0);
	pthread_mutex_lock(&shared->lock);
	shared->memory = next;
	pthread_mutex_unlock(&shared->lock);
	vh_memory_unref(old);
}

static void test_memory_threads_share_maps(void **state)
{
	struct shared shared = {.lock = PTHREAD_MUTEX_INITIALIZER,
				.memory = empty_map(),
				.fd = file_of(PAGE)};
	struct worker workers[WORKERS] = {0};
	uint64_t seen = 0;

	(void)state;
	for (uint64_t i = 0; i < REGIONS; i++)
		change(&shared, i);
	for (unsigned int i = 0; i < WORKERS; i++) {
		workers[i].shared = &shared;
		workers[i].random = i + 1;
		assert_int_equal(
		    pthread_create(&workers[i].thread, NULL, work, &workers[i]),
		    0);
	}
	for (uint64_t i = 0; i < CHANGES; i++)
		change(&shared, i * 37 % REGIONS);
	pthread_mutex_lock(&shared.lock);
	shared.stop = true;
	pthread_mutex_unlock(&shared.lock);
	for (unsigned int i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
		seen += workers[i].seen;
	}
	assert_true(seen > 0);
	vh_memory_unref(shared.memory);
	assert_int_equal(mappings_of_memfds(), 0);
	close(shared.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_threads_share_maps),
	};

	return cmocka_run_group_tests_name("memory-threads", tests, NULL, NULL);
}
