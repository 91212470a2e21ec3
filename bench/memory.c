/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the memory map costs, as one JSON object: nanoseconds to add and to
 * remove any one of 8, 64 and 509 regions, beside those of the bare system
 * calls with as many mappings present, and nanoseconds for a translation,
 * always of the same region or of a random one. Each figure is the median of
 * many rounds.
 */
#include <libvhost/memory.h>
#include <memory/translate.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REGION_SIZE   (UINT64_C(2) << 20)
#define ROUNDS	      2001
#define LOOKUPS	      4096
#define LOOKUP_ROUNDS 201

static void give_up(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

/* Each two regions are apart in guest addresses, so none could be merged. */
static struct vh_region region_at(int fd, unsigned int index)
{
	return (struct vh_region){
	    .guest = index * 2 * REGION_SIZE,
	    .size = REGION_SIZE,
	    .user.raw = (UINT64_C(1) << 40) + index * REGION_SIZE,
	    .fd_offset = index * REGION_SIZE,
	    .fd = fd,
	};
}

static void add(struct vh_memory **memory, const struct vh_region *region)
{
	struct vh_memory *next;
	struct vh_fault fault;

	if (vh_memory_add(*memory, region, &fault, &next) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		exit(1);
	}
	vh_memory_unref(*memory);
	*memory = next;
}

static void take(struct vh_memory **memory, const struct vh_region *region)
{
	struct vh_memory *next;
	struct vh_fault fault;

	if (vh_memory_remove(*memory, region, &fault, &next) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		exit(1);
	}
	vh_memory_unref(*memory);
	*memory = next;
}

static struct vh_memory *map_of(int fd, unsigned int count)
{
	struct vh_memory *memory;

	if (vh_memory_new(&memory) < 0)
		give_up("vh_memory_new");
	for (unsigned int i = 0; i < count; i++) {
		struct vh_region region = region_at(fd, i);

		add(&memory, &region);
	}
	return memory;
}

/* The bare calls: fstat, mmap and madvise; munmap. */
static void bench_system_calls(int fd)
{
	static double maps[ROUNDS], unmaps[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++) {
		double start = now(), middle;
		struct stat st;
		void *at;

		if (fstat(fd, &st) < 0)
			give_up("fstat");
		at = mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_NORESERVE, fd, 0);
		if (at == MAP_FAILED)
			give_up("mmap");
		madvise(at, REGION_SIZE, MADV_DONTDUMP);
		middle = now();
		munmap(at, REGION_SIZE);
		unmaps[i] = now() - middle;
		maps[i] = middle - start;
	}
	printf(", \"add_calls\": %.0f, \"remove_calls\": %.0f}",
	       median(maps, ROUNDS), median(unmaps, ROUNDS));
}

static void bench_change(int fd, unsigned int count)
{
	static double adds[ROUNDS], removes[ROUNDS];
	struct vh_memory *memory = map_of(fd, count);

	for (size_t i = 0; i < ROUNDS; i++) {
		struct vh_region region =
		    region_at(fd, (unsigned int)(i * 7919 % count));
		double start = now();

		take(&memory, &region);
		removes[i] = now() - start;
		start = now();
		add(&memory, &region);
		adds[i] = now() - start;
	}
	printf("\"%u\": {\"add\": %.0f, \"remove\": %.0f", count,
	       median(adds, ROUNDS), median(removes, ROUNDS));
	bench_system_calls(fd);
	vh_memory_unref(memory);
}

static double time_lookups(const struct vh_memory *memory, const vh_gpa *where)
{
	static double values[LOOKUP_ROUNDS];
	struct vhi_hit hit = {0};
	volatile uintptr_t sink;

	for (size_t i = 0; i < LOOKUP_ROUNDS; i++) {
		double start = now();
		uintptr_t sum = 0;

		for (size_t j = 0; j < LOOKUPS; j++)
			sum += (uintptr_t)vhi_translate(memory, &hit, where[j],
							4096);
		sink = sum;
		values[i] = (now() - start) / LOOKUPS;
	}
	(void)sink;
	return median(values, LOOKUP_ROUNDS);
}

static void bench_translate(int fd, unsigned int count)
{
	static vh_gpa local[LOOKUPS], any[LOOKUPS];
	struct vh_memory *memory = map_of(fd, count);
	uint64_t random = 1;

	for (size_t i = 0; i < LOOKUPS; i++) {
		uint64_t offset;

		random = random * UINT64_C(6364136223846793005) + 1;
		offset = (random >> 33) % (REGION_SIZE - 4095);
		local[i] = count / 2 * 2 * REGION_SIZE + offset;
		any[i] = (random >> 40) % count * 2 * REGION_SIZE + offset;
	}
	printf("\"%u\": {\"local\": %.2f, \"random\": %.2f}", count,
	       time_lookups(memory, local), time_lookups(memory, any));
	vh_memory_unref(memory);
}

int main(void)
{
	static const unsigned int changes[] = {8, 64, VH_MEMORY_MAX_REGIONS};
	static const unsigned int lookups[] = {1, 8, 64, VH_MEMORY_MAX_REGIONS};
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0 ||
	    ftruncate(fd, (off_t)(VH_MEMORY_MAX_REGIONS * REGION_SIZE)) < 0)
		give_up("memfd");
	printf("{\"change_ns\": {");
	for (size_t i = 0; i < 3; i++) {
		printf("%s", i ? ", " : "");
		bench_change(fd, changes[i]);
	}
	printf("}, \"translate_ns\": {");
	for (size_t i = 0; i < 4; i++) {
		printf("%s", i ? ", " : "");
		bench_translate(fd, lookups[i]);
	}
	printf("}}\n");
	close(fd);
	return 0;
}
