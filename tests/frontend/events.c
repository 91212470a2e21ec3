/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the back-end says comes out of the caller's own loop, once. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm.h"

static bool readable(const struct vm *vm, int timeout_ms)
{
	struct pollfd fd = {vh_frontend_fd(vm->frontend), POLLIN, 0};

	return poll(&fd, 1, timeout_ms) == 1;
}

static void wait_and_dispatch(struct vm *vm)
{
	assert_true(readable(vm, 30000));
	vm_dispatch(vm);
}

static void test_frontend_events_config_changed(void **state)
{
	struct vm *vm = *state;

	assert_false(readable(vm, 0));
	vh_device_config_changed(vm->flaky->real);
	vh_device_config_changed(vm->flaky->real);
	wait_and_dispatch(vm);
	assert_int_equal(vm->config_changes, 1);
	assert_false(readable(vm, 0));
	vm_dispatch(vm);
	assert_int_equal(vm->config_changes, 1);
}

/* The driver breaks a rule: its available index jumps. */
static void break_ring(struct vm *vm, uint32_t queue)
{
	VH_OPTS(vh_frontend_ring, ring);
	uint16_t *available;
	uint64_t one = 1;

	vh_driver_queue_addresses(vm->driver[queue], &ring.descriptors,
				  &ring.available, &ring.used);
	available = vm_at(vm, ring.available);
	__atomic_store_n(&available[1], (uint16_t)(available[1] + 1000),
			 __ATOMIC_RELEASE);
	assert_int_equal(
	    write(vh_frontend_kick_fd(vm->frontend, queue), &one, 8), 8);
}

static void test_frontend_events_ring_fault(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	break_ring(vm, 1);
	while (!vm->faults)
		wait_and_dispatch(vm);
	assert_int_equal(vm->fault_queue, 1);
	assert_int_equal(vm->fault.queue, 1);
	assert_int_equal(vm->fault.code, VH_FAULT_RING_INDEX);
	vm_echo(vm, 0, VM_BUFFERS);
	/* It works again after a reset. */
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	vm_boot(vm);
	vm_works(vm);
	vm_dispatch(vm);
	assert_int_equal(vm->faults, 1);
	break_ring(vm, 0);
	while (vm->faults == 1)
		wait_and_dispatch(vm);
	assert_int_equal(vm->fault_queue, 0);
}

/* A back-end that has nothing but the err descriptor. */
static void test_frontend_events_ring_fault_by_descriptor(void **state)
{
	struct vm *vm = *state;

	assert_int_equal(vh_backend_set_events(vm->flaky->real, NULL, NULL), 0);
	vm_boot(vm);
	vm_works(vm);
	break_ring(vm, 1);
	while (!vm->faults)
		wait_and_dispatch(vm);
	assert_int_equal(vm->fault_queue, 1);
	assert_int_equal(vm->fault.code, VH_FAULT_BROKEN);
	assert_false(readable(vm, 0));
}

static void test_frontend_events_gone(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	flaky_die(vm->flaky);
	/* Noted by a step already, and told nevertheless. */
	assert_int_equal(vm_set_memory(vm, 1), 0);
	wait_and_dispatch(vm);
	assert_int_equal(vm->gone, 1);
	assert_false(readable(vm, 0));
	vm_dispatch(vm);
	assert_int_equal(vm->gone, 1);
}

/* The device runs in our loop, by the same descriptor. */
static void test_frontend_events_own_loop(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	vm_send(vm, 0, VM_BUFFERS);
	assert_true(readable(vm, 30000));
	vm_dispatch(vm);
	vm_receive(vm, 0, VM_BUFFERS);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
	vm->flaky->fail_op = "dispatch";
	vm_send(vm, 0, VM_BUFFERS);
	assert_true(readable(vm, 30000));
	assert_int_equal(vh_frontend_dispatch(vm->frontend), -EIO);
	flaky_clear(vm->flaky);
	vm_receive(vm, 0, VM_BUFFERS);
}

static void reconnect_at_once(void *user)
{
	struct vm *vm = user;

	vm->gone++;
	assert_int_equal(
	    vh_frontend_reconnect(vm->frontend, &vm_another(vm)->backend), 0);
}

static void test_frontend_events_reconnect_from_within(void **state)
{
	struct vm *vm = *state;
	const struct vh_frontend_events events = {
	    .size = sizeof(events),
	    .backend_gone = reconnect_at_once,
	};
	VH_OPTS(vh_frontend_opts, opts);

	vh_frontend_free(vm->frontend);
	opts.num_queues = VM_QUEUES;
	opts.features = VM_FEATURES;
	opts.inflight = true;
	opts.events = &events;
	opts.user = vm;
	assert_int_equal(
	    vh_frontend_new(&vm->flaky->backend, &opts, NULL, &vm->frontend),
	    0);
	vm_boot(vm);
	for (unsigned int i = 1; i < 4; i++) {
		vm_works(vm);
		vm_send(vm, 0, VM_BUFFERS);
		flaky_die(vm->flaky);
		wait_and_dispatch(vm);
		assert_int_equal(vm->gone, i);
		vm_receive(vm, 0, VM_BUFFERS);
	}
	vm_works(vm);
}

struct asked {
	unsigned int misses, calls, maps;
	vh_gpa iova;
};

static void on_miss(void *user, vh_gpa iova, uint32_t access)
{
	struct asked *asked = user;

	asked->misses++;
	asked->iova = iova;
	assert_int_equal(access, VH_ACCESS_READ);
}

static int on_call(void *user, uint32_t queue)
{
	struct asked *asked = user;

	asked->calls++;
	return queue == 1 ? 0 : -EINVAL;
}

static int on_map(void *user, const struct vh_shmem_map *map, int fd)
{
	struct asked *asked = user;

	(void)map;
	asked->maps++;
	return fd == 7 ? 0 : -EBADF;
}

/* Those that have a receiver get its answer, the others are refused. */
static void test_frontend_events_requests(void **state)
{
	struct vm *vm = *state;
	struct vh_backend *backend = &vm->flaky->backend;
	struct asked asked = {0};
	VH_OPTS(vh_backend_events, requests);
	VH_OPTS(vh_frontend_opts, opts);
	struct vh_shmem_map map = {0};
	uint8_t uuid[16] = {0};

	assert_true(vhi_backend_shmem_map(backend, &map, 7) < 0);
	assert_true(vhi_backend_iotlb_miss(backend, 1, VH_ACCESS_READ) < 0);
	vh_frontend_free(vm->frontend);
	vm->frontend = NULL;
	requests.iotlb_miss = on_miss;
	requests.vring_call = on_call;
	requests.shmem_map = on_map;
	opts.num_queues = VM_QUEUES;
	opts.features = VM_FEATURES;
	opts.requests = &requests;
	opts.user = &asked;
	assert_int_equal(vh_frontend_new(backend, &opts, NULL, &vm->frontend),
			 0);
	assert_int_equal(
	    vhi_backend_iotlb_miss(backend, 0x1000, VH_ACCESS_READ), 0);
	assert_int_equal(asked.misses, 1);
	assert_int_equal(asked.iova, 0x1000);
	assert_int_equal(vhi_backend_vring_call(backend, 1), 0);
	assert_int_equal(vhi_backend_vring_call(backend, 0), -EINVAL);
	assert_int_equal(asked.calls, 2);
	assert_int_equal(vhi_backend_shmem_map(backend, &map, 7), 0);
	assert_int_equal(vhi_backend_shmem_map(backend, &map, 8), -EBADF);
	assert_int_equal(asked.maps, 2);
	assert_true(vhi_backend_shmem_unmap(backend, &map) < 0);
	assert_true(vhi_backend_shared_object_add(backend, uuid) < 0);
	vh_frontend_free(vm->frontend);
	vm->frontend = NULL;
	assert_true(vhi_backend_shmem_map(backend, &map, 7) < 0);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, vm_set_up, vm_tear_down)
#define TEST_LOOP(name)                                                        \
	cmocka_unit_test_setup_teardown(name, vm_set_up_loop, vm_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_events_config_changed),
	    TEST(test_frontend_events_ring_fault),
	    TEST(test_frontend_events_ring_fault_by_descriptor),
	    TEST(test_frontend_events_gone),
	    TEST_LOOP(test_frontend_events_own_loop),
	    TEST(test_frontend_events_reconnect_from_within),
	    TEST(test_frontend_events_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
