/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The in-flight area: whose requests are in there, and until when. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm.h"

static void drive_other(struct vm *vm, uint32_t num)
{
	VH_OPTS(vh_driver_queue_opts, opts);

	opts.num = num;
	opts.ring_at = VM_GUEST(0) + 0x10000;
	vh_driver_queue_free(vm->driver[1]);
	vm->driver[1] = NULL;
	assert_int_equal(
	    vh_frontend_drive(vm->frontend, 1, &opts, &vm->driver[1]), 0);
}

/* A larger ring wants another area; what is in the old one isn't lost. */
static void test_frontend_area_is_outgrown(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	echo_hold(vm->echo);
	vm_send(vm, 0, VM_BUFFERS);
	assert_int_equal(echo_wait_held(vm->echo, 1), 0);
	vm_die(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	drive_other(vm, 2 * VM_QUEUE_SIZE);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_assert_fault(vm, vm_reconnect(vm), -ENOTRECOVERABLE,
			"the in-flight area has requests of queue 0");
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	drive_other(vm, VM_QUEUE_SIZE);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_receive(vm, 0, VM_BUFFERS);
	vm_works(vm);
	/* Nothing is in it: now there may be a larger one. */
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	drive_other(vm, 2 * VM_QUEUE_SIZE);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

/* A ring is set anew, of which the dead one had a request. */
static int reconnect_with_another_ring(struct vm *vm)
{
	vm_die(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	drive_other(vm, VM_QUEUE_SIZE);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	return vm_reconnect(vm);
}

/* What was done with the old one isn't with one that begins afresh. */
static void test_frontend_area_of_a_ring_set_anew(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	echo_hold(vm->echo);
	vm_send(vm, 1, VM_BUFFERS);
	assert_int_equal(echo_wait_held(vm->echo, 1), 0);
	assert_int_equal(reconnect_with_another_ring(vm), 0);
	vm_works(vm);
	/* Whatever was said of the old one. */
	echo_hold(vm->echo);
	vm_send(vm, 1, VM_BUFFERS);
	assert_int_equal(echo_wait_held(vm->echo, 1), 0);
	vm_die(vm);
	assert_int_equal(vh_frontend_set_base(vm->frontend, 1, 3), 0);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	drive_other(vm, VM_QUEUE_SIZE);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
	/* The other one needs the area, which has requests of both. */
	echo_hold(vm->echo);
	vm_send(vm, 0, VM_BUFFERS);
	vm_send(vm, 1, VM_BUFFERS + 0x1000);
	assert_int_equal(echo_wait_held(vm->echo, 2), 0);
	vm_assert_fault(vm, reconnect_with_another_ring(vm), -ENOTRECOVERABLE,
			"the in-flight area has requests of queue 0");
}

static void test_frontend_area_of_packed_rings_set_anew(void **state)
{
	struct vm *vm = *state;

	vm->opts.features |= VH_F_RING_PACKED;
	vm_boot(vm);
	vm_works(vm);
	vm_die(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	vm_set_rings(vm);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
}

/* Nothing is in flight, and the area is of the format that was. */
static void test_frontend_area_of_another_format(void **state)
{
	struct vm *vm = *state;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(vm_set_memory(vm, 2), 0);
		vm_negotiate(vm);
		vm_set_rings(vm);
		assert_int_equal(vh_frontend_start(vm->frontend), 0);
		vm_works(vm);
		assert_int_equal(vh_frontend_stop(vm->frontend), 0);
		for (uint32_t q = 0; q < VM_QUEUES; q++)
			assert_int_equal(
			    vh_frontend_set_ring(vm->frontend, q, NULL), 0);
		vm->opts.features ^= VH_F_RING_PACKED;
	}
}

/* Only the next back-end finds out where it was. */
static void test_frontend_area_knows_packed_places(void **state)
{
	struct vm *vm = *state;
	uint32_t base;

	vm->opts.features |= VH_F_RING_PACKED;
	vm_boot(vm);
	vm_works(vm);
	vm_die(vm);
	vm_assert_fault(vm, vh_frontend_get_base(vm->frontend, 0, &base),
			-ENOTRECOVERABLE, "queue 0");
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_get_base(vm->frontend, 0, &base), 0);
	assert_int_equal(base, vh_driver_queue_base(vm->driver[0]));
}

/* It is reset with the area, in which a request of the other ring was. */
static void test_frontend_area_is_lost(void **state)
{
	struct vm *vm = *state;
	unsigned int resets = 0;

	vm_boot(vm);
	echo_hold(vm->echo);
	vm_send(vm, 1, VM_BUFFERS);
	assert_int_equal(echo_wait_held(vm->echo, 1), 0);
	vm_die(vm);
	/* Call number 4 is for a descriptor that it needn't have. */
	for (unsigned int i = 5; resets == 0; i++) {
		vm_another(vm)->fail_at = i;
		vm->flaky->fail_op = "get_vring_base";
		vm_assert_fault(
		    vm,
		    vh_frontend_reconnect(vm->frontend, &vm->flaky->backend),
		    -EIO, "reconnect: ");
		resets = flaky_count(vm->flaky, "reset_device");
		vm_drop_another(vm);
	}
	vm_assert_fault(vm, vm_reconnect(vm), -ENOTRECOVERABLE,
			"nobody knows where queue 1 was");
	vm_drop_another(vm);
	assert_int_equal(vh_frontend_set_base(vm->frontend, 1, 0), 0);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_receive(vm, 1, VM_BUFFERS);
	vm_works(vm);
}

/* It survives no reset, and so the requests are in the area still. */
static void test_frontend_area_outlives_a_reset(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	echo_hold(vm->echo);
	vm_send(vm, 0, VM_BUFFERS);
	vm_send(vm, 1, VM_BUFFERS + 0x1000);
	assert_int_equal(echo_wait_held(vm->echo, 2), 0);
	vm->flaky->no_base = true;
	vm->flaky->dies_at = "reset_device";
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vm_reconnect(vm), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_receive(vm, 0, VM_BUFFERS);
	vm_receive(vm, 1, VM_BUFFERS + 0x1000);
	vm_works(vm);
}

static int set_up(void **state)
{
	static struct vm vm;
	const struct vm_opts opts = {.inflight = true};

	vm_make(&vm, &opts);
	*state = &vm;
	return 0;
}

static int tear_down(void **state)
{
	vm_free(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_area_is_outgrown),
	    TEST(test_frontend_area_of_a_ring_set_anew),
	    TEST(test_frontend_area_of_packed_rings_set_anew),
	    TEST(test_frontend_area_of_another_format),
	    TEST(test_frontend_area_knows_packed_places),
	    TEST(test_frontend_area_is_lost),
	    TEST(test_frontend_area_outlives_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
