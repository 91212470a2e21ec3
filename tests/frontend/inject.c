/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Every call of every step fails once, and then it goes on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vm.h"

/* What vh_frontend_new() asks, one failure after another. */
static void test_frontend_inject_new(void **state)
{
	struct vm *vm = *state;
	struct vh_frontend *f = NULL;
	VH_OPTS(vh_frontend_opts, opts);
	struct vh_fault fault;
	unsigned int fails = 0;
	int r;

	vh_frontend_free(vm->frontend);
	vm->frontend = NULL;
	opts.num_queues = VM_QUEUES;
	opts.features = VM_FEATURES;
	do {
		flaky_clear(vm->flaky);
		vm->flaky->fail_at = ++fails;
		r = vh_frontend_new(&vm->flaky->backend, &opts, &fault, &f);
		if (r < 0) {
			assert_int_equal(r, -EIO);
			assert_null(f);
			assert_string_equal(fault.section, "a section");
			assert_ptr_equal(strstr(fault.text, "new: "),
					 fault.text);
		}
	} while (r < 0);
	/* vh_backend_fd() may fail: there may be nothing to dispatch */
	assert_int_equal(fails, 4);
	vh_frontend_free(f);
}

static bool runs(const struct vm *vm)
{
	uint32_t base;

	return vh_frontend_get_base(vm->frontend, 0, &base) == -EBUSY ||
	       vh_frontend_get_base(vm->frontend, 1, &base) == -EBUSY;
}

static void test_frontend_inject_negotiate(void **state)
{
	struct vm *vm = *state;
	unsigned int fails = 0;
	int r;

	do {
		flaky_clear(vm->flaky);
		vm->flaky->fail_at = ++fails;
		r = vh_frontend_negotiate(vm->frontend, vm->opts.features);
		if (r < 0) {
			vm_assert_fault(vm, r, -EIO, "negotiate: ");
			assert_int_equal(vh_frontend_start(vm->frontend),
					 -EINVAL);
		}
	} while (r < 0);
	flaky_clear(vm->flaky);
	assert_int_equal(vm_set_memory(vm, 1), 0);
	vm_set_rings(vm);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

/* start, stopped before by a step of another name */
static void start_with_failures(struct vm *vm, const char *step,
				int (*start)(struct vh_frontend *f))
{
	unsigned int fails = 0;
	char words[64];
	int r;

	do {
		flaky_clear(vm->flaky);
		vm->flaky->fail_at = ++fails;
		r = start(vm->frontend);
		/* a back-end may have no use for err descriptors */
		if (r == 0)
			break;
		strcpy(words, step);
		vm_assert_fault(vm, r, -EIO, strcat(words, ": "));
		assert_false(runs(vm));
	} while (r < 0);
	assert_in_range(fails, 7, 64);
	flaky_clear(vm->flaky);
	vm_works(vm);
}

static void test_frontend_inject_start(void **state)
{
	struct vm *vm = *state;

	assert_int_equal(vm_set_memory(vm, 1), 0);
	vm_negotiate(vm);
	vm_set_rings(vm);
	start_with_failures(vm, "start", vh_frontend_start);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	start_with_failures(vm, "start", vh_frontend_start);
	assert_int_equal(vh_frontend_pause(vm->frontend), 0);
	start_with_failures(vm, "resume", vh_frontend_resume);
}

static void test_frontend_inject_words(void **state)
{
	struct vm *vm = *state;

	assert_int_equal(vm_set_memory(vm, 1), 0);
	vm_negotiate(vm);
	vm_set_rings(vm);
	vm->flaky->fail_op = "set_vring_addr";
	vm_assert_fault(vm, vh_frontend_start(vm->frontend), -EIO,
			"start: set_vring_addr of queue 0: made to fail");
	assert_int_equal(vh_frontend_fault(vm->frontend)->queue, 0);
	assert_int_equal(vh_frontend_fault(vm->frontend)->code,
			 VH_FAULT_REQUEST);
	assert_string_equal(vh_frontend_fault(vm->frontend)->section,
			    "a section");
	vm->flaky->fail_op = NULL;
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	assert_string_equal(vh_frontend_fault(vm->frontend)->text, "");
}

/* A ring that doesn't say where it is is reset; its used index tells. */
static void test_frontend_inject_stop(void **state)
{
	struct vm *vm = *state;
	unsigned int resets = 0;

	vm_boot(vm);
	for (unsigned int fails = 1; fails < 4; fails++) {
		vm_works(vm);
		flaky_clear(vm->flaky);
		vm->flaky->fail_at = fails;
		assert_int_equal(vh_frontend_stop(vm->frontend), 0);
		assert_false(runs(vm));
		resets += flaky_count(vm->flaky, "reset_device");
		flaky_clear(vm->flaky);
		assert_int_equal(vh_frontend_start(vm->frontend), 0);
	}
	assert_int_equal(resets, 2);
	vm_works(vm);
}

static void test_frontend_inject_back_end_without_positions(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm->flaky->no_base = true;
	vm_works(vm);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
	assert_int_equal(vh_frontend_pause(vm->frontend), 0);
	assert_int_equal(vh_frontend_resume(vm->frontend), 0);
	vm_works(vm);
	assert_int_equal(vh_frontend_reset(vm->frontend), 0);
	vm_boot(vm);
	vm_works(vm);
}

/* Neither a position nor a reset: it goes on as if nothing had been asked. */
static void test_frontend_inject_stop_is_refused(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm_works(vm);
	vm->flaky->fail_op = "get_vring_base";
	vm_assert_fault(vm, vh_frontend_stop(vm->frontend), -EIO,
			"stop: get_vring_base of queue 0: made to fail");
	vm_assert_fault(vm, vh_frontend_pause(vm->frontend), -EIO, "pause: ");
	vm_assert_fault(vm, vh_frontend_reset(vm->frontend), -EIO, "reset: ");
	assert_true(runs(vm));
	vm_works(vm);
	flaky_clear(vm->flaky);
	assert_int_equal(vh_frontend_stop(vm->frontend), 0);
	assert_int_equal(vh_frontend_start(vm->frontend), 0);
	vm_works(vm);
}

static void test_frontend_inject_reset(void **state)
{
	struct vm *vm = *state;
	unsigned int fails = 0;
	int r;

	do {
		vm_boot(vm);
		vm_works(vm);
		flaky_clear(vm->flaky);
		vm->flaky->fail_at = ++fails;
		r = vh_frontend_reset(vm->frontend);
		assert_false(runs(vm));
		assert_true(r == 0 || r == -EIO);
		flaky_clear(vm->flaky);
	} while (fails < 6);
	vm_boot(vm);
	vm_works(vm);
}

static void test_frontend_inject_setters(void **state)
{
	struct vm *vm = *state;

	vm_boot(vm);
	vm->flaky->fail_op = "set_vring_call";
	vm_assert_fault(vm, vh_frontend_set_call(vm->frontend, 0, -1), -EIO,
			"set_call: set_vring_call of queue 0");
	vm->flaky->fail_op = "set_vring_enable";
	vm_assert_fault(vm, vh_frontend_enable(vm->frontend, 1, false), -EIO,
			"enable: set_vring_enable of queue 1");
	vm_works(vm);
}

static int set_up_with(void **state, uint64_t hides)
{
	static struct vm vm;
	const struct vm_opts opts = {.hides = hides, .inflight = true};

	vm_make(&vm, &opts);
	*state = &vm;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, 0);
}

static int set_up_bare(void **state)
{
	return set_up_with(state, VH_CAP_STATUS | VH_CAP_RESET |
				      VH_CAP_REGIONS | VH_CAP_INFLIGHT);
}

static int tear_down(void **state)
{
	vm_free(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_BARE(name)                                                        \
	cmocka_unit_test_setup_teardown(name, set_up_bare, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_inject_new),
	    TEST(test_frontend_inject_negotiate),
	    TEST(test_frontend_inject_start),
	    TEST_BARE(test_frontend_inject_start),
	    TEST(test_frontend_inject_words),
	    TEST(test_frontend_inject_stop),
	    TEST(test_frontend_inject_back_end_without_positions),
	    TEST_BARE(test_frontend_inject_stop_is_refused),
	    TEST(test_frontend_inject_reset),
	    TEST(test_frontend_inject_setters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
