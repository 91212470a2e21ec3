/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A monitor without a guest: the driver's side, and sleep. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm.h"

static bool readable(int fd)
{
	return poll(&(struct pollfd){fd, POLLIN, 0}, 1, 0) == 1;
}

static void drive(struct vm *vm, uint32_t queue)
{
	VH_OPTS(vh_driver_queue_opts, opts);

	opts.num = VM_QUEUE_SIZE;
	opts.ring_at = VM_GUEST(0) + queue * 0x10000;
	vh_driver_queue_free(vm->driver[queue]);
	vm->driver[queue] = NULL;
	assert_int_equal(
	    vh_frontend_drive(vm->frontend, queue, &opts, &vm->driver[queue]),
	    0);
	assert_int_equal(
	    vh_frontend_set_call(vm->frontend, queue, vm->call[queue]), 0);
}

static void test_frontend_drive_boots(void **state)
{
	struct vm *vm = *state;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(vm_set_memory(vm, 2), 0);
		vm_negotiate(vm);
		for (uint32_t q = 0; q < VM_QUEUES; q++)
			drive(vm, q);
		assert_int_equal(vh_frontend_start(vm->frontend), 0);
		vm_works(vm);
		assert_int_equal(vh_frontend_stop(vm->frontend), 0);
		assert_int_equal(vh_frontend_start(vm->frontend), 0);
		vm_works(vm);
		assert_int_equal(vh_frontend_reset(vm->frontend), 0);
		vm->opts.features |= VH_F_RING_PACKED;
	}
}

/* A split ring that begins elsewhere, with room for tables behind it. */
static void test_frontend_drive_takes_options(void **state)
{
	struct vm *vm = *state;
	VH_OPTS(vh_driver_queue_opts, opts);
	uint32_t base;

	vm->opts.features |= VH_F_INDIRECT_DESC;
	assert_int_equal(vm_set_memory(vm, 1), 0);
	vm_negotiate(vm);
	drive(vm, 1);
	opts.num = VM_QUEUE_SIZE;
	opts.ring_at = VM_GUEST(0);
	opts.table_entries = 4;
	opts.base = 0xfffe;
	assert_int_equal(
	    vh_frontend_drive(vm->frontend, 0, &opts, &vm->driver[0]), 0);
	assert_int_equal(vh_frontend_set_call(vm->frontend, 0, vm->call[0]), 0);
	assert_int_equal(vh_frontend_get_base(vm->frontend, 0, &base), 0);
	assert_int_equal(base, 0xfffe);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

static void test_frontend_drive_refuses(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = vm->frontend;
	struct vh_driver_queue *driver = NULL;
	VH_OPTS(vh_driver_queue_opts, opts);

	opts.num = VM_QUEUE_SIZE;
	opts.ring_at = VM_GUEST(0);
	vm_assert_fault(vm, vh_frontend_drive(f, 0, &opts, &driver), -EINVAL,
			"features weren't negotiated");
	vm_negotiate(vm);
	vm_assert_fault(vm, vh_frontend_drive(f, 2, &opts, &driver), -ERANGE,
			"queue 2");
	vm_assert_fault(vm, vh_frontend_drive(f, 0, &opts, &driver), -EFAULT,
			"at 0x10000000, is in none of the 0");
	assert_int_equal(vm_set_memory(vm, 1), 0);
	opts.ring_at += VM_REGION_SIZE - 64;
	vm_assert_fault(vm, vh_frontend_drive(f, 0, &opts, &driver), -EFAULT,
			"is in none of the 1");
	opts.ring_at = VM_GUEST(0) + 8;
	vm_assert_fault(vm, vh_frontend_drive(f, 0, &opts, &driver), -EINVAL,
			"");
	opts.ring_at = VM_GUEST(0);
	opts.num = 3;
	vm_assert_fault(vm, vh_frontend_drive(f, 0, &opts, &driver), -EINVAL,
			"3");
	opts.num = VM_QUEUE_SIZE;
	opts.size = 1;
	vm_assert_fault(vm, vh_frontend_drive(f, 0, &opts, &driver), -EINVAL,
			"drive: ");
	vm_assert_fault(vm, vh_frontend_start(f), -EINVAL, "no ring was set");
	/* A ring at work isn't touched. */
	vm_boot(vm);
	opts.size = sizeof(opts);
	vm_works(vm);
	vm_assert_fault(vm, vh_frontend_drive(f, 0, &opts, &driver), -EBUSY,
			"is started");
	vm_works(vm);
	assert_null(driver);
}

static void test_frontend_drive_waits(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = vm->frontend;
	int call = vm->call[0];
	uint64_t one = 1;

	assert_int_equal(vh_frontend_wait(f, call, 0), 0);
	assert_int_equal(vh_frontend_wait(f, call, 1), 0);
	assert_int_equal(write(call, &one, 8), 8);
	assert_int_equal(vh_frontend_wait(f, call, -1), 1);
	assert_false(readable(call));
	/* What the front-end has to do is done, too. */
	vh_device_config_changed(vm->flaky->real);
	assert_int_equal(vh_frontend_wait(f, call, -1), 1);
	assert_int_equal(vm->config_changes, 1);
	/* As a hostile back-end leaves it: a read would wait. */
	vm_spoil(call, false);
	assert_int_equal(write(call, &one, 8), 8);
	assert_int_equal(vh_frontend_wait(f, call, -1), 1);
	assert_int_equal(vh_frontend_wait(f, call, 0), 0);
}

/* Nobody will call any more. */
static void test_frontend_drive_waits_for_the_dead(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	flaky_die(vm->flaky);
	for (int i = 0; i < 2; i++)
		vm_assert_fault(vm,
				vh_frontend_wait(vm->frontend, vm->call[0], -1),
				-ENODEV, "wait: the back-end is gone");
	assert_int_equal(vm->gone, 1);
}

/* Nobody has said so, but it doesn't do what it should. */
static void test_frontend_drive_finds_it_dead(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	/* What is sent is there to be done, so it is asked to. */
	vm->flaky->dead = true;
	vm_send(vm, 0, VM_BUFFERS);
	vm_assert_fault(vm, vh_frontend_wait(vm->frontend, vm->call[0], -1),
			-ENODEV,
			"wait: the back-end is gone: dispatch: dispatch: it is "
			"dead");
}

/* Each request, with nothing but these; the device may run in the wait. */
static void test_frontend_drive_waits_for_requests(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	for (unsigned int i = 0; i < 50; i++) {
		vm_send(vm, 0, VM_BUFFERS);
		while (vh_driver_queue_enable_calls(vm->driver[0]) == 0)
			assert_int_equal(
			    vh_frontend_wait(vm->frontend, vm->call[0], -1), 1);
		vm_receive(vm, 0, VM_BUFFERS);
	}
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, vm_set_up, vm_tear_down)
#define TEST_LOOP(name)                                                        \
	cmocka_unit_test_setup_teardown(name, vm_set_up_loop, vm_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_drive_boots),
	    TEST_LOOP(test_frontend_drive_boots),
	    TEST(test_frontend_drive_takes_options),
	    TEST(test_frontend_drive_refuses),
	    TEST(test_frontend_drive_waits),
	    TEST(test_frontend_drive_waits_for_the_dead),
	    TEST_LOOP(test_frontend_drive_finds_it_dead),
	    TEST(test_frontend_drive_waits_for_requests),
	    TEST_LOOP(test_frontend_drive_waits_for_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
