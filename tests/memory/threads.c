/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Workers use maps while the control side makes new ones, and mark a dirty log
 * while a front-end reads it. ThreadSanitizer sees a race, AddressSanitizer a
 * use after free; without either, a mapping that goes too early ends the
 * process.
 */
#include "support.h"

#include <resources.h>

#include <endian.h>
#include <memory/log.h>
#include <memory/translate.h>
#include <pthread.h>

#define GUEST	  UINT64_C(0x300000000)
#define USER	  UINT64_C(0x7c0000000000)
#define REGIONS	  60
#define WORKERS	  4
#define CHANGES	  3000

#define LOG_PAGES 32768u

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

static void publish(struct shared *shared, struct vh_memory *next)
{
	struct vh_memory *old = shared->memory;

	pthread_mutex_lock(&shared->lock);
	shared->memory = next;
	pthread_mutex_unlock(&shared->lock);
	vh_memory_unref(old);
}

/* The map with region n if old hasn't it, else without. */
static struct vh_memory *toggled(const struct vh_memory *old, uint64_t n,
				 int fd)
{
	struct vh_region region = numbered(n, fd);
	struct vh_memory *next;

	if (vh_memory_at(old, region.guest, 1))
		assert_int_equal(vh_memory_remove(old, &region, NULL, &next),
				 0);
	else
		assert_int_equal(vh_memory_add(old, &region, NULL, &next), 0);
	return next;
}

static void change_map(struct shared *shared, uint64_t n)
{
	publish(shared, toggled(shared->memory, n % REGIONS, shared->fd));
}

/* IOVAs are those of guest addresses in another order. */
static void change_iotlb(struct shared *shared, uint64_t n)
{
	const struct vh_memory *old = shared->memory;
	struct vh_iotlb_entry entry = {
	    .iova = GUEST + n % REGIONS * PAGE,
	    .size = PAGE,
	    .guest = GUEST + n * 7 % REGIONS * PAGE,
	    .access = VH_ACCESS_READ,
	};
	struct vh_memory *guest, *next;

	if (n % 8 == 0) {
		guest =
		    toggled(vh_iotlb_guest(old), n / 8 % REGIONS, shared->fd);
		assert_int_equal(vh_iotlb_rebase(old, guest, &next), 0);
		vh_memory_unref(guest);
		publish(shared, next);
	} else if (n % 8 == 1) {
		assert_int_equal(
		    vh_iotlb_invalidate(old, entry.iova, PAGE, NULL, &next), 0);
		publish(shared, next);
	} else if (vh_iotlb_update(old, &entry, NULL, &next) == 0) {
		publish(shared, next);
	}
}

/* Workers look while this thread changes what they look at. */
static void look_and_change(struct shared *shared,
			    void (*change)(struct shared *, uint64_t))
{
	struct worker workers[WORKERS] = {0};
	uint64_t seen = 0;

	for (unsigned int i = 0; i < WORKERS; i++) {
		workers[i].shared = shared;
		workers[i].random = i + 1;
		assert_int_equal(
		    pthread_create(&workers[i].thread, NULL, work, &workers[i]),
		    0);
	}
	for (uint64_t i = 0; i < CHANGES; i++)
		change(shared, i * 37);
	pthread_mutex_lock(&shared->lock);
	shared->stop = true;
	pthread_mutex_unlock(&shared->lock);
	for (unsigned int i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
		seen += workers[i].seen;
	}
	assert_true(seen > 0);
	vh_memory_unref(shared->memory);
	assert_int_equal(mappings_of(ANY_MEMFD), 0);
	close(shared->fd);
}

static void test_memory_threads_share_maps(void **state)
{
	struct shared shared = {.lock = PTHREAD_MUTEX_INITIALIZER,
				.memory = empty_map(),
				.fd = file_of(PAGE)};

	(void)state;
	for (uint64_t i = 0; i < REGIONS; i++)
		change_map(&shared, i);
	look_and_change(&shared, change_map);
}

static void test_memory_threads_share_iotlbs(void **state)
{
	struct shared shared = {.lock = PTHREAD_MUTEX_INITIALIZER,
				.fd = file_of(PAGE)};
	struct vh_memory *guest = empty_map();

	(void)state;
	for (uint64_t i = 0; i < REGIONS; i++) {
		struct vh_region region = numbered(i, shared.fd);

		must_add(&guest, &region);
	}
	assert_int_equal(vh_iotlb_new(guest, &shared.memory), 0);
	vh_memory_unref(guest);
	look_and_change(&shared, change_iotlb);
}

/* Writes to every fourth page and marks them, by either way. */
struct writer {
	pthread_t thread;
	struct vh_dirty_log *log;
	uint32_t *pages; /* for the contents of guest memory */
	unsigned int index;
};

static unsigned int writers_done;

static void *write_pages(void *argument)
{
	struct writer *writer = argument;
	struct vhi_log_cache cache = {0};

	for (uint32_t i = writer->index; i < LOG_PAGES; i += WORKERS) {
		uint32_t page = i * 5 % LOG_PAGES;

		writer->pages[page] = page + 1;
		if (i / 256 % 2)
			vh_dirty_log_mark(
			    writer->log, page * (uint64_t)VH_DIRTY_LOG_PAGE, 1);
		else
			vhi_log_note(writer->log, &cache,
				     page * (uint64_t)VH_DIRTY_LOG_PAGE, 1);
		if (i / WORKERS % 32 == 31)
			vhi_log_flush(writer->log, &cache);
	}
	vhi_log_flush(writer->log, &cache);
	__atomic_add_fetch(&writers_done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * The front-end takes the bits and then copies the pages. Returns how many
 * there were; a mark that came before its write is a race.
 */
static unsigned int take_bits(struct vh_dirty_log *log, const uint32_t *pages)
{
	unsigned int count = 0;

	for (uint64_t word = 0; word <= LOG_PAGES / 64; word++) {
		uint64_t first = word > 0 ? 0 : log->shift;
		uint64_t end = word < LOG_PAGES / 64 ? 64 : log->shift;
		uint64_t ours = end > first ? vhi_log_mask(first, end - 1) : 0;
		uint64_t bits = le64toh(__atomic_fetch_and(
		    &log->words[word], htole64(~ours), __ATOMIC_ACQUIRE));

		for (bits &= ours; bits; bits &= bits - 1) {
			uint64_t page = word * 64 - log->shift +
					(uint64_t)__builtin_ctzll(bits);

			assert_int_equal(pages[page], page + 1);
			count++;
		}
	}
	return count;
}

static void test_memory_threads_mark_after_they_write(void **state)
{
	static uint32_t pages[LOG_PAGES];
	struct writer writers[WORKERS] = {0};
	struct vh_dirty_log *log;
	unsigned int seen = 0, done;
	int fd = file_of(0);

	(void)state;
	assert_int_equal(ftruncate(fd, 1000 + LOG_PAGES / 8), 0);
	assert_int_equal(vh_dirty_log_new(fd, 997, LOG_PAGES / 8, NULL, &log),
			 0);
	assert_true(log->shift > 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		writers[i] =
		    (struct writer){.log = log, .pages = pages, .index = i};
		assert_int_equal(pthread_create(&writers[i].thread, NULL,
						write_pages, &writers[i]),
				 0);
	}
	do {
		done = __atomic_load_n(&writers_done, __ATOMIC_ACQUIRE);
		seen += take_bits(log, pages);
	} while (done < WORKERS);
	for (unsigned int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
	/* each page was written once, so none is seen twice */
	assert_int_equal(seen, LOG_PAGES);
	vh_dirty_log_unref(log);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_threads_share_maps),
	    cmocka_unit_test(test_memory_threads_share_iotlbs),
	    cmocka_unit_test(test_memory_threads_mark_after_they_write),
	};

	return cmocka_run_group_tests_name("memory-threads", tests, NULL, NULL);
}
