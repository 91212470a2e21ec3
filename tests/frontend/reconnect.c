/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A back-end dies, with requests in flight or without, and another one goes
 * on. (The dead one holds its requests until the test ends, so that nothing
 * but the tracking can have brought them back.)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vm.h"

static void test_frontend_reconnect_goes_on(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	for (int i = 0; i < 3; i++) {
		vm_works(vm);
		vm_die(vm);
		assert_int_equal(vm_reconnect(vm), 0);
	}
	vm_works(vm);
	vm_dispatch(vm);
	assert_int_equal(vm->config_changes, 3);
}

/* Descriptors are shared with whoever dies, and what he did to them stays. */
static void test_frontend_reconnect_spoiled_descriptors(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	vm_die(vm);
	vm_spoil(vm->flaky->err, false);
	vm_spoil(vh_frontend_kick_fd(vm->frontend, 0), true);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
	vm_dispatch(vm);
	assert_int_equal(vm->faults, 0);
}

/* Completed out of order, some of them, when it dies. */
static void test_frontend_reconnect_with_requests_in_flight(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	echo_hold(vm->echo);
	for (unsigned int i = 0; i < 5; i++)
		vm_send(vm, 0, VM_BUFFERS + i * 0x1000);
	vm_send(vm, 1, VM_BUFFERS + 0x8000);
	assert_int_equal(echo_wait_held(vm->echo, 6), 0);
	vm_die(vm);
	/* The guest goes on. */
	vm_send(vm, 0, VM_BUFFERS + 5 * 0x1000);
	assert_int_equal(vm_reconnect(vm), 0);
	for (unsigned int i = 0; i < 6; i++)
		vm_receive(vm, 0, VM_BUFFERS + i * 0x1000);
	vm_receive(vm, 1, VM_BUFFERS + 0x8000);
	vm_works(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

static void test_frontend_reconnect_packed(void **state)
{
	struct vm *vm = *state;

	vm->opts.features |= VH_F_RING_PACKED;
	test_frontend_reconnect_with_requests_in_flight(state);
}

static void test_frontend_reconnect_untracked(void **state)
{
	struct vm *vm = *state;
	uint32_t base;

	/* Nothing was in flight: the used index says where it was. */
	vm_boot(vm);
	vm_works(vm);
	vm_die(vm);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
	/* Something was, and might have been overtaken. */
	echo_hold(vm->echo);
	vm_send(vm, 0, VM_BUFFERS);
	assert_int_equal(echo_wait_held(vm->echo, 1), 0);
	vm_die(vm);
	vm_assert_fault(vm, vm_reconnect(vm), -ENOTRECOVERABLE,
			"nobody knows where queue 0 was");
	vm_assert_fault(vm, vh_frontend_get_base(vm->frontend, 0, &base),
			-ENOTRECOVERABLE, "queue 0");
	/* Whoever knows better says so. */
	assert_int_equal(vh_frontend_set_base(vm->frontend, 0, 6), 0);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_receive(vm, 0, VM_BUFFERS);
	vm_works(vm);
}

static void test_frontend_reconnect_in_order_needs_no_tracking(void **state)
{
	struct vm *vm = *state;

	vm->opts.features |= VH_F_IN_ORDER;
	vm_boot(vm);
	vm_works(vm);
	echo_hold(vm->echo);
	vm_send(vm, 0, VM_BUFFERS);
	vm_send(vm, 0, VM_BUFFERS + 0x1000);
	assert_int_equal(echo_wait_held(vm->echo, 2), 0);
	vm_die(vm);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_receive(vm, 0, VM_BUFFERS);
	vm_receive(vm, 0, VM_BUFFERS + 0x1000);
	vm_works(vm);
}

static void test_frontend_reconnect_packed_untracked(void **state)
{
	struct vm *vm = *state;

	vm->opts.features |= VH_F_RING_PACKED;
	vm_boot(vm);
	vm_works(vm);
	/* Paused: its position was told. */
	assert_int_equal(vh_frontend_pause(vm->frontend), 0);
	vm_die(vm);
	assert_int_equal(vm_reconnect(vm), 0);
	assert_int_equal(vh_frontend_resume(vm->frontend), 0);
	vm_works(vm);
	vm_die(vm);
	vm_assert_fault(vm, vm_reconnect(vm), -ENOTRECOVERABLE, "queue 0");
	/* After a reset of the driver it doesn't matter. */
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	assert_int_equal(
	    vh_frontend_reconnect(vm->frontend, &vm->flaky->backend), 0);
	vm_boot(vm);
	vm_works(vm);
}

static void test_frontend_reconnect_what_is_asked_meanwhile(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	vm_die(vm);
	assert_int_equal(vm_set_memory(vm, 6), 0);
	assert_int_equal(vh_frontend_pause(vm->frontend), 0);
	assert_int_equal(vh_frontend_set_call(vm->frontend, 0, -1), 0);
	assert_int_equal(vh_frontend_set_call(vm->frontend, 0, vm->call[0]), 0);
	assert_int_equal(vh_frontend_enable(vm->frontend, 1, false), 0);
	assert_int_equal(vh_frontend_resume(vm->frontend), 0);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	flaky_clear(vm->flaky);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_echo(vm, 0, VM_GUEST(5));
	vm_send(vm, 1, VM_BUFFERS);
	vm_echo(vm, 0, VM_GUEST(5));
	assert_int_equal(vh_driver_queue_inflight(vm->driver[1]), 1);
	assert_int_equal(vh_frontend_enable(vm->frontend, 1, true), 0);
	vm_receive(vm, 1, VM_BUFFERS);
	/* And a whole new life. */
	vm_die(vm);
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	vm_boot(vm);
	vm_send(vm, 0, VM_BUFFERS);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_receive(vm, 0, VM_BUFFERS);
	vm_works(vm);
}

/* It dies in the middle of any step. */
static void test_frontend_reconnect_death_in_a_step(void **state)
{
	struct vm *vm = *state;

	flaky_kill(vm->flaky);
	assert_int_equal(vm_set_memory(vm, 2), 0);
	vm_dispatch(vm);
	assert_int_equal(vm->gone, 1);
	assert_int_equal(vm_reconnect(vm), 0);
	flaky_kill(vm->flaky);
	vm_negotiate(vm);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_set_rings(vm);
	flaky_kill(vm->flaky);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_dispatch(vm);
	assert_int_equal(vm->gone, 2);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
	flaky_kill(vm->flaky);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vm_reconnect(vm), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

static void test_frontend_reconnect_compares(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	vm_die(vm);
	vm_another(vm)->lacks = VH_F_EVENT_IDX;
	vm_assert_fault(
	    vm, vh_frontend_reconnect(vm->frontend, &vm->flaky->backend),
	    -EOPNOTSUPP, "reconnect: features 0x120000000 are needed");
	/* What isn't in use isn't missed, and isn't offered any more. */
	vm_another(vm)->lacks = VH_F_INDIRECT_DESC;
	assert_int_equal(
	    vh_frontend_reconnect(vm->frontend, &vm->flaky->backend), 0);
	vm_works(vm);
	assert_int_equal(
	    vh_frontend_features(vm->frontend) & VH_F_INDIRECT_DESC, 0);
	vm_assert_fault(
	    vm, vh_frontend_reconnect(vm->frontend, &vm->flaky->backend),
	    -EINVAL, "the same");
}

static void test_frontend_reconnect_needs_tracking(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_die(vm);
	vm->opts.hides = VH_CAP_INFLIGHT;
	vm_assert_fault(vm, vm_reconnect(vm), -EOPNOTSUPP, "in flight");
	vm->opts.hides = 0;
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
}

static void reconnect_is_refused(struct vm *vm, int error, const char *words)
{
	vm_assert_fault(vm, vm_reconnect(vm), error, words);
	vm_drop_another(vm);
}

/* True once it went well with nothing failing. */
static bool try_reconnect(struct vm *vm, unsigned int fail_at)
{
	int r;

	vm_another(vm)->fail_at = fail_at;
	r = vh_frontend_reconnect(vm->frontend, &vm->flaky->backend);
	if (r == 0)
		return vm->flaky->calls < fail_at;
	vm_assert_fault(vm, r, -EIO, "reconnect: ");
	vm_drop_another(vm);
	return false;
}

/* Each call fails, on another back-end each time, until none does. */
static void fail_all_the_way(struct vm *vm, bool alive)
{
	unsigned int fails = 1;

	vm_boot(vm);
	vm_works(vm);
	if (!alive)
		vm_die(vm);
	while (!try_reconnect(vm, fails)) {
		if (alive)
			vm_works(vm);
		/* There may be nothing to dispatch: that is no failure. */
		else if (flaky_count(vm->flaky, "set_vring_kick") && fails == 4)
			vm_die(vm);
		fails++;
	}
	assert_in_range(fails, 25, 64);
	vm_works(vm);
}

static void test_frontend_reconnect_fails_and_is_dead_as_before(void **state)
{
	fail_all_the_way(*state, false);
}

static void test_frontend_reconnect_fails_and_goes_on_as_before(void **state)
{
	fail_all_the_way(*state, true);
}

/* The new one dies at once, too. */
static void test_frontend_reconnect_to_the_dead(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	vm_die(vm);
	flaky_kill(vm_another(vm));
	assert_int_equal(
	    vh_frontend_reconnect(vm->frontend, &vm->flaky->backend), -ENODEV);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
}

/* One that lives and doesn't say where all of its rings are goes on. */
static void test_frontend_reconnect_keeps_one_without_places(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	vm->flaky->no_base = true;
	reconnect_is_refused(vm, -EOPNOTSUPP, "reconnect: get_vring_base");
	vm_works(vm);
	vm->flaky->no_base = false;
	/* The other ring was stopped already; this one has a request. */
	echo_hold(vm->echo);
	vm_send(vm, 1, VM_BUFFERS);
	assert_int_equal(echo_wait_held(vm->echo, 1), 0);
	flaky_clear(vm->flaky);
	vm->flaky->fail_at = 2;
	reconnect_is_refused(vm, -EIO,
			     "reconnect: get_vring_base of queue 1: made to");
	assert_int_equal(flaky_count(vm->flaky, "reset_device"), 0);
	echo_release(vm->echo);
	vm_receive(vm, 1, VM_BUFFERS);
	vm_works(vm);
	assert_int_equal(vm_reconnect(vm), 0);
	vm_works(vm);
}

/* It doesn't take back the ring that was stopped: then it is stopped. */
static void test_frontend_reconnect_stops_one_that_fails(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	flaky_clear(vm->flaky);
	vm->flaky->fail_at = 2;
	vm->flaky->fail_op = "set_vring_num";
	reconnect_is_refused(vm, -EIO, "get_vring_base of queue 1: made to");
	flaky_clear(vm->flaky);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

/* Nobody asked the machine that is paused to be stopped. */
static void test_frontend_reconnect_lost_while_paused(void **state)
{
	struct vm *vm = *state;

	vm->opts.features |= VH_F_RING_PACKED;
	vm_boot(vm);
	vm_works(vm);
	vm->flaky->no_base = true;
	assert_int_equal(vh_frontend_pause(vm->frontend), 0);
	reconnect_is_refused(vm, -ENOTRECOVERABLE,
			     "nobody knows where queue 0 was");
	vm_assert_fault(vm, vh_frontend_start(vm->frontend), -EBUSY, "already");
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	assert_int_equal(vh_frontend_resume(vm->frontend), 0);
	vm_boot(vm);
	vm_works(vm);
}

/* In place of one that lives, and that has requests. */
static void test_frontend_reconnect_replaces_a_live_one(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	for (int i = 0; i < 2; i++) {
		vm_send(vm, 0, VM_BUFFERS);
		assert_int_equal(vm_reconnect(vm), 0);
		vm_receive(vm, 0, VM_BUFFERS);
		vm_works(vm);
	}
	vm_dispatch(vm);
	assert_int_equal(vm->gone, 0);
	/* The earlier one may go. */
	vh_backend_free(&vm->before[--vm->num_before]->backend);
	vm_works(vm);
}

static int set_up_with(void **state, bool inflight)
{
	static struct vm vm;
	const struct vm_opts opts = {.inflight = inflight};

	vm_make(&vm, &opts);
	*state = &vm;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, true);
}

static int set_up_untracked(void **state)
{
	return set_up_with(state, false);
}

static int tear_down(void **state)
{
	vm_free(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_UNTRACKED(name)                                                   \
	cmocka_unit_test_setup_teardown(name, set_up_untracked, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_reconnect_goes_on),
	    TEST_UNTRACKED(test_frontend_reconnect_goes_on),
	    TEST(test_frontend_reconnect_spoiled_descriptors),
	    TEST(test_frontend_reconnect_with_requests_in_flight),
	    TEST(test_frontend_reconnect_packed),
	    TEST_UNTRACKED(test_frontend_reconnect_untracked),
	    TEST_UNTRACKED(test_frontend_reconnect_in_order_needs_no_tracking),
	    TEST_UNTRACKED(test_frontend_reconnect_packed_untracked),
	    TEST(test_frontend_reconnect_what_is_asked_meanwhile),
	    TEST(test_frontend_reconnect_death_in_a_step),
	    TEST(test_frontend_reconnect_compares),
	    TEST(test_frontend_reconnect_needs_tracking),
	    TEST(test_frontend_reconnect_fails_and_is_dead_as_before),
	    TEST(test_frontend_reconnect_fails_and_goes_on_as_before),
	    TEST(test_frontend_reconnect_to_the_dead),
	    TEST(test_frontend_reconnect_keeps_one_without_places),
	    TEST_UNTRACKED(test_frontend_reconnect_keeps_one_without_places),
	    TEST(test_frontend_reconnect_stops_one_that_fails),
	    TEST(test_frontend_reconnect_lost_while_paused),
	    TEST(test_frontend_reconnect_replaces_a_live_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
