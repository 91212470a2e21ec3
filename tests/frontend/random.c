/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Steps in any order, some of which fail, against a model of what must be so
 * afterwards.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vm.h"

#define LIVES 30
#define STEPS 60

struct model {
	struct vm vm;
	uint64_t random;
	unsigned int memory;
	bool negotiated, rings, started, paused, gone;
	bool hidden; /* places of packed rings are in the area */
	bool pending[VM_QUEUES];
};

static unsigned int draw(struct model *m, unsigned int bound)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int)(m->random >> 33) % bound;
}

static bool runs(const struct model *m)
{
	return m->started && !m->paused && !m->gone;
}

static vh_gpa area(uint32_t queue)
{
	return VM_BUFFERS + queue * 0x1000;
}

static void do_memory(struct model *m, bool fails)
{
	unsigned int count = draw(m, VM_REGIONS + 1);
	int r = vm_set_memory(&m->vm, count);

	if (fails && r == -EIO)
		return;
	if (runs(m) && !count) {
		assert_int_equal(r, -EFAULT);
		return;
	}
	assert_int_equal(r, 0);
	m->memory = count;
}

static void do_negotiate(struct model *m, bool fails)
{
	int r = vh_frontend_negotiate(m->vm.frontend, m->vm.opts.features);

	if (fails && r == -EIO)
		return;
	assert_int_equal(r, m->rings ? -EBUSY : 0);
	m->negotiated = true;
}

static void do_rings(struct model *m, bool fails)
{
	VH_OPTS(vh_frontend_ring, ring);

	(void)fails;
	ring.num = 4;
	if (m->started || !m->negotiated) {
		assert_int_equal(vh_frontend_set_ring(m->vm.frontend, 0, &ring),
				 m->started ? -EBUSY : -EINVAL);
		return;
	}
	vm_set_rings(&m->vm);
	m->rings = true;
	m->hidden = false;
	memset(m->pending, 0, sizeof(m->pending));
}

static int why_not(const struct model *m)
{
	if (!m->negotiated || !m->rings)
		return -EINVAL;
	return m->memory ? 0 : -EFAULT;
}

static void do_start(struct model *m, bool fails)
{
	int r = vh_frontend_start(m->vm.frontend);

	if (fails && r == -EIO)
		return;
	assert_int_equal(r, m->started ? -EBUSY : why_not(m));
	m->started |= r == 0;
}

/* Failures of these two may cost the position of a ring: inject.c. */
static void do_stop(struct model *m, bool fails)
{
	(void)fails;
	flaky_clear(m->vm.flaky);
	assert_int_equal(vh_frontend_stop(m->vm.frontend), 0);
	m->started = false;
}

static void do_pause(struct model *m, bool fails)
{
	(void)fails;
	flaky_clear(m->vm.flaky);
	assert_int_equal(vh_frontend_pause(m->vm.frontend), 0);
	m->paused = true;
}

static void do_resume(struct model *m, bool fails)
{
	int r = vh_frontend_resume(m->vm.frontend);

	if (fails && r == -EIO)
		return;
	if (m->paused && m->started && !m->gone && !m->memory) {
		assert_int_equal(r, -EFAULT);
		return;
	}
	assert_int_equal(r, 0);
	m->paused = false;
}

static void do_reset(struct model *m, bool fails)
{
	int r = vh_frontend_reset(m->vm.frontend);

	assert_true(r == 0 || (fails && r == -EIO));
	m->negotiated = m->rings = m->started = m->hidden = false;
	memset(m->pending, 0, sizeof(m->pending));
}

static void do_die(struct model *m, bool fails)
{
	if (m->gone || fails)
		return;
	m->hidden |= runs(m) && m->vm.opts.features & VH_F_RING_PACKED;
	flaky_die(m->vm.flaky);
	vm_dispatch(&m->vm);
	m->gone = true;
}

/* The one that it was keeps its place if this one doesn't do. */
static void do_reconnect(struct model *m, bool fails)
{
	struct vm *vm = &m->vm;
	struct flaky *old = vm->flaky, *failed = NULL;
	struct echo *echo = vm->echo;
	int r;

	flaky_clear(vm->flaky);
	vm_another(vm)->fail_at = fails ? 1 + draw(m, 30) : 0;
	r = vh_frontend_reconnect(vm->frontend, &vm->flaky->backend);
	flaky_clear(vm->flaky);
	if (r < 0) {
		failed = vm->flaky;
		vm->flaky = old;
		vm->echo = echo;
		vm->num_before--;
	} else {
		failed = old;
		vm->num_before--;
		m->gone = false;
	}
	vh_backend_free(&failed->backend);
	if (fails && r == -EIO)
		return;
	assert_int_equal(r, m->started && !m->memory ? -EFAULT : 0);
}

/* Goes out now and comes back when it runs. */
static void do_send(struct model *m, bool fails)
{
	uint32_t queue = draw(m, VM_QUEUES);

	if (fails || !m->rings || m->pending[queue])
		return;
	vm_send(&m->vm, queue, area(queue));
	m->pending[queue] = true;
}

static void check(struct model *m)
{
	uint32_t base;
	int r;

	m->hidden &= !runs(m);
	if (m->rings) {
		r = vh_frontend_get_base(m->vm.frontend, 0, &base);
		/* A back-end that came and went may have told it. */
		if (!m->hidden || r != -ENOTRECOVERABLE)
			assert_int_equal(r, runs(m) ? -EBUSY : 0);
	}
	for (uint32_t q = 0; runs(m) && q < VM_QUEUES; q++) {
		if (m->pending[q])
			vm_receive(&m->vm, q, area(q));
		m->pending[q] = false;
	}
	if (runs(m))
		vm_echo(&m->vm, draw(m, VM_QUEUES),
			VM_GUEST(draw(m, m->memory)) + 0x90000);
}

static void live(uint64_t seed, uint64_t hides, uint64_t features)
{
	static void (*const deeds[])(struct model * m, bool fails) = {
	    do_memory, do_negotiate, do_rings,	   do_start, do_stop,  do_pause,
	    do_resume, do_die,	     do_reconnect, do_send,  do_start, do_rings,
	    do_send,   do_memory,    do_reconnect, do_reset,
	};
	const struct vm_opts opts = {
	    .hides = hides, .features = features, .inflight = true};
	static struct model m;

	m = (struct model){.random = seed};
	vm_make(&m.vm, &opts);
	for (unsigned int i = 0; i < STEPS; i++) {
		bool fails = draw(&m, 4) == 0;

		m.vm.flaky->fail_at =
		    fails ? m.vm.flaky->calls + 1 + draw(&m, 12) : 0;
		deeds[draw(&m, sizeof(deeds) / sizeof(deeds[0]))](&m, fails);
		flaky_clear(m.vm.flaky);
		check(&m);
	}
	vm_free(&m.vm);
}

static void test_frontend_random_split(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < LIVES; seed++)
		live(seed, 0, 0);
}

static void test_frontend_random_packed(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < LIVES; seed++)
		live(~seed, 0, VH_F_VERSION_1 | VH_F_RING_PACKED);
}

static void test_frontend_random_bare(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < LIVES; seed++)
		live(seed * 77, VH_CAP_STATUS | VH_CAP_REGIONS,
		     VH_F_VERSION_1 | VH_F_EVENT_IDX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frontend_random_split),
	    cmocka_unit_test(test_frontend_random_packed),
	    cmocka_unit_test(test_frontend_random_bare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
