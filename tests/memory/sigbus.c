/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Memory that vanishes under a mapping. A handler belongs to a process, so
 * each test is a child's; a child's exit status is the line that went wrong.
 */
#include "support.h"

#include <resources.h>

#include <linux/memfd.h>
#include <memory/log.h>
#include <memory/translate.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define GUEST	  UINT64_C(0x50000000)
#define USER	  UINT64_C(0x7b0000000000)
#define PAGES	  4
#define HUGE_PAGE (UINT64_C(2) << 20)

/* A status has eight bits; the lines of this file have nine. */
#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition))                                              \
			_exit(__LINE__ / 2);                                   \
	} while (0)

#define HANDLED 254

static int run(void (*child)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit no_core = {0, 0};

		/* neither the test framework's nor a sanitizer's handler */
		signal(SIGBUS, SIG_DFL);
		setrlimit(RLIMIT_CORE, &no_core);
		child();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void succeeds(void (*child)(void))
{
	int status = run(child);

	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status))
		fail_msg("check at line %d or the next",
			 WEXITSTATUS(status) * 2);
}

static void dies_of_sigbus(void (*child)(void))
{
	int status = run(child);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

static void is_handled(void (*child)(void))
{
	int status = run(child);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), HANDLED);
}

/* A region whose file was cut down to its first page. */
static volatile unsigned char *vanish(struct vh_memory **ret_memory)
{
	struct vh_region region;
	struct vh_memory *none;
	int fd = memfd_create("libvhost-test", MFD_CLOEXEC);
	unsigned char *host;

	CHECK(fd >= 0 && ftruncate(fd, (off_t)(PAGES * PAGE)) == 0);
	region = region_of(GUEST, PAGES * PAGE, USER, 0, fd);
	CHECK(vh_memory_new(&none) == 0);
	CHECK(vh_memory_add(none, &region, NULL, ret_memory) == 0);
	vh_memory_unref(none);
	host = vh_memory_at(*ret_memory, GUEST, PAGES * PAGE);
	CHECK(host);
	memset(host, 0xaa, PAGES * PAGE);
	CHECK(ftruncate(fd, (off_t)PAGE) == 0);
	close(fd);
	return host;
}

static void survive(void)
{
	struct vh_memory *memory;
	volatile unsigned char *host = vanish(&memory);
	const void *address = NULL;
	struct span span;

	CHECK(vh_memory_catch_sigbus() == 0);
	vhi_memory_guard_begin();
	CHECK(host[0] == 0xaa);
	vhi_memory_guard_end();
	CHECK(!vhi_memory_guard_hit(&address) && !address);

	errno = EDOM;
	vhi_memory_guard_begin();
	CHECK(host[PAGE + 17] == 0);
	host[2 * PAGE + 1] = 5;
	CHECK(host[2 * PAGE + 1] == 5);
	vhi_memory_guard_end();
	CHECK(errno == EDOM);
	CHECK(vhi_memory_guard_hit(&address));
	CHECK(address == (const void *)&host[PAGE + 17]);
	CHECK(!vhi_memory_guard_hit(NULL));
	CHECK(host[0] == 0xaa);

	/* begin forgets what was never asked for */
	vhi_memory_guard_begin();
	CHECK(host[3 * PAGE] == 0);
	vhi_memory_guard_end();
	vhi_memory_guard_begin();
	vhi_memory_guard_end();
	CHECK(!vhi_memory_guard_hit(NULL));

	/* and the whole mapping goes, holes and all */
	vh_memory_unref(memory);
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(!find_span((const char *)(uintptr_t)host + i * PAGE,
				 &span));
}

static void test_memory_sigbus_guarded_thread_survives(void **state)
{
	(void)state;
	succeeds(survive);
}

/* A log whose file was cut down to its first page. */
static void survive_log(void)
{
	int fd = memfd_create("libvhost-test", MFD_CLOEXEC);
	struct vhi_log_cache cache = {0};
	struct vh_dirty_log *log;
	unsigned char byte;

	CHECK(fd >= 0 && ftruncate(fd, (off_t)(2 * PAGE)) == 0);
	CHECK(vh_dirty_log_new(fd, 3, 2 * PAGE - 3, NULL, &log) == 0);
	CHECK(ftruncate(fd, (off_t)PAGE) == 0);
	CHECK(vh_memory_catch_sigbus() == 0);
	vhi_memory_guard_begin();
	vhi_log_note(log, &cache, 0, 1);
	vhi_log_note(log, &cache, PAGE * 8 * VH_DIRTY_LOG_PAGE, 1);
	vhi_log_flush(log, &cache);
	CHECK(vh_dirty_log_mark(log, PAGE * 8 * VH_DIRTY_LOG_PAGE, 1));
	vhi_memory_guard_end();
	CHECK(vhi_memory_guard_hit(NULL));
	CHECK(pread(fd, &byte, 1, 3) == 1 && byte == 1);
	vh_dirty_log_unref(log);
	CHECK(mappings_of(ANY_MEMFD) == 0);
}

static void test_memory_sigbus_guarded_log_survives(void **state)
{
	(void)state;
	succeeds(survive_log);
}

/* No huge page is in the pool, or the file is cut down: a hole both ways. */
static void survive_huge(void)
{
	int fd = memfd_create("libvhost-test",
			      MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct vh_region region = region_of(GUEST, 2 * HUGE_PAGE, USER, 0, fd);
	struct vh_memory *none, *memory;
	volatile unsigned char *host;
	struct span span;

	if (fd < 0 || ftruncate(fd, 2 * HUGE_PAGE) < 0)
		return;
	CHECK(vh_memory_new(&none) == 0);
	CHECK(vh_memory_add(none, &region, NULL, &memory) == 0);
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(vh_memory_catch_sigbus() == 0);
	host = vh_memory_at(memory, GUEST, 2 * HUGE_PAGE);
	errno = EDOM;
	vhi_memory_guard_begin();
	CHECK(host[HUGE_PAGE + 12345] == 0);
	host[HUGE_PAGE + 12345] = 1;
	vhi_memory_guard_end();
	CHECK(errno == EDOM);
	CHECK(vhi_memory_guard_hit(NULL));
	CHECK(find_span((const char *)(uintptr_t)host, &span));
	CHECK(span.end == (uintptr_t)host + HUGE_PAGE);
	vh_memory_unref(memory);
	CHECK(!find_span((const char *)(uintptr_t)host, &span));
	CHECK(!find_span((const char *)(uintptr_t)host + HUGE_PAGE, &span));
}

static void test_memory_sigbus_fills_a_huge_page(void **state)
{
	(void)state;
	succeeds(survive_huge);
}

static void touch_unguarded(void)
{
	struct vh_memory *memory;
	volatile unsigned char *host = vanish(&memory);

	CHECK(vh_memory_catch_sigbus() == 0);
	CHECK(vh_memory_catch_sigbus() == 0);
	vhi_memory_guard_begin();
	vhi_memory_guard_end();
	(void)host[PAGE];
}

static void *touch_as_thread(void *host)
{
	(void)*(volatile unsigned char *)host;
	return NULL;
}

/* The guard is this thread's; the fault is another's. */
static void touch_in_other_thread(void)
{
	struct vh_memory *memory;
	volatile unsigned char *host = vanish(&memory);
	pthread_t thread;

	CHECK(vh_memory_catch_sigbus() == 0);
	vhi_memory_guard_begin();
	CHECK(pthread_create(&thread, NULL, touch_as_thread,
			     (void *)(uintptr_t)&host[PAGE]) == 0);
	pthread_join(thread, NULL);
}

static void touch_ignoring(void)
{
	signal(SIGBUS, SIG_IGN);
	touch_unguarded();
}

static void send_one(void)
{
	CHECK(vh_memory_catch_sigbus() == 0);
	vhi_memory_guard_begin();
	raise(SIGBUS);
}

static void test_memory_sigbus_elsewhere_ends_the_process(void **state)
{
	(void)state;
	dies_of_sigbus(touch_unguarded);
	dies_of_sigbus(touch_in_other_thread);
	dies_of_sigbus(touch_ignoring);
	dies_of_sigbus(send_one);
}

static void send_one_ignoring(void)
{
	signal(SIGBUS, SIG_IGN);
	CHECK(vh_memory_catch_sigbus() == 0);
	raise(SIGBUS);
	raise(SIGBUS);
}

static void test_memory_sigbus_stays_ignored(void **state)
{
	(void)state;
	succeeds(send_one_ignoring);
}

static void plain_handler(int number)
{
	_exit(number == SIGBUS ? HANDLED : 1);
}

static void *expected_address;

static void info_handler(int number, siginfo_t *info, void *context)
{
	_exit(number == SIGBUS && context && info->si_code == BUS_ADRERR &&
		      info->si_addr == expected_address
		  ? HANDLED
		  : 1);
}

static void touch_with_plain_handler(void)
{
	signal(SIGBUS, plain_handler);
	touch_unguarded();
}

static void touch_with_info_handler(void)
{
	struct sigaction action = {.sa_sigaction = info_handler,
				   .sa_flags = SA_SIGINFO};
	struct vh_memory *memory;
	volatile unsigned char *host = vanish(&memory);

	expected_address = (void *)(uintptr_t)&host[2 * PAGE + 9];
	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
	CHECK(vh_memory_catch_sigbus() == 0);
	(void)host[2 * PAGE + 9];
}

static void returning_handler(int number)
{
	(void)number;
}

/* It would be for ever if "once" were forgotten on the way. */
static void touch_with_one_shot_handler(void)
{
	struct sigaction action = {.sa_handler = returning_handler,
				   .sa_flags = (int)SA_RESETHAND};

	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
	touch_unguarded();
}

static void test_memory_sigbus_goes_to_the_previous_handler(void **state)
{
	(void)state;
	is_handled(touch_with_plain_handler);
	is_handled(touch_with_info_handler);
	dies_of_sigbus(touch_with_one_shot_handler);
}

/* Each thread has a guard of its own, and its own hole. */
static void *survive_as_thread(void *host)
{
	const void *address;

	vhi_memory_guard_begin();
	CHECK(*(volatile unsigned char *)host == 0);
	vhi_memory_guard_end();
	CHECK(vhi_memory_guard_hit(&address));
	CHECK(address == host);
	return NULL;
}

static void survive_in_threads(void)
{
	struct vh_memory *memory;
	volatile unsigned char *host = vanish(&memory);
	pthread_t threads[PAGES - 1];

	CHECK(vh_memory_catch_sigbus() == 0);
	for (unsigned int i = 0; i < PAGES - 1; i++)
		CHECK(pthread_create(
			  &threads[i], NULL, survive_as_thread,
			  (void *)(uintptr_t)&host[(i + 1) * PAGE]) == 0);
	for (unsigned int i = 0; i < PAGES - 1; i++)
		pthread_join(threads[i], NULL);
	CHECK(!vhi_memory_guard_hit(NULL));
	vh_memory_unref(memory);
}

static void test_memory_sigbus_is_per_thread(void **state)
{
	(void)state;
	succeeds(survive_in_threads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory_sigbus_guarded_thread_survives),
	    cmocka_unit_test(test_memory_sigbus_guarded_log_survives),
	    cmocka_unit_test(test_memory_sigbus_fills_a_huge_page),
	    cmocka_unit_test(test_memory_sigbus_elsewhere_ends_the_process),
	    cmocka_unit_test(test_memory_sigbus_stays_ignored),
	    cmocka_unit_test(test_memory_sigbus_goes_to_the_previous_handler),
	    cmocka_unit_test(test_memory_sigbus_is_per_thread),
	};

	return cmocka_run_group_tests_name("memory-sigbus", tests, NULL, NULL);
}
