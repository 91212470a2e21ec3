/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm.h"

#define ECHO_BYTES 512
#define TIMEOUT_MS 30000

static void on_config_changed(void *user)
{
	struct vm *vm = user;

	vm->config_changes++;
}

static void on_ring_fault(void *user, uint32_t queue,
			  const struct vh_fault *fault)
{
	struct vm *vm = user;

	vm->faults++;
	vm->fault = *fault;
	vm->fault_queue = queue;
}

static void on_gone(void *user)
{
	struct vm *vm = user;

	vm->gone++;
}

static void make_memory(struct vm *vm)
{
	size_t size = VM_REGIONS * VM_REGION_SIZE;

	vm->fd = memfd_create("vm", MFD_CLOEXEC);
	assert_return_code(vm->fd, errno);
	assert_return_code(ftruncate(vm->fd, (off_t)size), errno);
	vm->memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->fd, 0);
	assert_ptr_not_equal(vm->memory, MAP_FAILED);
	for (unsigned int i = 0; i < VM_REGIONS; i++)
		vm->regions[i] = (struct vh_region){
		    .guest = VM_GUEST(i),
		    .size = VM_REGION_SIZE,
		    .user.raw = (uintptr_t)vm->memory + i * VM_REGION_SIZE,
		    .fd_offset = i * VM_REGION_SIZE,
		    .fd = vm->fd,
		};
}

struct flaky *vm_another(struct vm *vm)
{
	const struct echo_opts opts = {
	    .num_queues = VM_QUEUES,
	    .own_loop = vm->opts.own_loop,
	    .features = VH_F_IN_ORDER,
	};
	struct vh_backend *backend;

	if (vm->flaky) {
		assert_true(vm->num_before < 8);
		vm->echoes_before[vm->num_before] = vm->echo;
		vm->before[vm->num_before++] = vm->flaky;
	}
	assert_int_equal(echo_new(&opts, &vm->echo, &backend), 0);
	vm->flaky = flaky_new(backend, vm->opts.hides);
	assert_non_null(vm->flaky);
	return vm->flaky;
}

void vm_die(struct vm *vm)
{
	unsigned int gone = vm->gone;

	flaky_die(vm->flaky);
	vm_dispatch(vm);
	assert_int_equal(vm->gone, gone + 1);
}

int vm_reconnect(struct vm *vm)
{
	return vh_frontend_reconnect(vm->frontend, &vm_another(vm)->backend);
}

void vm_drop_another(struct vm *vm)
{
	vh_backend_free(&vm->flaky->backend);
	vm->flaky = vm->before[--vm->num_before];
	vm->echo = vm->echoes_before[vm->num_before];
}

void vm_make(struct vm *vm, const struct vm_opts *opts)
{
	struct vh_frontend_events events = {
	    .size = sizeof(events),
	    .config_changed = on_config_changed,
	    .ring_fault = on_ring_fault,
	    .backend_gone = on_gone,
	};
	VH_OPTS(vh_frontend_opts, front);
	struct vh_fault fault;

	*vm = (struct vm){.opts = *opts};
	if (!vm->opts.features)
		vm->opts.features = VH_F_VERSION_1 | VH_F_EVENT_IDX;
	make_memory(vm);
	vm_another(vm);
	for (int q = 0; q < VM_QUEUES; q++) {
		vm->call[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_return_code(vm->call[q], errno);
	}
	front.num_queues = VM_QUEUES;
	front.features = VM_FEATURES | VH_F_IN_ORDER;
	front.required = VH_F_VERSION_1;
	front.inflight = opts->inflight;
	front.events = &events;
	front.user = vm;
	assert_int_equal(
	    vh_frontend_new(&vm->flaky->backend, &front, &fault, &vm->frontend),
	    0);
}

static void free_drivers(struct vm *vm)
{
	for (int q = 0; q < VM_QUEUES; q++) {
		vh_driver_queue_free(vm->driver[q]);
		vm->driver[q] = NULL;
	}
}

void vm_free(struct vm *vm)
{
	vh_frontend_free(vm->frontend);
	if (vm->flaky)
		vh_backend_free(&vm->flaky->backend);
	for (unsigned int i = 0; i < vm->num_before; i++) {
		echo_release(vm->echoes_before[i]);
		vh_backend_free(&vm->before[i]->backend);
	}
	free_drivers(vm);
	for (int q = 0; q < VM_QUEUES; q++)
		close(vm->call[q]);
	munmap(vm->memory, VM_REGIONS * VM_REGION_SIZE);
	close(vm->fd);
}

int vm_set_memory(struct vm *vm, unsigned int count)
{
	return vh_frontend_set_memory(vm->frontend, vm->regions, count);
}

void vm_negotiate(struct vm *vm)
{
	assert_int_equal(vh_frontend_negotiate(vm->frontend, vm->opts.features),
			 0);
}

void vm_set_rings(struct vm *vm)
{
	free_drivers(vm);
	for (uint32_t q = 0; q < VM_QUEUES; q++) {
		VH_OPTS(vh_driver_queue_opts, opts);
		VH_OPTS(vh_frontend_ring, ring);

		opts.index = q;
		opts.num = VM_QUEUE_SIZE;
		opts.features = vm->opts.features;
		opts.ring_at = VM_GUEST(0) + q * 0x10000;
		opts.ring = vm_at(vm, opts.ring_at);
		assert_int_equal(
		    vh_driver_queue_new(&opts, NULL, &vm->driver[q]), 0);
		ring.num = VM_QUEUE_SIZE;
		vh_driver_queue_addresses(vm->driver[q], &ring.descriptors,
					  &ring.available, &ring.used);
		assert_int_equal(vh_frontend_set_ring(vm->frontend, q, &ring),
				 0);
		assert_int_equal(
		    vh_frontend_set_call(vm->frontend, q, vm->call[q]), 0);
	}
}

void vm_boot(struct vm *vm)
{
	assert_int_equal(vm_set_memory(vm, 2), 0);
	vm_negotiate(vm);
	vm_set_rings(vm);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
}

void *vm_at(const struct vm *vm, vh_gpa guest)
{
	for (unsigned int i = 0; i < VM_REGIONS; i++)
		if (guest >= VM_GUEST(i) &&
		    guest - VM_GUEST(i) < VM_REGION_SIZE)
			return vm->memory + i * VM_REGION_SIZE +
			       (guest - VM_GUEST(i));
	return NULL;
}

void vm_dispatch(struct vm *vm)
{
	assert_return_code(vh_frontend_dispatch(vm->frontend), EIO);
}

void vm_spoil(int fd, bool fill)
{
	struct pollfd readable = {fd, POLLIN, 0};
	uint64_t number = UINT64_MAX - 1;

	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK),
			 0);
	if (poll(&readable, 1, 0) == 1)
		assert_int_equal(read(fd, &(uint64_t){0}, 8), 8);
	if (fill)
		assert_int_equal(write(fd, &number, 8), 8);
}

static void fill(uint8_t *bytes, unsigned int seed)
{
	for (unsigned int i = 0; i < ECHO_BYTES; i++)
		bytes[i] = (uint8_t)(seed * 31 + i * 7 + i / 256);
}

void vm_send(struct vm *vm, uint32_t queue, vh_gpa area)
{
	struct iovec readable = {(void *)(uintptr_t)area, ECHO_BYTES};
	struct iovec writable = {(void *)(uintptr_t)(area + ECHO_BYTES),
				 ECHO_BYTES};

	fill(vm_at(vm, area), ++vm->echoes[queue]);
	memset(vm_at(vm, area + ECHO_BYTES), 0, ECHO_BYTES);
	assert_int_equal(vh_driver_queue_add(vm->driver[queue], &readable, 1,
					     &writable, 1,
					     (void *)(uintptr_t)area),
			 0);
	if (vh_driver_queue_publish(vm->driver[queue]))
		assert_int_equal(vh_frontend_kick(vm->frontend, queue), 0);
}

static void wait_for_call(struct vm *vm, uint32_t queue)
{
	struct pollfd fds[2] = {
	    {.fd = vm->call[queue], .events = POLLIN},
	    {.fd = vh_frontend_fd(vm->frontend), .events = POLLIN},
	};
	uint64_t count;

	/* Only where the device needs it: the guest may be another thread. */
	assert_in_range(poll(fds, vm->opts.own_loop ? 2 : 1, TIMEOUT_MS), 1, 2);
	if (fds[1].revents)
		vm_dispatch(vm);
	if (fds[0].revents)
		assert_int_equal(read(vm->call[queue], &count, 8), 8);
}

void vm_receive(struct vm *vm, uint32_t queue, vh_gpa area)
{
	struct vh_driver_queue *driver = vm->driver[queue];
	struct vh_driver_used used;
	int n = vh_driver_queue_collect(driver, &used, 1);

	while (n == 0) {
		if (!vh_driver_queue_enable_calls(driver))
			wait_for_call(vm, queue);
		n = vh_driver_queue_collect(driver, &used, 1);
	}
	assert_int_equal(n, 1);
	assert_int_equal((uintptr_t)used.token, area);
	assert_int_equal(used.written, ECHO_BYTES);
	assert_memory_equal(vm_at(vm, area), vm_at(vm, area + ECHO_BYTES),
			    ECHO_BYTES);
}

void vm_echo(struct vm *vm, uint32_t queue, vh_gpa area)
{
	vm_send(vm, queue, area);
	vm_receive(vm, queue, area);
}

void vm_works(struct vm *vm)
{
	for (uint32_t q = 0; q < VM_QUEUES; q++)
		for (int i = 0; i < 3; i++)
			vm_echo(vm, q, VM_BUFFERS + q * 0x1000);
}

void vm_assert_fault(const struct vm *vm, int r, int error, const char *words)
{
	const struct vh_fault *fault = vh_frontend_fault(vm->frontend);

	assert_int_equal(r, error);
	assert_int_equal(fault->error, error);
	assert_int_not_equal(fault->code, VH_FAULT_NONE);
	if (!strstr(fault->text, words))
		fail_msg("\"%s\" isn't in \"%s\"", words, fault->text);
}

static int set_up(void **state, bool own_loop)
{
	static struct vm vm;
	const struct vm_opts opts = {.own_loop = own_loop};

	vm_make(&vm, &opts);
	*state = &vm;
	return 0;
}

int vm_set_up(void **state)
{
	return set_up(state, false);
}

int vm_set_up_loop(void **state)
{
	return set_up(state, true);
}

int vm_tear_down(void **state)
{
	vm_free(*state);
	return 0;
}
