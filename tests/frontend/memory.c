/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Memory: only the difference goes out, and a failure changes nothing. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm.h"

static void test_frontend_memory_sends_the_difference(void **state)
{
	struct vm *vm = *state;
	struct vh_region list[3] = {vm->regions[0], vm->regions[2],
				    vm->regions[3]};

	flaky_clear(vm->flaky);
	assert_int_equal(vm_set_memory(vm, 3), 0);
	assert_string_equal(vm->flaky->trace,
			    "get_max_mem_slots add_region=10000000 "
			    "add_region=50000000 add_region=90000000 ");
	flaky_clear(vm->flaky);
	assert_int_equal(vm_set_memory(vm, 3), 0);
	assert_string_equal(vm->flaky->trace, "get_max_mem_slots ");
	flaky_clear(vm->flaky);
	assert_int_equal(vh_frontend_set_memory(vm->frontend, list, 3), 0);
	assert_string_equal(vm->flaky->trace,
			    "get_max_mem_slots remove_region=50000000 "
			    "add_region=d0000000 ");
	flaky_clear(vm->flaky);
	assert_int_equal(vm_set_memory(vm, 0), 0);
	assert_int_equal(flaky_count(vm->flaky, "remove_region"), 3);
}

static void test_frontend_memory_sends_the_table(void **state)
{
	struct vm *vm = *state;
	struct vh_region elsewhere = vm->regions[0];

	flaky_clear(vm->flaky);
	assert_int_equal(vm_set_memory(vm, 3), 0);
	assert_int_equal(vm_set_memory(vm, 1), 0);
	assert_string_equal(vm->flaky->trace,
			    "get_max_mem_slots set_mem_table=3 "
			    "get_max_mem_slots set_mem_table=1 ");
	vm_boot(vm);
	assert_int_equal(vm_set_memory(vm, 5), 0);
	vm_echo(vm, 0, VM_GUEST(4));
	assert_int_equal(vm_set_memory(vm, 1), 0);
	vm_works(vm);
	/* The back-end knows rings by where this process sees them. */
	elsewhere.user = vm->regions[2].user;
	vm_assert_fault(vm, vh_frontend_set_memory(vm->frontend, &elsewhere, 1),
			-EBUSY, "region at 0x10000000, which changes");
	vm_works(vm);
}

/* A back-end that is new has no memory: it needn't be told so. */
static void test_frontend_memory_sends_no_empty_table(void **state)
{
	struct vm *vm = *state;

	flaky_clear(vm_another(vm));
	assert_int_equal(
	    vh_frontend_reconnect(vm->frontend, &vm->flaky->backend), 0);
	assert_int_equal(flaky_count(vm->flaky, "set_mem_table"), 0);
	/* And one whose memory goes keeps what it had last. */
	assert_int_equal(vm_set_memory(vm, 1), 0);
	assert_int_equal(vm_set_memory(vm, 0), 0);
	assert_int_equal(flaky_count(vm->flaky, "set_mem_table"), 1);
	vm_boot(vm);
	vm_works(vm);
}

/* The same place, but another file behind it. */
static void test_frontend_memory_knows_files(void **state)
{
	struct vm *vm = *state;
	struct vh_region list[2] = {vm->regions[0], vm->regions[1]};
	int fd = memfd_create("other", MFD_CLOEXEC);
	int again = dup(vm->fd);

	assert_return_code(fd, errno);
	assert_return_code(again, errno);
	assert_return_code(ftruncate(fd, VM_REGIONS * VM_REGION_SIZE), errno);
	assert_int_equal(vm_set_memory(vm, 2), 0);
	flaky_clear(vm->flaky);
	list[1].fd = fd;
	assert_int_equal(vh_frontend_set_memory(vm->frontend, list, 2), 0);
	assert_int_equal(flaky_count(vm->flaky, "region"), 2);
	list[1].fd = again;
	assert_int_equal(vh_frontend_set_memory(vm->frontend, list, 2), 0);
	flaky_clear(vm->flaky);
	list[1].fd = vm->fd;
	assert_int_equal(vh_frontend_set_memory(vm->frontend, list, 2), 0);
	assert_int_equal(flaky_count(vm->flaky, "region"), 0);
	close(fd);
	close(again);
}

static void test_frontend_memory_refuses(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = vm->frontend;
	struct vh_region list[2] = {vm->regions[0], vm->regions[1]};

	list[1].guest = list[0].guest + 0x1000;
	vm_assert_fault(vm, vh_frontend_set_memory(f, list, 2), -EEXIST,
			"set_memory: the region at 0x10001000 overlaps");
	list[1] = vm->regions[1];
	list[1].user.raw = list[0].user.raw + 4096;
	vm_assert_fault(vm, vh_frontend_set_memory(f, list, 2), -EEXIST,
			"overlaps");
	list[1] = vm->regions[1];
	list[1].size = 0;
	vm_assert_fault(vm, vh_frontend_set_memory(f, list, 2), -EINVAL,
			"is empty or wraps");
	list[1].size = UINT64_MAX;
	vm_assert_fault(vm, vh_frontend_set_memory(f, list, 2), -EINVAL,
			"is empty or wraps");
	list[1] = vm->regions[1];
	list[1].fd = 1 << 30;
	vm_assert_fault(vm, vh_frontend_set_memory(f, list, 2), -EBADF,
			"descriptor");
	vm->flaky->slots = 2;
	vm_assert_fault(vm, vm_set_memory(vm, 3), -ENOSPC,
			"3 regions, the back-end takes 2");
	assert_int_equal(flaky_count(vm->flaky, "add_region"), 0);
	/* One that isn't as long as its file is found by the back-end. */
	list[1] = vm->regions[1];
	list[1].fd_offset = VM_REGIONS * VM_REGION_SIZE;
	vm_assert_fault(vm, vh_frontend_set_memory(f, list, 2), -ERANGE,
			"set_memory: add_region: ");
	assert_int_equal(flaky_count(vm->flaky, "remove_region"), 1);
	vm_boot(vm);
	vm_works(vm);
}

static void test_frontend_memory_keeps_rings(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = vm->frontend;
	struct vh_region list[2] = {vm->regions[1], vm->regions[0]};

	vm_boot(vm);
	vm_assert_fault(vm, vh_frontend_set_memory(f, list, 1), -EFAULT,
			"descriptor table of queue 0, which is started");
	list[1].size += VM_REGION_SIZE;
	list[0] = vm->regions[3];
	vm_assert_fault(vm, vh_frontend_set_memory(f, list, 2), -EBUSY,
			"region at 0x10000000, which changes");
	vm_works(vm);
	assert_int_equal(vh_frontend_stop(f), 0);
	assert_int_equal(vh_frontend_set_memory(f, list, 2), 0);
	assert_int_equal(vh_frontend_start(f), 0);
	vm_works(vm);
	assert_int_equal(vh_frontend_stop(f), 0);
	assert_int_equal(vh_frontend_set_memory(f, NULL, 0), 0);
	vm_assert_fault(vm, vh_frontend_start(f), -EFAULT,
			"is in none of the 0 memory regions");
	assert_int_equal(vm_set_memory(vm, 1), 0);
	assert_int_equal(vh_frontend_start(f), 0);
	vm_works(vm);
}

/* Each call of a change fails once; all is as it was. */
static void test_frontend_memory_failure_changes_nothing(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = vm->frontend;
	struct vh_region list[4] = {vm->regions[0], vm->regions[4],
				    vm->regions[5], vm->regions[6]};
	unsigned int fails = 0;
	int r;

	assert_int_equal(vm_set_memory(vm, 4), 0);
	vm_negotiate(vm);
	vm_set_rings(vm);
	assert_int_equal(vh_frontend_start(f), 0);
	do {
		flaky_clear(vm->flaky);
		vm->flaky->fail_at = ++fails;
		r = vh_frontend_set_memory(f, list, 4);
		if (r < 0)
			vm_assert_fault(vm, r, -EIO, "made to fail");
		flaky_clear(vm->flaky);
		/* As before: nothing is to be told of what there was. */
		if (r < 0) {
			assert_int_equal(vm_set_memory(vm, 4), 0);
			assert_int_equal(flaky_count(vm->flaky, "region"), 0);
			vm_echo(vm, 0, VM_GUEST(2));
			vm_echo(vm, 1, VM_GUEST(3));
		}
	} while (r < 0);
	/* slots, three removed, three added */
	assert_int_equal(fails, 8);
	vm_echo(vm, 0, VM_GUEST(5));
}

/* What can't be taken back isn't in our list either. */
static void test_frontend_memory_failure_of_the_way_back(void **state)
{
	struct vm *vm = *state;
	struct vh_region list[2] = {vm->regions[0], vm->regions[4]};

	assert_int_equal(vm_set_memory(vm, 2), 0);
	flaky_clear(vm->flaky);
	vm->flaky->fail_op = "add_region";
	vm_assert_fault(vm, vh_frontend_set_memory(vm->frontend, list, 2), -EIO,
			"add_region: made to fail");
	flaky_clear(vm->flaky);
	assert_int_equal(vm_set_memory(vm, 2), 0);
	assert_int_equal(flaky_count(vm->flaky, "add_region=50000000"), 1);
	vm_boot(vm);
	vm_echo(vm, 0, VM_GUEST(1));
}

/* Another thread is the guest; this one plugs memory in and out. */
struct guest {
	struct vm *vm;
	bool stop;
	unsigned int done;
};

static void *run_guest(void *arg)
{
	struct guest *guest = arg;

	do {
		vm_echo(guest->vm, 0, VM_BUFFERS);
		__atomic_fetch_add(&guest->done, 1, __ATOMIC_RELEASE);
	} while (!__atomic_load_n(&guest->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

static void test_frontend_memory_changes_under_traffic(void **state)
{
	struct vm *vm = *state;
	struct guest guest = {.vm = vm};
	pthread_t thread;

	vm_boot(vm);
	assert_int_equal(pthread_create(&thread, NULL, run_guest, &guest), 0);
	for (unsigned int i = 0; i < 300; i++) {
		unsigned int before =
		    __atomic_load_n(&guest.done, __ATOMIC_ACQUIRE);

		assert_int_equal(vm_set_memory(vm, 1 + i % VM_REGIONS), 0);
		/* No change goes by without traffic. */
		while (__atomic_load_n(&guest.done, __ATOMIC_ACQUIRE) == before)
			usleep(10);
		vm_echo(vm, 1, VM_GUEST(i % VM_REGIONS) + 0xa0000);
	}
	__atomic_store_n(&guest.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	vm_works(vm);
}

static int set_up_with(void **state, uint64_t hides)
{
	static struct vm vm;
	const struct vm_opts opts = {.hides = hides};

	vm_make(&vm, &opts);
	*state = &vm;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, 0);
}

static int set_up_table(void **state)
{
	return set_up_with(state, VH_CAP_REGIONS);
}

static int tear_down(void **state)
{
	vm_free(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_TABLE(name)                                                       \
	cmocka_unit_test_setup_teardown(name, set_up_table, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_memory_sends_the_difference),
	    TEST_TABLE(test_frontend_memory_sends_the_table),
	    TEST_TABLE(test_frontend_memory_sends_no_empty_table),
	    TEST(test_frontend_memory_knows_files),
	    TEST(test_frontend_memory_refuses),
	    TEST(test_frontend_memory_keeps_rings),
	    TEST(test_frontend_memory_failure_changes_nothing),
	    TEST(test_frontend_memory_failure_of_the_way_back),
	    TEST(test_frontend_memory_changes_under_traffic),
	    TEST_TABLE(test_frontend_memory_changes_under_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
