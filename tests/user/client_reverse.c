/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a back-end asks for by itself, right and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "scripted.h"

#include <bytes.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <resources.h>
#include <string.h>

enum {
	IOTLB = 1,
	CONFIG_CHANGE = 2,
	HOST_NOTIFIER = 3,
	VRING_CALL = 4,
	VRING_ERR = 5,
	OBJECT_ADD = 6,
	OBJECT_REMOVE = 7,
	OBJECT_LOOKUP = 8,
	SHMEM_MAP = 9,
	SHMEM_UNMAP = 10,
};

#define PAGE 4096

/* What was heard last, and how often. */
struct heard {
	unsigned int times;
	uint32_t id;
	uint64_t first;
	uint64_t second;
	uint8_t uuid[16];
	bool had_fd;
	int answer;
};

static void hear(struct heard *heard, uint32_t id, uint64_t first,
		 uint64_t second)
{
	heard->times++;
	heard->id = id;
	heard->first = first;
	heard->second = second;
}

static void on_config(void *user)
{
	hear(user, CONFIG_CHANGE, 0, 0);
}

static void on_fault(void *user, const struct vh_fault *fault)
{
	hear(user, VRING_ERR, fault->queue, fault->code);
}

static void on_miss(void *user, vh_gpa iova, uint32_t access)
{
	hear(user, IOTLB, iova, access);
}

static int on_notifier(void *user, uint32_t queue,
		       const struct vh_notify_area *area, int fd)
{
	struct heard *heard = user;

	hear(heard, HOST_NOTIFIER, queue, area->offset);
	heard->had_fd = fd >= 0;
	return heard->answer;
}

static int on_call(void *user, uint32_t queue)
{
	hear(user, VRING_CALL, queue, 0);
	return 0;
}

static int on_add(void *user, const uint8_t *uuid)
{
	struct heard *heard = user;

	hear(heard, OBJECT_ADD, 0, 0);
	memcpy(heard->uuid, uuid, 16);
	return heard->answer;
}

static int on_remove(void *user, const uint8_t *uuid)
{
	hear(user, OBJECT_REMOVE, uuid[0], 0);
	return 0;
}

static int on_lookup(void *user, const uint8_t *uuid, int *ret_fd)
{
	struct heard *heard = user;

	hear(heard, OBJECT_LOOKUP, uuid[0], 0);
	if (heard->answer == 0)
		*ret_fd = memfd_create("object", MFD_CLOEXEC);
	return heard->answer;
}

static int on_map(void *user, const struct vh_shmem_map *map, int fd)
{
	struct heard *heard = user;

	hear(heard, SHMEM_MAP, map->id, map->offset);
	heard->had_fd = fd >= 0;
	assert_true(map->writable);
	assert_int_equal(map->fd_offset, 8192);
	assert_int_equal(map->length, PAGE);
	return heard->answer;
}

static int on_unmap(void *user, const struct vh_shmem_map *map)
{
	hear(user, SHMEM_UNMAP, map->id, map->offset);
	return 0;
}

/* A back-end, and who hears what it wants. */
struct box {
	struct script script;
	struct vh_backend *b;
	struct heard heard;
	int file;
	unsigned int answer_fds; /* that came with the last answer */
};

static void hear_all(struct box *box)
{
	VH_OPTS(vh_backend_events, events);

	events.config_changed = on_config;
	events.vring_fault = on_fault;
	events.iotlb_miss = on_miss;
	events.host_notifier = on_notifier;
	events.vring_call = on_call;
	events.shared_object_add = on_add;
	events.shared_object_remove = on_remove;
	events.shared_object_lookup = on_lookup;
	events.shmem_map = on_map;
	events.shmem_unmap = on_unmap;
	assert_int_equal(vh_backend_set_events(box->b, &events, &box->heard),
			 0);
}

/* Nobody hears of it yet. timeout_ms 0: the usual one. */
static void open_with(struct box *box, uint64_t protocol_features,
		      uint32_t timeout_ms)
{
	VH_OPTS(vh_user_connect_opts, opts);

	*box = (struct box){.file = memory_file()};
	script_init(&box->script);
	box->script.protocol_features = protocol_features;
	opts.protocol_features = UINT64_MAX;
	opts.timeout_ms = timeout_ms;
	assert_int_equal(script_connect(&box->script, &opts, NULL, &box->b), 0);
}

static void open_all(struct box *box)
{
	open_with(box, UINT64_MAX, 0);
	assert_int_equal(vh_backend_set_features(box->b, VH_F_ACCESS_PLATFORM),
			 0);
	hear_all(box);
}

static void close_all(struct box *box)
{
	vh_backend_free(box->b);
	script_end(&box->script);
	close(box->file);
}

/* Sends a request that wants an answer, and returns that. */
static uint64_t ask(struct box *box, uint32_t id, const void *payload,
		    uint32_t size, int fd)
{
	const struct fe_message m = {
	    .id = id,
	    .flags = FE_VERSION | FE_NEED_REPLY,
	    .size = size,
	    .payload = payload,
	    .length = size,
	    .fds = &fd,
	    .num_fds = fd >= 0,
	};
	struct pollfd pfd = {.fd = vh_backend_fd(box->b), .events = POLLIN};
	struct fe_reply reply;
	uint64_t value;

	assert_int_equal(fe_send(&box->script.reverse, &m), 0);
	assert_int_equal(poll(&pfd, 1, FE_TIMEOUT_MS), 1);
	assert_int_equal(vh_backend_dispatch(box->b), 0);
	assert_int_equal(fe_receive_for(&box->script.reverse, id, &reply), 0);
	assert_int_equal(reply.size, 8);
	value = get64(reply.payload);
	box->answer_fds = reply.num_fds;
	assert_true(id == OBJECT_LOOKUP || reply.num_fds == 0);
	fe_reply_close(&reply);
	return value;
}

static void test_user_client_reverse_config_and_rings(void **state)
{
	uint8_t bytes[32] = {0};
	struct box box;

	(void)state;
	open_all(&box);
	assert_int_equal(ask(&box, CONFIG_CHANGE, NULL, 0, -1), 0);
	assert_int_equal(box.heard.id, CONFIG_CHANGE);

	put64(bytes, 0, 0x123456000);
	bytes[24] = VH_ACCESS_WRITE;
	bytes[25] = FE_IOTLB_MISS;
	assert_int_equal(ask(&box, IOTLB, bytes, 32, -1), 0);
	assert_int_equal(box.heard.first, 0x123456000);
	assert_int_equal(box.heard.second, VH_ACCESS_WRITE);
	/* what can't be answered, and what comes from a front-end only */
	bytes[25] = 4;
	assert_int_equal(ask(&box, IOTLB, bytes, 32, -1), EOPNOTSUPP);
	bytes[25] = FE_IOTLB_UPDATE;
	assert_int_equal(ask(&box, IOTLB, bytes, 32, -1), EINVAL);

	put32(bytes, 0, 3);
	assert_int_equal(ask(&box, VRING_CALL, bytes, 8, -1), 0);
	assert_int_equal(box.heard.first, 3);
	assert_int_equal(ask(&box, VRING_ERR, bytes, 8, -1), 0);
	assert_int_equal(box.heard.id, VRING_ERR);
	assert_int_equal(box.heard.first, 3);
	assert_int_equal(box.heard.times, 4);
	close_all(&box);
}

/* Whoever hears of a queue may take its number for an index. */
static void test_user_client_reverse_no_such_queue(void **state)
{
	const uint32_t no_queues[] = {8, 0x7f, 0xff, 0x80000000, UINT32_MAX};
	uint8_t bytes[24] = {0};
	struct box box;

	(void)state;
	open_all(&box);
	put64(bytes, 8, PAGE);
	for (size_t i = 0; i < sizeof(no_queues) / sizeof(no_queues[0]); i++) {
		put32(bytes, 0, no_queues[i]);
		assert_int_equal(ask(&box, VRING_CALL, bytes, 8, -1), ERANGE);
		assert_int_equal(ask(&box, VRING_ERR, bytes, 8, -1), ERANGE);
		put32(bytes, 0, no_queues[i] & 0xff ? no_queues[i] & 0xff : 8);
		assert_int_equal(ask(&box, HOST_NOTIFIER, bytes, 24, box.file),
				 ERANGE);
	}
	assert_int_equal(box.heard.times, 0);
	close_all(&box);
}

static void test_user_client_reverse_doorbells(void **state)
{
	uint8_t bytes[24] = {2};
	struct box box;

	(void)state;
	open_all(&box);
	put64(bytes, 8, PAGE);
	put64(bytes, 16, 2 * PAGE);
	assert_int_equal(ask(&box, HOST_NOTIFIER, bytes, 24, box.file), 0);
	assert_int_equal(box.heard.first, 2);
	assert_int_equal(box.heard.second, 2 * PAGE);
	assert_true(box.heard.had_fd);
	/* The receiver's own opinion. */
	box.heard.answer = -ENOSPC;
	assert_int_equal(ask(&box, HOST_NOTIFIER, bytes, 24, box.file), ENOSPC);
	box.heard.answer = 0;
	/* Not a page. */
	put64(bytes, 8, PAGE + 1);
	assert_int_equal(ask(&box, HOST_NOTIFIER, bytes, 24, box.file), EINVAL);
	put64(bytes, 8, PAGE);
	put64(bytes, 16, 8);
	assert_int_equal(ask(&box, HOST_NOTIFIER, bytes, 24, box.file), EINVAL);
	/* No descriptor, without and with the flag that says so. */
	assert_int_equal(ask(&box, HOST_NOTIFIER, bytes, 24, -1), EPROTO);
	bytes[1] = 1;
	assert_int_equal(ask(&box, HOST_NOTIFIER, bytes, 24, -1), 0);
	assert_false(box.heard.had_fd);
	assert_int_equal(box.heard.times, 3);
	close_all(&box);
}

static void test_user_client_reverse_objects(void **state)
{
	uint8_t uuid[16];
	uint8_t map[40] = {7};
	struct box box;

	(void)state;
	open_all(&box);
	memset(uuid, 0xab, sizeof(uuid));
	assert_int_equal(ask(&box, OBJECT_ADD, uuid, 16, -1), 0);
	assert_memory_equal(box.heard.uuid, uuid, 16);
	assert_int_equal(ask(&box, OBJECT_REMOVE, uuid, 16, -1), 0);
	assert_int_equal(ask(&box, OBJECT_LOOKUP, uuid, 16, -1), 0);
	assert_int_equal(box.answer_fds, 1);
	box.heard.answer = -ENOENT;
	assert_int_equal(ask(&box, OBJECT_LOOKUP, uuid, 16, -1), ENOENT);
	assert_int_equal(box.answer_fds, 0);
	box.heard.answer = 0;

	put64(map, 8, 8192);
	put64(map, 16, 65536);
	put64(map, 24, PAGE);
	put64(map, 32, 1);
	assert_int_equal(ask(&box, SHMEM_MAP, map, 40, box.file), 0);
	assert_int_equal(box.heard.first, 7);
	assert_int_equal(box.heard.second, 65536);
	assert_true(box.heard.had_fd);
	assert_int_equal(ask(&box, SHMEM_UNMAP, map, 40, -1), 0);
	assert_int_equal(box.heard.id, SHMEM_UNMAP);
	put64(map, 24, 0);
	assert_int_equal(ask(&box, SHMEM_MAP, map, 40, box.file), EINVAL);
	close_all(&box);
}

/* Whatever nobody receives or knows is refused. */
static void test_user_client_reverse_refusals(void **state)
{
	const struct resources before = resources_now();
	uint8_t bytes[40] = {0};
	struct box box;

	(void)state;
	open_with(&box, UINT64_MAX, 0);
	put64(bytes, 8, PAGE);
	put64(bytes, 24, PAGE);
	assert_int_equal(ask(&box, CONFIG_CHANGE, NULL, 0, -1), EOPNOTSUPP);
	assert_int_equal(ask(&box, VRING_CALL, bytes, 8, -1), EOPNOTSUPP);
	assert_int_equal(ask(&box, HOST_NOTIFIER, bytes, 24, box.file),
			 EOPNOTSUPP);
	assert_int_equal(ask(&box, OBJECT_ADD, bytes, 16, -1), EOPNOTSUPP);
	assert_int_equal(ask(&box, OBJECT_LOOKUP, bytes, 16, -1), EOPNOTSUPP);
	assert_int_equal(ask(&box, SHMEM_MAP, bytes, 40, box.file), EOPNOTSUPP);
	assert_int_equal(ask(&box, 0, NULL, 0, -1), ENOSYS);
	assert_int_equal(ask(&box, 1002, bytes, 40, box.file), ENOSYS);
	assert_int_equal(ask(&box, CONFIG_CHANGE, bytes, 8, -1), EPROTO);
	assert_int_equal(ask(&box, CONFIG_CHANGE, NULL, 0, box.file), EPROTO);
	close_all(&box);

	/* Features that weren't negotiated. */
	open_with(&box, FE_PF_BACKEND_REQ | FE_PF_REPLY_ACK, 0);
	assert_int_equal(ask(&box, CONFIG_CHANGE, NULL, 0, -1), EOPNOTSUPP);
	assert_int_equal(ask(&box, IOTLB, bytes, 32, -1), EOPNOTSUPP);
	close_all(&box);
	assert_int_equal(resources_wait(&before), 0);
}

/* The channel ends; the connection doesn't. */
static void test_user_client_reverse_that_breaks(void **state)
{
	const struct fe_message wrong = {
	    .id = CONFIG_CHANGE,
	    .flags = FE_VERSION | FE_REPLY,
	};
	struct box box;
	struct pollfd pfd;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		uint8_t status;

		open_all(&box);
		pfd = (struct pollfd){.fd = vh_backend_fd(box.b),
				      .events = POLLIN};
		if (i == 0)
			fe_close(&box.script.reverse);
		else if (i == 1)
			assert_int_equal(fe_send(&box.script.reverse, &wrong),
					 0);
		else
			assert_int_equal(fe_send_bytes(&box.script.reverse,
						       "\2\0\0\0\1\0\0\0"
						       "\xff\xff\xff\xff",
						       12, NULL, 0),
					 0);
		assert_int_equal(poll(&pfd, 1, FE_TIMEOUT_MS), 1);
		assert_int_equal(vh_backend_dispatch(box.b), 0);
		if (i > 0)
			assert_int_equal(fe_wait_closed(&box.script.reverse),
					 0);
		/* Nothing is left to be done. */
		assert_int_equal(poll(&pfd, 1, 0), 0);
		assert_int_equal(vh_backend_get_status(box.b, &status), 0);
		assert_int_equal(box.heard.times, 0);
		close_all(&box);
	}
}

/* A back-end that wants to be heard before it answers is heard. */
static void test_user_client_reverse_while_waiting(void **state)
{
	struct box box;
	uint8_t status;

	(void)state;
	open_all(&box);
	script_set(&box.script, FE_GET_STATUS, SCRIPT_ASK_FIRST);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(vh_backend_get_status(box.b, &status), 0);
	assert_int_equal(box.heard.times, 100);
	close_all(&box);
}

/* One that only talks itself is waited for no longer than one that is mute. */
static void test_user_client_reverse_flood(void **state)
{
	struct box box;
	uint8_t status;

	(void)state;
	open_with(&box, UINT64_MAX, 2000);
	hear_all(&box);
	box.script.how = SCRIPT_FLOOD;
	box.script.id = FE_GET_STATUS;
	assert_int_equal(vh_backend_get_status(box.b, &status), -ETIMEDOUT);
	assert_int_equal(vh_backend_fault(box.b)->code, VH_FAULT_MSG_TIMEOUT);
	assert_in_range(box.heard.times, 65, UINT32_MAX);
	close_all(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_client_reverse_config_and_rings),
	    cmocka_unit_test(test_user_client_reverse_no_such_queue),
	    cmocka_unit_test(test_user_client_reverse_doorbells),
	    cmocka_unit_test(test_user_client_reverse_objects),
	    cmocka_unit_test(test_user_client_reverse_refusals),
	    cmocka_unit_test(test_user_client_reverse_that_breaks),
	    cmocka_unit_test(test_user_client_reverse_while_waiting),
	    cmocka_unit_test(test_user_client_reverse_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
