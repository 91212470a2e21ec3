/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Driver and device of the library, each on a thread of its own, with
 * bursts and pauses of random length. Who has nothing to do sleeps until it
 * is kicked or called, so that a notification that gets lost ends in a
 * time-out; and every byte of the requests and answers is checked, so that
 * old or torn data shows. The data goes there and back in plain memory: to
 * ThreadSanitizer that is a race, unless the acquires and releases of the
 * ring order it. Both sides use the same mapping, since two mappings of one
 * page are two memories to the sanitizer.
 *
 * It needs nothing but libvhost and libc, so that it can run as a program of
 * another machine.
 *
 * usage: virtqueue-stress [REQUESTS]	for each kind of ring
 */
#include "stress.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 60000 /* ms */
#define REQUESTS 5000

uint8_t stress_byte(uint64_t number, uint64_t salt, unsigned int at)
{
	return (uint8_t)((number + 1 + ((uint64_t)at << 40)) * salt >> 52);
}

uint32_t stress_answer_size(const struct stress_header *header)
{
	/* In full, in part or nothing, and mostly the first. */
	if (header->number % 3)
		return header->room;
	return (uint32_t)(header->number / 3 % (header->room + 1));
}

uint32_t stress_below(struct stress_random *random, uint32_t limit)
{
	/* Marsaglia's xorshift */
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return (uint32_t)((random->state >> 32) * limit >> 32);
}

void stress_pause(struct stress_random *random)
{
	const struct timespec moment = {.tv_nsec = 20000};
	uint32_t choice = stress_below(random, 64);

	if (choice == 0)
		nanosleep(&moment, NULL);
	else if (choice < 4)
		sched_yield();
	else if (choice < 32) /* up to about a microsecond */
		for (uint32_t i = stress_below(random, 1000); i; i--)
			__asm__ __volatile__("");
}

bool stress_failed(const struct stress *stress)
{
	return __atomic_load_n(&stress->failed, __ATOMIC_RELAXED);
}

bool stress_fail(struct stress *stress, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	__atomic_store_n(&stress->failed, true, __ATOMIC_RELAXED);
	stress_wake(stress->kick);
	stress_wake(stress->call);
	return false;
}

/*
 * System calls without libc: ThreadSanitizer would take an eventfd for
 * something that orders memory, and see no race that it covers.
 */
void stress_wake(int fd)
{
	uint64_t one = 1;

	if (syscall(SYS_write, fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

void stress_sleep(struct stress *stress, int fd, const char *who)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count;
	int n;

	do
		n = poll(&p, 1, PATIENCE);
	while (n < 0 && errno == EINTR);
	if (n != 1 || syscall(SYS_read, fd, &count, sizeof(count)) < 0)
		stress_fail(stress, "%s: nothing came, or poll failed: %d", who,
			    n);
	stress->slept[fd == stress->call]++;
}

static void make_memory(struct stress *s)
{
	struct vh_memory *empty;
	struct vh_region region = {
	    .guest = STRESS_MEMORY_AT,
	    .size = s->size,
	    .user = {STRESS_MEMORY_AT},
	    .fd = memfd_create("stress", MFD_CLOEXEC),
	};

	if (region.fd < 0 || ftruncate(region.fd, (off_t)s->size) ||
	    vh_memory_new(&empty) ||
	    vh_memory_add(empty, &region, NULL, &s->memory))
		abort();
	vh_memory_unref(empty);
	close(region.fd);
	s->host = vh_memory_at(s->memory, STRESS_MEMORY_AT, s->size);
}

static void make_queues(struct stress *s)
{
	struct vh_driver_queue_opts driver = {
	    .size = sizeof(driver),
	    .num = s->num,
	    .features = s->features,
	    .ring = s->host,
	    .ring_at = STRESS_MEMORY_AT,
	    .table_entries = STRESS_BUFFERS,
	    .base = s->features & VH_F_RING_PACKED ? 0 : 65500,
	};
	struct vh_virtqueue_opts device = {
	    .size = sizeof(device),
	    .num = s->num,
	    .features = s->features,
	};
	struct vh_fault fault = {.text = ""};

	if (vh_driver_queue_new(&driver, &fault, &s->driver)) {
		fprintf(stderr, "driver: %s\n", fault.text);
		abort();
	}
	vh_driver_queue_addresses(s->driver, &device.descriptors,
				  &device.available, &device.used);
	device.base = vh_driver_queue_base(s->driver);
	if (vh_virtqueue_new(&device, s->memory, &fault, &s->device)) {
		fprintf(stderr, "device: %s\n", fault.text);
		abort();
	}
}

/* True if all requests were answered and nothing was wrong. */
static bool run(uint64_t features, uint32_t num, bool remote, uint64_t total)
{
	struct stress s = {
	    .features = features | VH_F_VERSION_1,
	    .num = num,
	    .remote = remote,
	    .total = total,
	    .size = UINT64_C(1) << 20,
	    .kick = eventfd(0, EFD_CLOEXEC),
	    .call = eventfd(0, EFD_CLOEXEC),
	};
	pthread_t device;

	make_memory(&s);
	make_queues(&s);
	if (pthread_create(&device, NULL, stress_serve, &s))
		abort();
	stress_drive(&s);
	pthread_join(device, NULL);
	if (total >= REQUESTS && !s.at_once)
		stress_fail(&s, "nothing was done at once");
	vh_virtqueue_free(s.device);
	vh_driver_queue_free(s.driver);
	vh_memory_unref(s.memory);
	close(s.kick);
	close(s.call);
	printf("%s: %s of %u%s%s%s%s: %llu requests, %llu done at once; the "
	       "device slept %llu times, the driver %llu times\n",
	       s.failed ? "failed" : "good",
	       features & VH_F_RING_PACKED ? "packed" : "split", num,
	       features & VH_F_EVENT_IDX ? ", EVENT_IDX" : "",
	       features & VH_F_IN_ORDER ? ", IN_ORDER" : "",
	       features & VH_F_INDIRECT_DESC ? ", INDIRECT_DESC" : "",
	       remote ? ", a third thread" : "", (unsigned long long)total,
	       (unsigned long long)s.at_once, (unsigned long long)s.slept[0],
	       (unsigned long long)s.slept[1]);
	fflush(stdout);
	return !s.failed;
}

int main(int argc, char **argv)
{
	uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 0) : REQUESTS;
	static const uint64_t bits[] = {
	    VH_F_RING_PACKED,
	    VH_F_EVENT_IDX,
	    VH_F_IN_ORDER,
	    VH_F_INDIRECT_DESC,
	};
	/* Small rings are full all the time, large ones hold whole bursts. */
	static const uint32_t sizes[2][4] = {{2, 8, 64, 256}, {3, 7, 64, 255}};
	unsigned int failed = 0;

	for (unsigned int kind = 0; kind < 64; kind++) {
		uint64_t features = 0;

		for (unsigned int i = 0; i < 4; i++)
			if (kind & 1U << i)
				features |= bits[i];
		failed += !run(features, sizes[kind & 1][kind / 16],
			       kind % 3 == 0, total);
	}
	if (failed)
		fprintf(stderr, "%u kinds failed\n", failed);
	return failed ? 1 : 0;
}
