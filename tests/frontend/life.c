/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Each step in its order, in a wrong order, and what the back-end is asked. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm.h"

static void test_frontend_life_boots_and_works(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	assert_int_equal(vh_frontend_fault(vm->frontend)->code, VH_FAULT_NONE);
}

static void test_frontend_life_order_is_that_of_virtio(void **state)
{
	struct vm *vm = *state;

	flaky_clear(vm->flaky);
	vm_negotiate(vm);
	assert_string_equal(vm->flaky->trace,
			    "get_status set_status=1 set_status=3 "
			    "set_features=120000000 set_status=b get_status ");
	assert_int_equal(vm_set_memory(vm, 1), 0);
	vm_set_rings(vm);
	assert_int_equal(vh_frontend_set_ring(vm->frontend, 1, NULL), 0);
	flaky_clear(vm->flaky);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	assert_string_equal(
	    vm->flaky->trace,
	    "set_vring_num=40 set_vring_base=0 set_vring_addr set_vring_call=0 "
	    "set_vring_err=0 set_vring_kick=0 set_vring_enable=1 "
	    "set_status=f ");
}

static void test_frontend_life_without_status(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	assert_int_equal(flaky_count(vm->flaky, "status"), 0);
	assert_int_equal(flaky_count(vm->flaky, "set_features"), 1);
	vm_works(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	assert_int_equal(flaky_count(vm->flaky, "set_features"), 1);
	vm_works(vm);
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	assert_int_equal(flaky_count(vm->flaky, "reset_device"), 0);
	vm_boot(vm);
	vm_works(vm);
}

static void test_frontend_life_stop_keeps_positions(void **state)
{
	struct vm *vm = *state;
	uint32_t base;

	vm_boot(vm);
	for (int round = 0; round < 3; round++) {
		vm_works(vm);
		assert_int_equal(vh_frontend_stop(vm->frontend), 0);
		assert_int_equal(vh_frontend_get_base(vm->frontend, 0, &base),
				 0);
		assert_int_equal(base, vh_driver_queue_base(vm->driver[0]));
		assert_int_equal(vh_frontend_start(vm->frontend), 0);
	}
	vm_works(vm);
	vm_assert_fault(vm, vh_frontend_get_base(vm->frontend, 0, &base),
			-EBUSY, "queue 0 is running");
	vm_assert_fault(vm, vh_frontend_set_base(vm->frontend, 1, 0), -EBUSY,
			"queue 1 is running");
}

static void test_frontend_life_packed_rings(void **state)
{
	struct vm *vm = *state;

	vm->opts.features |= VH_F_RING_PACKED;
	test_frontend_life_stop_keeps_positions(state);
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	vm_boot(vm);
	vm_works(vm);
}

static void test_frontend_life_pause_and_resume(void **state)
{
	struct vm *vm = *state;
	uint32_t base;

	assert_int_equal(vh_frontend_resume(vm->frontend), 0);
	vm_boot(vm);
	vm_works(vm);
	for (int i = 0; i < 2; i++)
		assert_int_equal(vh_frontend_pause(vm->frontend), 0);
	assert_int_equal(vh_frontend_get_base(vm->frontend, 0, &base), 0);
	assert_int_equal(base, vh_driver_queue_base(vm->driver[0]));
	/* What the driver asks for meanwhile comes back after the pause. */
	vm_send(vm, 0, VM_BUFFERS);
	assert_int_equal(vh_frontend_start(vm->frontend), -EBUSY);
	for (int i = 0; i < 2; i++)
		assert_int_equal(vh_frontend_resume(vm->frontend), 0);
	vm_receive(vm, 0, VM_BUFFERS);
	vm_works(vm);
}

static void test_frontend_life_starts_while_paused(void **state)
{
	struct vm *vm = *state;

	assert_int_equal(vh_frontend_pause(vm->frontend), 0);
	vm_boot(vm);
	assert_int_equal(flaky_count(vm->flaky, "set_vring_kick"), 0);
	assert_int_equal(vh_frontend_resume(vm->frontend), 0);
	vm_works(vm);
	assert_int_equal(vh_frontend_pause(vm->frontend), 0);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_resume(vm->frontend), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

static void test_frontend_life_reset_begins_again(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	flaky_clear(vm->flaky);
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	assert_int_equal(flaky_count(vm->flaky, "reset_device"), 1);
	vm_assert_fault(vm, vh_frontend_start(vm->frontend), -EINVAL,
			"weren't negotiated");
	/* Memory stays. */
	vm_negotiate(vm);
	vm_set_rings(vm);
	assert_int_equal(flaky_count(vm->flaky, "region"), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
}

static void test_frontend_life_moves_to_another_vm(void **state)
{
	struct vm *vm = *state;
	uint32_t bases[VM_QUEUES];
	struct vh_frontend_opts opts = {.size = sizeof(opts),
					.num_queues = VM_QUEUES,
					.features = VM_FEATURES};
	struct flaky *first = vm->flaky;

	vm_boot(vm);
	vm_works(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	for (uint32_t q = 0; q < VM_QUEUES; q++)
		assert_int_equal(
		    vh_frontend_get_base(vm->frontend, q, &bases[q]), 0);
	vh_frontend_free(vm->frontend);
	vm->frontend = NULL;
	assert_ptr_not_equal(vm_another(vm), first);
	assert_int_equal(
	    vh_frontend_new(&vm->flaky->backend, &opts, NULL, &vm->frontend),
	    0);
	assert_int_equal(vm_set_memory(vm, 1), 0);
	vm_negotiate(vm);
	for (uint32_t q = 0; q < VM_QUEUES; q++) {
		VH_OPTS(vh_frontend_ring, ring);

		ring.num = VM_QUEUE_SIZE;
		vh_driver_queue_addresses(vm->driver[q], &ring.descriptors,
					  &ring.available, &ring.used);
		assert_int_equal(vh_frontend_set_ring(vm->frontend, q, &ring),
				 0);
		assert_int_equal(
		    vh_frontend_set_base(vm->frontend, q, bases[q]), 0);
		assert_int_equal(
		    vh_frontend_set_call(vm->frontend, q, vm->call[q]), 0);
	}
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

static void test_frontend_life_wrong_orders(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = vm->frontend;
	VH_OPTS(vh_frontend_ring, ring);

	ring.num = 16;
	vm_assert_fault(vm, vh_frontend_start(f), -EINVAL,
			"start: features weren't negotiated");
	vm_assert_fault(vm, vh_frontend_set_ring(f, 0, &ring), -EINVAL,
			"set_ring: features weren't negotiated");
	vm_negotiate(vm);
	vm_assert_fault(vm, vh_frontend_start(f), -EINVAL,
			"start: no ring was set");
	vm_set_rings(vm);
	vm_assert_fault(vm, vh_frontend_start(f), -EFAULT,
			"descriptor table of queue 0, 0x400 bytes at "
			"0x10000000, is in none of the 0 memory regions");
	assert_int_equal(vh_frontend_fault(f)->queue, 0);
	vm_assert_fault(vm, vh_frontend_negotiate(f, vm->opts.features), -EBUSY,
			"reset first");
	assert_int_equal(vm_set_memory(vm, 1), 0);
	assert_int_equal(vh_frontend_start(f), 0);
	vm_assert_fault(vm, vh_frontend_start(f), -EBUSY, "started already");
	vm_assert_fault(vm, vh_frontend_set_ring(f, 0, &ring), -EBUSY,
			"is started");
	vm_works(vm);
}

static void test_frontend_life_refuses_rings(void **state)
{
	static const struct {
		uint32_t num;
		vh_gpa descriptors, available, used;
		int error;
		const char *words;
	} cases[] = {
	    {0, 0, 0, 0, -EINVAL, "queue 1 of 0 descriptors"},
	    {3, 0, 0, 0, -EINVAL, "power of two"},
	    {65536, 0, 0, 0, -EINVAL, "up to 32768"},
	    {16, 8, 0, 0, -EFAULT, "descriptor table of queue 1 at 0x8"},
	    {16, 16, 1, 0, -EFAULT, "available ring of queue 1 at 0x1"},
	    {16, 16, 2, 2, -EFAULT, "used ring of queue 1 at 0x2"},
	};
	struct vm *vm = *state;

	vm_negotiate(vm);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		VH_OPTS(vh_frontend_ring, ring);

		ring.num = cases[i].num;
		ring.descriptors = cases[i].descriptors;
		ring.available = cases[i].available;
		ring.used = cases[i].used;
		vm_assert_fault(vm,
				vh_frontend_set_ring(vm->frontend, 1, &ring),
				cases[i].error, cases[i].words);
		assert_int_equal(vh_frontend_fault(vm->frontend)->queue, 1);
	}
	vm_assert_fault(vm, vh_frontend_start(vm->frontend), -EINVAL,
			"no ring was set");
}

static void test_frontend_life_no_such_queue(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = vm->frontend;
	VH_OPTS(vh_frontend_ring, ring);
	uint32_t base;

	vm_negotiate(vm);
	vm_assert_fault(vm, vh_frontend_set_ring(f, 2, &ring), -ERANGE,
			"set_ring: queue 2, there are 2");
	vm_assert_fault(vm, vh_frontend_set_call(f, 2, -1), -ERANGE, "queue 2");
	vm_assert_fault(vm, vh_frontend_enable(f, 2, true), -ERANGE, "queue 2");
	vm_assert_fault(vm, vh_frontend_get_base(f, 2, &base), -ERANGE, "2");
	vm_assert_fault(vm, vh_frontend_set_base(f, 9, 0), -ERANGE, "queue 9");
	assert_int_equal(vh_frontend_kick_fd(f, 2), -ERANGE);
	vm_assert_fault(vm, vh_frontend_enable(f, 1, true), -EINVAL,
			"queue 1 wasn't set");
	vm_assert_fault(vm, vh_frontend_get_base(f, 1, &base), -EINVAL,
			"queue 1 wasn't set");
	vm_set_rings(vm);
	vm_assert_fault(vm, vh_frontend_set_base(f, 1, 0x10000), -EINVAL,
			"bits above 15");
	vm_assert_fault(vm, vh_frontend_set_call(f, 0, vm->fd), -EINVAL,
			"set_call: queue 0: no eventfd");
}

static void test_frontend_life_features(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = vm->frontend;

	assert_int_equal(vh_frontend_features(f), VM_FEATURES | VH_F_IN_ORDER);
	vm_assert_fault(vm, vh_frontend_negotiate(f, VH_F_EVENT_IDX), -EINVAL,
			"required 0x100000000");
	vm_assert_fault(vm,
			vh_frontend_negotiate(f, VH_F_VERSION_1 | VH_F_LOG_ALL),
			-EINVAL, "negotiate: features 0x104000000");
	assert_string_equal(vh_frontend_fault(f)->section, "Feature bits");
	vm->flaky->refuses_features = true;
	vm_assert_fault(vm, vh_frontend_negotiate(f, VH_F_VERSION_1), -EINVAL,
			"without FEATURES_OK");
	assert_string_equal(vh_frontend_fault(f)->section,
			    "Device Initialization");
	vm_assert_fault(vm, vh_frontend_start(f), -EINVAL,
			"weren't negotiated");
	vm->flaky->refuses_features = false;
	vm_boot(vm);
	vm_works(vm);
}

static void test_frontend_life_refuses_options(void **state)
{
	struct vm *vm = *state;
	struct vh_backend *backend = &vm->flaky->backend;
	struct vh_frontend *f = NULL;
	VH_OPTS(vh_frontend_opts, opts);
	struct vh_fault fault;

	vh_frontend_free(vm->frontend);
	vm->frontend = NULL;
	assert_int_equal(vh_frontend_new(backend, &opts, &fault, &f), -EINVAL);
	assert_non_null(strstr(fault.text, "0 queues"));
	opts.num_queues = VM_QUEUES + 1;
	assert_int_equal(vh_frontend_new(backend, &opts, &fault, &f), -ERANGE);
	assert_non_null(strstr(fault.text, "3 queues are wanted, the back-end "
					   "has 2"));
	opts.num_queues = VM_QUEUES;
	opts.required = VH_F_VERSION_1;
	assert_int_equal(vh_frontend_new(backend, &opts, &fault, &f), -EINVAL);
	opts.features = opts.required = VH_F_VERSION_1 | VH_F_ACCESS_PLATFORM;
	assert_int_equal(vh_frontend_new(backend, &opts, &fault, &f),
			 -EOPNOTSUPP);
	assert_non_null(strstr(fault.text, "lacks 0x200000000"));
	assert_int_equal(fault.code, VH_FAULT_FEATURES);
	opts.size = 4;
	assert_int_equal(vh_frontend_new(backend, &opts, NULL, &f), -EINVAL);
	assert_null(f);
	vh_frontend_free(NULL);
}

/* Whatever descriptor is the first that can't be had, no other is lost. */
static void test_frontend_life_without_descriptors(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = NULL;
	VH_OPTS(vh_frontend_opts, opts);
	struct rlimit before, few;
	struct vh_fault fault;
	int first, r;

	vh_frontend_free(vm->frontend);
	vm->frontend = NULL;
	first = dup(vm->fd);
	assert_return_code(first, errno);
	close(first);
	opts.num_queues = VM_QUEUES;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	for (few.rlim_cur = 0;; few.rlim_cur++) {
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		r = vh_frontend_new(&vm->flaky->backend, &opts, &fault, &f);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (r == 0)
			break;
		assert_int_equal(r, -EMFILE);
		assert_int_equal(fault.error, -EMFILE);
		assert_return_code(fcntl(0, F_GETFD), errno);
		assert_return_code(fcntl(vm->fd, F_GETFD), errno);
	}
	assert_true(few.rlim_cur > (rlim_t)first);
	vh_frontend_free(f);
}

static void test_frontend_life_call_descriptor_changes(void **state)
{
	struct vm *vm = *state;
	int masked = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t count;

	assert_return_code(masked, errno);
	vm_boot(vm);
	vm_works(vm);
	assert_int_equal(vh_frontend_set_call(vm->frontend, 0, masked), 0);
	vm_send(vm, 0, VM_BUFFERS);
	while (read(masked, &count, 8) < 0) {
		assert_int_equal(errno, EAGAIN);
		vm_dispatch(vm);
	}
	assert_int_equal(vh_frontend_set_call(vm->frontend, 0, -1), 0);
	assert_int_equal(vh_frontend_set_call(vm->frontend, 0, vm->call[0]), 0);
	vm_receive(vm, 0, VM_BUFFERS);
	vm_works(vm);
	close(masked);
}

static void test_frontend_life_kicks(void **state)
{
	struct vm *vm = *state;
	uint64_t count;
	int fd = vh_frontend_kick_fd(vm->frontend, 1);

	assert_int_equal(vh_frontend_kick(vm->frontend, 1), 0);
	assert_int_equal(vh_frontend_kick(vm->frontend, 1), 0);
	assert_int_equal(read(fd, &count, 8), 8);
	assert_int_equal(count, 2);
	assert_int_equal(vh_frontend_kick(vm->frontend, VM_QUEUES), -ERANGE);
}

/* A write would wait for a back-end that doesn't read. */
static void test_frontend_life_kick_does_not_wait(void **state)
{
	struct vm *vm = *state;
	int fd = vh_frontend_kick_fd(vm->frontend, 0);

	vm_boot(vm);
	vm_works(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	vm_spoil(fd, true);
	assert_int_equal(vh_frontend_kick(vm->frontend, 0), 0);
	assert_int_equal(poll(&(struct pollfd){fd, POLLIN, 0}, 1, 0), 1);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

static void test_frontend_life_disabled_rings_wait(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	assert_int_equal(vh_frontend_enable(vm->frontend, 1, false), 0);
	vm_send(vm, 1, VM_BUFFERS + 0x1000);
	vm_echo(vm, 0, VM_BUFFERS);
	/* It stays so over a stop. */
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_echo(vm, 0, VM_BUFFERS);
	assert_int_equal(vh_driver_queue_inflight(vm->driver[1]), 1);
	assert_int_equal(vh_frontend_enable(vm->frontend, 1, true), 0);
	vm_receive(vm, 1, VM_BUFFERS + 0x1000);
	vm_works(vm);
}

static int set_up_with(void **state, uint64_t hides, bool own_loop)
{
	static struct vm vm;
	const struct vm_opts opts = {.hides = hides, .own_loop = own_loop};

	vm_make(&vm, &opts);
	*state = &vm;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, 0, false);
}

static int set_up_loop(void **state)
{
	return set_up_with(state, 0, true);
}

static int set_up_bare(void **state)
{
	return set_up_with(state,
			   VH_CAP_STATUS | VH_CAP_RESET | VH_CAP_REGIONS |
			       VH_CAP_INFLIGHT,
			   false);
}

static int tear_down(void **state)
{
	vm_free(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_BARE(name)                                                        \
	cmocka_unit_test_setup_teardown(name, set_up_bare, tear_down)
#define TEST_LOOP(name)                                                        \
	cmocka_unit_test_setup_teardown(name, set_up_loop, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_life_boots_and_works),
	    TEST(test_frontend_life_order_is_that_of_virtio),
	    TEST_BARE(test_frontend_life_without_status),
	    TEST(test_frontend_life_stop_keeps_positions),
	    TEST_BARE(test_frontend_life_stop_keeps_positions),
	    TEST_LOOP(test_frontend_life_stop_keeps_positions),
	    TEST(test_frontend_life_packed_rings),
	    TEST_BARE(test_frontend_life_packed_rings),
	    TEST(test_frontend_life_pause_and_resume),
	    TEST_LOOP(test_frontend_life_pause_and_resume),
	    TEST(test_frontend_life_starts_while_paused),
	    TEST(test_frontend_life_reset_begins_again),
	    TEST(test_frontend_life_moves_to_another_vm),
	    TEST(test_frontend_life_wrong_orders),
	    TEST(test_frontend_life_refuses_rings),
	    TEST(test_frontend_life_no_such_queue),
	    TEST(test_frontend_life_features),
	    TEST(test_frontend_life_refuses_options),
	    TEST(test_frontend_life_without_descriptors),
	    TEST(test_frontend_life_call_descriptor_changes),
	    TEST(test_frontend_life_kicks),
	    TEST(test_frontend_life_kick_does_not_wait),
	    TEST(test_frontend_life_disabled_rings_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
