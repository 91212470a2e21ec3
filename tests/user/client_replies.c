/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Every request of the client, answered in every wrong way: each is found out
 * in time, with its own fault, and ends the connection and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "scripted.h"

#include <cmocka.h>
#include <errno.h>
#include <resources.h>
#include <string.h>
#include <sys/eventfd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PATIENCE 40 /* ms, for answers that never come */

static int memory = -1;
static int event = -1;

static int do_get_features(struct vh_backend *b)
{
	uint64_t features;

	return vh_backend_get_features(b, &features);
}

static int do_set_features(struct vh_backend *b)
{
	return vh_backend_set_features(b,
				       VH_F_VERSION_1 | VH_F_ACCESS_PLATFORM);
}

static int do_set_owner(struct vh_backend *b)
{
	return vh_backend_set_owner(b);
}

static int do_set_mem_table(struct vh_backend *b)
{
	const struct vh_region region = memory_region(memory, 0);

	return vh_backend_set_mem_table(b, &region, 1);
}

static int do_add_region(struct vh_backend *b)
{
	const struct vh_region region = memory_region(memory, 1);

	return vh_backend_add_region(b, &region);
}

static int do_remove_region(struct vh_backend *b)
{
	const struct vh_region region = memory_region(memory, 0);

	return vh_backend_remove_region(b, &region);
}

static int do_set_num(struct vh_backend *b)
{
	return vh_backend_set_vring_num(b, 1, 64);
}

static int do_set_addr(struct vh_backend *b)
{
	const struct vh_vring_addr addr = {0x1000, 0x2000, 0x3000, 0x3000, 0};

	return vh_backend_set_vring_addr(b, 1, &addr);
}

static int do_set_base(struct vh_backend *b)
{
	return vh_backend_set_vring_base(b, 1, 3);
}

static int do_get_base(struct vh_backend *b)
{
	uint32_t base;

	return vh_backend_get_vring_base(b, 1, &base);
}

static int do_set_kick(struct vh_backend *b)
{
	return vh_backend_set_vring_kick(b, 1, event);
}

static int do_set_call(struct vh_backend *b)
{
	return vh_backend_set_vring_call(b, 1, event);
}

static int do_set_err(struct vh_backend *b)
{
	return vh_backend_set_vring_err(b, 1, -1);
}

static int do_enable(struct vh_backend *b)
{
	return vh_backend_set_vring_enable(b, 1, true);
}

static int do_get_config(struct vh_backend *b)
{
	uint8_t config[600];

	return vh_backend_get_config(b, 4, config, sizeof(config));
}

static int do_set_config(struct vh_backend *b)
{
	return vh_backend_set_config(b, 4, "abcd", 4, VH_CONFIG_BY_DRIVER);
}

static int do_get_status(struct vh_backend *b)
{
	uint8_t status;

	return vh_backend_get_status(b, &status);
}

static int do_set_status(struct vh_backend *b)
{
	return vh_backend_set_status(b, 7);
}

static int do_reset(struct vh_backend *b)
{
	return vh_backend_reset_device(b);
}

static int do_get_inflight(struct vh_backend *b)
{
	struct vh_inflight area = {.num_queues = 2, .queue_size = 64};
	int fd, r = vh_backend_get_inflight(b, &area, &fd);

	if (r == 0)
		close(fd);
	return r;
}

static int do_set_inflight(struct vh_backend *b)
{
	const struct vh_inflight area = {4096, 0, 2, 64};

	return vh_backend_set_inflight(b, &area, memory);
}

static int do_set_log(struct vh_backend *b)
{
	const struct vh_log_area area = {.size = 4096};

	return vh_backend_set_log_base(b, &area, memory);
}

static int do_set_log_fd(struct vh_backend *b)
{
	return vh_backend_set_log_fd(b, event);
}

static int do_update(struct vh_backend *b)
{
	const struct vh_iotlb_entry entry = {
	    .iova = 0x5000,
	    .size = 0x1000,
	    .guest = REGION_GUEST,
	    .access = VH_ACCESS_READ,
	};

	return vh_backend_iotlb_update(b, &entry);
}

static int do_invalidate(struct vh_backend *b)
{
	return vh_backend_iotlb_invalidate(b, 0x5000, 0x1000);
}

#define OWN  1u /* a reply of its own, whose value isn't judged */
#define FREE 2u /* its size may differ within limits */

static const struct operation {
	uint32_t id;
	int (*run)(struct vh_backend *b);
	unsigned int kind;
} operations[] = {
    {FE_GET_FEATURES, do_get_features, OWN},
    {FE_SET_FEATURES, do_set_features, 0},
    {FE_SET_OWNER, do_set_owner, 0},
    {FE_SET_MEM_TABLE, do_set_mem_table, 0},
    {FE_ADD_MEM_REG, do_add_region, 0},
    {FE_REM_MEM_REG, do_remove_region, 0},
    {FE_SET_VRING_NUM, do_set_num, 0},
    {FE_SET_VRING_ADDR, do_set_addr, 0},
    {FE_SET_VRING_BASE, do_set_base, 0},
    {FE_GET_VRING_BASE, do_get_base, OWN},
    {FE_SET_VRING_KICK, do_set_kick, 0},
    {FE_SET_VRING_CALL, do_set_call, 0},
    {FE_SET_VRING_ERR, do_set_err, 0},
    {FE_SET_VRING_ENABLE, do_enable, 0},
    {FE_GET_CONFIG, do_get_config, OWN | FREE},
    {FE_SET_CONFIG, do_set_config, 0},
    {FE_GET_STATUS, do_get_status, OWN},
    {FE_SET_STATUS, do_set_status, 0},
    {FE_RESET_DEVICE, do_reset, 0},
    {FE_GET_INFLIGHT_FD, do_get_inflight, OWN | FREE},
    {FE_SET_INFLIGHT_FD, do_set_inflight, 0},
    {FE_SET_LOG_BASE, do_set_log, OWN | FREE},
    {FE_SET_LOG_FD, do_set_log_fd, 0},
    {FE_IOTLB_MSG, do_update, 0},
    {FE_IOTLB_MSG, do_invalidate, 0},
};

static const struct misdeed {
	int how;
	int error;
	uint32_t code;
} misdeeds[] = {
    {SCRIPT_WRONG_ID, -EPROTO, VH_FAULT_MSG_REPLY},
    {SCRIPT_NO_REPLY_FLAG, -EPROTO, VH_FAULT_MSG_FLAGS},
    {SCRIPT_ECHOED_NEED_REPLY, -EPROTO, VH_FAULT_MSG_FLAGS},
    {SCRIPT_SHORT, -EPROTO, VH_FAULT_MSG_SIZE},
    {SCRIPT_LONG, -EPROTO, VH_FAULT_MSG_SIZE},
    {SCRIPT_HUGE, -EPROTO, VH_FAULT_MSG_SIZE},
    {SCRIPT_EXTRA_FDS, -EPROTO, VH_FAULT_MSG_FDS},
    {SCRIPT_MANY_FDS, -EPROTO, VH_FAULT_MSG_FDS},
    {SCRIPT_SILENT, -ETIMEDOUT, VH_FAULT_MSG_TIMEOUT},
    {SCRIPT_HALF, -ETIMEDOUT, VH_FAULT_MSG_TIMEOUT},
    {SCRIPT_DIE, -ENODEV, VH_FAULT_MSG_EOF},
    {SCRIPT_DIE_HALF, -ENODEV, VH_FAULT_MSG_EOF},
};

/* Up to a ring that could start. */
static int prepare(struct vh_backend *b)
{
	int r = do_set_features(b);

	if (r == 0)
		r = do_set_mem_table(b);
	if (r == 0)
		r = do_set_num(b);
	return r == 0 ? do_set_addr(b) : r;
}

static int try_begin(struct script *script, const struct operation *op,
		     uint32_t timeout_ms, struct vh_backend **ret)
{
	VH_OPTS(vh_user_connect_opts, opts);
	int r;

	script_init(script);
	opts.timeout_ms = timeout_ms;
	r = script_connect(script, &opts, NULL, ret);
	if (r == 0 && op->run != do_set_owner)
		r = prepare(*ret);
	if (r == 0)
		return 0;
	vh_backend_free(*ret);
	script_end(script);
	return r;
}

/*
 * Where an answer won't come, the client shall have little patience; but the
 * machine may be busy, and good answers then need more.
 */
static void begin(struct script *script, const struct operation *op, int how,
		  struct vh_backend **ret)
{
	uint32_t ms = how == SCRIPT_SILENT || how == SCRIPT_HALF ? PATIENCE : 0;
	int r;

	do {
		*ret = NULL;
		r = try_begin(script, op, ms, ret);
		ms *= 2;
	} while (r == -ETIMEDOUT && ms);
	assert_int_equal(r, 0);
	script->after = script_times(script, op->id);
	script_set(script, op->id, how);
}

static void on_gone(void *user)
{
	++*(int *)user;
}

static void must_fail(const struct operation *op, const struct misdeed *deed)
{
	VH_OPTS(vh_backend_events, events);
	const struct vh_fault *fault;
	struct script script;
	struct vh_backend *b;
	int gone = 0;

	begin(&script, op, deed->how, &b);
	events.gone = on_gone;
	assert_int_equal(vh_backend_set_events(b, &events, &gone), 0);
	assert_int_equal(op->run(b), deed->error);
	fault = vh_backend_fault(b);
	if (fault->code != deed->code)
		fail_msg("request %u, way %d: %s, %s", op->id, deed->how,
			 vh_fault_name(fault->code), fault->text);
	assert_int_equal(fault->error, deed->error);
	assert_true(fault->text[0]);
	assert_int_equal(gone, 1);

	/* Nothing goes out any more; the reason is still there. */
	assert_int_equal(do_get_features(b), -ENODEV);
	assert_int_equal(vh_backend_fault(b)->code, VH_FAULT_MSG_STATE);
	assert_int_equal(vh_backend_dispatch(b), -ENODEV);
	assert_int_equal(gone, 1);
	vh_backend_free(b);
	script_end(&script);
}

static void test_user_client_replies_that_are_wrong(void **state)
{
	const struct resources before = resources_now();

	(void)state;
	for (size_t i = 0; i < COUNT(operations); i++)
		for (size_t j = 0; j < COUNT(misdeeds); j++) {
			bool sized = misdeeds[j].how == SCRIPT_SHORT ||
				     misdeeds[j].how == SCRIPT_LONG;

			if (sized && operations[i].kind & FREE)
				continue;
			must_fail(&operations[i], &misdeeds[j]);
		}
	assert_int_equal(resources_wait(&before), 0);
}

/* The second answer isn't taken for that of the next request. */
static void test_user_client_replies_that_come_twice(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(operations); i++) {
		const struct operation *op = &operations[i];
		struct script script;
		struct vh_backend *b;
		int r;

		begin(&script, op, SCRIPT_TWICE, &b);
		r = op->run(b);
		/* Some operations are several requests. */
		if (r == 0)
			r = do_get_features(b);
		assert_int_equal(r, -EPROTO);
		assert_int_equal(vh_backend_fault(b)->code, VH_FAULT_MSG_REPLY);
		vh_backend_free(b);
		script_end(&script);
	}
}

/* Even what needs no request says that nobody is there. */
static void test_user_client_replies_to_the_owner(void **state)
{
	struct script script;
	struct vh_backend *b;

	(void)state;
	for (int cancel = 0; cancel < 2; cancel++) {
		script_init(&script);
		assert_int_equal(script_connect(&script, NULL, NULL, &b), 0);
		assert_int_equal(do_set_owner(b), 0);
		assert_int_equal(do_set_owner(b), 0);
		assert_int_equal(script_times(&script, FE_SET_OWNER), 1);
		script.how = SCRIPT_DIE;
		script.id = FE_GET_STATUS;
		if (cancel)
			assert_int_equal(vh_user_cancel(b), 0);
		else
			assert_int_equal(do_get_status(b), -ENODEV);
		assert_int_equal(do_set_owner(b),
				 cancel ? -ECANCELED : -ENODEV);
		assert_true(vh_backend_fault(b)->text[0]);
		vh_backend_free(b);
		script_end(&script);
	}
}

/* An answer that comes a byte at a time is as good as any. */
static void test_user_client_replies_in_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(operations); i++) {
		struct script script;
		struct vh_backend *b;

		begin(&script, &operations[i], SCRIPT_BYTEWISE, &b);
		assert_int_equal(operations[i].run(b), 0);
		assert_int_equal(do_get_features(b), 0);
		vh_backend_free(b);
		script_end(&script);
	}
}

/* "Failed" is an answer, and the connection goes on. */
static void test_user_client_replies_that_refuse(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(operations); i++) {
		const struct operation *op = &operations[i];
		struct script script;
		struct vh_backend *b;

		if (op->kind & OWN && op->id != FE_GET_CONFIG)
			continue;
		begin(&script, op, SCRIPT_REFUSE, &b);
		assert_int_equal(op->run(b),
				 op->id == FE_GET_CONFIG ? -EREMOTEIO : -EBUSY);
		assert_int_equal(vh_backend_fault(b)->code,
				 op->id == FE_SET_CONFIG
				     ? VH_FAULT_CONFIG
				     : VH_FAULT_MSG_REFUSED);
		script_set(&script, 0, SCRIPT_GOOD);
		assert_int_equal(do_get_features(b), 0);
		if (op->run != do_set_owner)
			assert_int_equal(prepare(b), 0);
		vh_backend_free(b);
		script_end(&script);
	}
}

/* The same during the first steps: there is no handle then. */
static void test_user_client_replies_at_connect(void **state)
{
	static const uint32_t ids[] = {
	    FE_GET_FEATURES, FE_GET_PROTOCOL_FEATURES, FE_GET_QUEUE_NUM,
	    FE_GET_MAX_MEM_SLOTS, FE_SET_BACKEND_REQ_FD};
	const struct resources before = resources_now();

	(void)state;
	for (size_t i = 0; i < COUNT(ids); i++)
		for (size_t j = 0; j < COUNT(misdeeds); j++) {
			VH_OPTS(vh_user_connect_opts, opts);
			struct vh_backend *b = NULL;
			struct script script;
			struct vh_fault fault;

			script_init(&script);
			script.id = ids[i];
			script.how = misdeeds[j].how;
			opts.timeout_ms = PATIENCE;
			if (misdeeds[j].error != -ETIMEDOUT)
				opts.timeout_ms = 0;
			assert_int_equal(
			    script_connect(&script, &opts, &fault, &b),
			    misdeeds[j].error);
			assert_int_equal(fault.code, misdeeds[j].code);
			assert_null(b);
			script_end(&script);
		}
	assert_int_equal(resources_wait(&before), 0);
}

/* What can't be true is not believed. */
static void test_user_client_replies_that_lie(void **state)
{
	struct vh_inflight area = {.num_queues = 2, .queue_size = 64};
	struct script script;
	struct vh_backend *b;
	struct vh_fault fault;
	uint32_t number;
	int fd = -1;

	(void)state;
	for (int i = 0; i < 3; i++) {
		script_init(&script);
		if (i < 2)
			script.queues = i ? UINT64_C(1) << 32 : 0;
		else
			script.slots = 0;
		assert_int_equal(script_connect(&script, NULL, &fault, &b),
				 -EPROTO);
		assert_int_equal(fault.code, VH_FAULT_MSG_FIELD);
		script_end(&script);
	}
	for (int i = 0; i < 6; i++) {
		script_init(&script);
		script.config_lie = 1;
		script.area_lacks_fd = i == 5;
		script.area_size = i == 1 ? 4097 : i == 2 ? 0 : 4096;
		script.area_offset = i == 3 ? 8 : 0;
		script.base = UINT64_C(0x10000);
		assert_int_equal(script_connect(&script, NULL, &fault, &b), 0);
		assert_int_equal(prepare(b), 0);
		assert_int_equal(i == 0 ? do_get_config(b)
				 : i == 4
				     ? do_get_base(b)
				     : vh_backend_get_inflight(b, &area, &fd),
				 -EPROTO);
		assert_int_equal(vh_backend_fault(b)->code, VH_FAULT_MSG_FIELD);
		assert_int_equal(fd, -1);
		vh_backend_free(b);
		script_end(&script);
	}
	/* More than can be addressed isn't a lie, but of no use. */
	script_init(&script);
	script.queues = 5000;
	script.slots = UINT64_C(1) << 40;
	assert_int_equal(script_connect(&script, NULL, &fault, &b), 0);
	assert_int_equal(vh_backend_get_queue_num(b, &number), 0);
	assert_int_equal(number, 256);
	assert_int_equal(vh_backend_get_max_mem_slots(b, &number), 0);
	assert_int_equal(number, VH_MEMORY_MAX_REGIONS);
	vh_backend_free(b);
	script_end(&script);
}

/* DPDK answers SET_LOG_BASE with nothing, others with a number. */
static void test_user_client_replies_to_log_base(void **state)
{
	(void)state;
	for (uint32_t size = 0; size <= 16; size += 8) {
		struct script script;
		struct vh_backend *b;

		script_init(&script);
		script.log_reply = size;
		assert_int_equal(script_connect(&script, NULL, NULL, &b), 0);
		assert_int_equal(do_set_log(b), 0);
		assert_int_equal(do_get_features(b), 0);
		vh_backend_free(b);
		script_end(&script);
	}
}

static int set_up(void **state)
{
	(void)state;
	memory = memory_file();
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return memory < 0 || event < 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(memory);
	close(event);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_client_replies_that_are_wrong),
	    cmocka_unit_test(test_user_client_replies_that_come_twice),
	    cmocka_unit_test(test_user_client_replies_to_the_owner),
	    cmocka_unit_test(test_user_client_replies_in_pieces),
	    cmocka_unit_test(test_user_client_replies_that_refuse),
	    cmocka_unit_test(test_user_client_replies_at_connect),
	    cmocka_unit_test(test_user_client_replies_that_lie),
	    cmocka_unit_test(test_user_client_replies_to_log_base),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
