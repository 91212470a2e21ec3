/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The messages that few devices know, sent to a back-end that knows its lines:
 * directly, and through a server and a client between the two, which must
 * lose nothing, either way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "scripted.h"

#include <bytes.h>
#include <cmocka.h>
#include <errno.h>
#include <libvhost/special.h>
#include <place.h>
#include <poll.h>
#include <resources.h>
#include <string.h>
#include <sys/eventfd.h>

#define CRYPTO_CREATE	26
#define CRYPTO_CLOSE	27
#define SEND_RARP	19
#define SET_MTU		20
#define SET_ENDIAN	23
#define POSTCOPY_ADVISE 28
#define POSTCOPY_LISTEN 29
#define POSTCOPY_END	30
#define GPU_SET_SOCKET	33
#define VRING_KICK	35
#define GET_OBJECT	41
#define SET_STATE	42
#define CHECK_STATE	43
#define GET_SHMEM	44
#define SKIP_DRAIN	45

#define HOST_NOTIFIER	3
#define VRING_CALL	4
#define VRING_ERR	5
#define OBJECT_LOOKUP	8
#define SHMEM_MAP	9

#define NO_SLOTS	(~FE_PF_MEM_SLOTS)

/* What is in front of the script: a client, or a client and a whole proxy. */
struct chain {
	struct script script;
	struct vh_backend *front;
	struct vh_backend *middle;
	struct vh_user_server *server;
	struct place place;
};

static void open_chain(struct chain *c, bool proxy, uint64_t mask)
{
	VH_OPTS(vh_user_connect_opts, opts);
	VH_OPTS(vh_user_serve_opts, serve);
	struct vh_backend *first;

	memset(c, 0, sizeof(*c));
	script_init(&c->script);
	c->script.protocol_features = UINT64_MAX;
	c->script.base = 5;
	opts.protocol_features = mask;
	assert_int_equal(script_connect(&c->script, &opts, NULL, &first), 0);
	if (!proxy) {
		c->front = first;
		return;
	}
	c->middle = first;
	assert_int_equal(place_make(&c->place, NULL, 0), 0);
	serve.mode = VH_USER_LISTEN;
	serve.path = c->place.socket;
	assert_int_equal(vh_user_serve(first, &serve, NULL, &c->server), 0);
	assert_int_equal(vh_user_server_start(c->server), 0);
	opts.mode = VH_USER_CONNECT;
	opts.path = c->place.socket;
	assert_int_equal(vh_user_connect(&opts, NULL, &c->front), 0);
	assert_int_equal(vh_backend_capabilities(c->front),
			 vh_backend_capabilities(c->middle));
}

static void close_chain(struct chain *c)
{
	vh_backend_free(c->front);
	if (c->middle) {
		vh_user_server_free(c->server);
		vh_backend_free(c->middle);
		place_remove(&c->place);
	}
	script_end(&c->script);
}

static const uint8_t *sent(const struct chain *c, uint32_t id)
{
	const struct script_entry *entry = script_last(&c->script, id);

	assert_non_null(entry);
	return entry->payload;
}

static void talk_about_network(struct chain *c)
{
	static const uint8_t mac[6] = {1, 2, 3, 4, 5, 6};

	assert_int_equal(vh_backend_send_rarp(c->front, mac), 0);
	assert_memory_equal(sent(c, SEND_RARP), mac, 6);
	assert_memory_equal(sent(c, SEND_RARP) + 6, "\0", 2);
	assert_int_equal(vh_backend_set_mtu(c->front, 9000), 0);
	assert_int_equal(get64(sent(c, SET_MTU)), 9000);
	assert_int_equal(vh_backend_set_vring_endian(c->front, 1, true), 0);
	assert_int_equal(get32(sent(c, SET_ENDIAN)), 1);
	assert_int_equal(get32(sent(c, SET_ENDIAN) + 4), 1);
	assert_int_equal(vh_backend_kick_vring(c->front, 2), 0);
	assert_int_equal(get32(sent(c, VRING_KICK)), 2);
	assert_int_equal(vh_backend_reset_owner(c->front), 0);
	sent(c, FE_RESET_OWNER);
	/* The script's "failed" comes through, too. */
	script_set(&c->script, SET_MTU, SCRIPT_REFUSE);
	assert_int_equal(vh_backend_set_mtu(c->front, 1), -EBUSY);
	script_set(&c->script, 0, SCRIPT_GOOD);
}

static void talk_about_objects(struct chain *c)
{
	uint8_t session[VH_CRYPTO_SESSION_SIZE] = {0x42};
	struct vh_shmem_config config;
	uint8_t uuid[16];
	int64_t id = -1;
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int fd = -1;

	assert_int_equal(
	    vh_backend_create_crypto_session(c->front, session, &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(sent(c, CRYPTO_CREATE)[8], 0x42);
	assert_int_equal(vh_backend_close_crypto_session(c->front, 77), 0);
	assert_int_equal(get64(sent(c, CRYPTO_CLOSE)), 77);
	assert_int_equal(vh_backend_set_gpu_socket(c->front, event), 0);
	assert_int_equal(script_last(&c->script, GPU_SET_SOCKET)->fds, 1);

	memset(uuid, 0xc3, sizeof(uuid));
	assert_int_equal(vh_backend_get_shared_object(c->front, uuid, &fd), 0);
	assert_memory_equal(sent(c, GET_OBJECT), uuid, 16);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(vh_backend_get_shmem_config(c->front, &config), 0);
	assert_int_equal(config.count, 2);
	assert_int_equal(config.sizes[0], 0x10000);
	assert_int_equal(config.sizes[2], 0x20000);

	fd = 3;
	assert_int_equal(vh_backend_set_device_state_fd(
			     c->front, VH_DEVICE_STATE_LOAD, event, &fd),
			 0);
	assert_int_equal(fd, -1);
	assert_int_equal(get32(sent(c, SET_STATE)), 1);
	assert_int_equal(script_last(&c->script, SET_STATE)->fds, 1);
	assert_int_equal(vh_backend_check_device_state(c->front), 0);
	sent(c, CHECK_STATE);
	assert_int_equal(
	    vh_backend_set_device_state_fd(c->front, 2, event, &fd), -EINVAL);
	close(event);
}

static void stop_without_waiting(struct chain *c)
{
	const struct vh_inflight area = {4096, 0, 2, 16};
	int fd = memory_file();
	uint32_t base;

	assert_int_equal(
	    vh_backend_get_vring_base_skip_drain(c->front, 1, &base), -EINVAL);
	assert_int_equal(vh_backend_set_inflight(c->front, &area, fd), 0);
	assert_int_equal(
	    vh_backend_get_vring_base_skip_drain(c->front, 1, &base), 0);
	assert_int_equal(base, 5);
	sent(c, SKIP_DRAIN);
	close(fd);
}

static void each_way(bool proxy)
{
	const struct resources before = resources_now();
	struct chain c;

	open_chain(&c, proxy, UINT64_MAX);
	talk_about_network(&c);
	talk_about_objects(&c);
	stop_without_waiting(&c);
	close_chain(&c);
	assert_int_equal(resources_wait(&before), 0);
}

static void test_user_client_special_messages(void **state)
{
	(void)state;
	each_way(false);
}

static void test_user_client_special_through_a_proxy(void **state)
{
	(void)state;
	each_way(true);
}

static void migrate(bool proxy)
{
	const struct resources before = resources_now();
	struct vh_region regions[2];
	uint64_t addresses[2];
	struct chain c;
	int fd, memory = memory_file();

	regions[0] = memory_region(memory, 0);
	regions[1] = memory_region(memory, 1);
	open_chain(&c, proxy, NO_SLOTS);
	assert_true(vh_backend_capabilities(c.front) & VH_CAP_POSTCOPY);
	/* each only after the one before */
	assert_int_equal(vh_backend_postcopy_listen(c.front), -EPROTO);
	assert_int_equal(vh_backend_postcopy_ready(c.front), -EPROTO);
	assert_int_equal(vh_backend_postcopy_end(c.front), -EPROTO);
	assert_int_equal(
	    vh_backend_postcopy_set_memory(c.front, regions, 2, addresses),
	    -EPROTO);
	assert_int_equal(vh_backend_postcopy_advise(c.front, &fd), 0);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(vh_backend_postcopy_listen(c.front), 0);
	assert_int_equal(vh_backend_set_mem_table(c.front, regions, 2), -EBUSY);
	assert_int_equal(
	    vh_backend_postcopy_set_memory(c.front, regions, 2, addresses), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(addresses[i],
				 regions[i].user.raw + SCRIPT_MAPS_AT);
	assert_int_equal(vh_backend_postcopy_ready(c.front), 0);
	assert_int_equal(get32(sent(&c, FE_SET_MEM_TABLE)), 0);
	assert_int_equal(script_last(&c.script, FE_SET_MEM_TABLE)->size, 8);
	assert_int_equal(vh_backend_postcopy_end(c.front), 0);
	sent(&c, POSTCOPY_ADVISE);
	sent(&c, POSTCOPY_LISTEN);
	sent(&c, POSTCOPY_END);
	close_chain(&c);
	close(memory);
	assert_int_equal(resources_wait(&before), 0);
}

static void test_user_client_special_postcopy(void **state)
{
	(void)state;
	migrate(false);
}

static void test_user_client_special_postcopy_through_a_proxy(void **state)
{
	(void)state;
	migrate(true);
}

/* What few back-ends know isn't sent to the others. */
static void test_user_client_special_without_features(void **state)
{
	struct vh_shmem_config config;
	uint8_t session[VH_CRYPTO_SESSION_SIZE] = {0};
	struct script script;
	struct vh_backend *b;
	uint32_t base;
	uint64_t features;
	int64_t id;
	int fd;

	(void)state;
	script_init(&script);
	script.protocol_features = FE_PF_REPLY_ACK;
	assert_int_equal(script_connect(&script, NULL, NULL, &b), 0);
	assert_int_equal(vh_backend_send_rarp(b, session), -EOPNOTSUPP);
	assert_int_equal(vh_backend_set_mtu(b, 1500), -EOPNOTSUPP);
	assert_int_equal(vh_backend_set_vring_endian(b, 0, 0), -EOPNOTSUPP);
	assert_int_equal(vh_backend_create_crypto_session(b, session, &id),
			 -EOPNOTSUPP);
	assert_int_equal(vh_backend_close_crypto_session(b, 1), -EOPNOTSUPP);
	assert_int_equal(vh_backend_kick_vring(b, 0), -EOPNOTSUPP);
	assert_int_equal(vh_backend_get_shared_object(b, session, &fd),
			 -EOPNOTSUPP);
	assert_int_equal(vh_backend_get_shmem_config(b, &config), -EOPNOTSUPP);
	assert_int_equal(vh_backend_set_device_state_fd(b, 0, 0, &fd),
			 -EOPNOTSUPP);
	assert_int_equal(vh_backend_check_device_state(b), -EOPNOTSUPP);
	assert_int_equal(vh_backend_postcopy_advise(b, &fd), -EOPNOTSUPP);
	assert_int_equal(vh_backend_get_vring_base_skip_drain(b, 0, &base),
			 -EINVAL);
	assert_int_equal(vh_backend_get_features(b, &features), 0);
	assert_int_equal(script.count, 4);
	vh_backend_free(b);
	script_end(&script);
}

struct heard {
	unsigned int calls;
	unsigned int errors;
	unsigned int doorbells;
	unsigned int maps;
	unsigned int lookups;
	int answer;
};

static int on_call(void *user, uint32_t queue)
{
	assert_int_equal(queue, 3);
	((struct heard *)user)->calls++;
	return 0;
}

static void on_fault(void *user, const struct vh_fault *fault)
{
	assert_int_equal(fault->queue, 3);
	((struct heard *)user)->errors++;
}

static int on_notifier(void *user, uint32_t queue,
		       const struct vh_notify_area *area, int fd)
{
	struct heard *heard = user;

	assert_int_equal(queue, 2);
	assert_int_equal(area->size, 4096);
	assert_int_equal(area->offset, 8192);
	assert_true(fd >= 0);
	heard->doorbells++;
	return heard->answer;
}

static int on_map(void *user, const struct vh_shmem_map *map, int fd)
{
	struct heard *heard = user;

	assert_int_equal(map->id, 2);
	assert_int_equal(map->length, 4096);
	assert_true(fd >= 0);
	heard->maps++;
	return heard->answer;
}

static int on_lookup(void *user, const uint8_t *uuid, int *ret_fd)
{
	assert_int_equal(uuid[0], 2);
	((struct heard *)user)->lookups++;
	*ret_fd = memfd_create("object", MFD_CLOEXEC);
	return 0;
}

/* Asks the front-end, which is behind the proxy. */
static uint64_t ask(struct chain *c, uint32_t id, const uint8_t *bytes,
		    uint32_t size, int fd)
{
	const struct fe_message m = {
	    .id = id,
	    .flags = FE_VERSION | FE_NEED_REPLY,
	    .size = size,
	    .payload = bytes,
	    .length = size,
	    .fds = &fd,
	    .num_fds = fd >= 0,
	};
	struct pollfd fds[] = {
	    {.fd = vh_backend_fd(c->front), .events = POLLIN},
	    {.fd = c->script.reverse.sock, .events = POLLIN},
	};
	struct fe_reply reply;
	uint64_t value;

	assert_int_equal(fe_send(&c->script.reverse, &m), 0);
	do {
		assert_true(poll(fds, 2, FE_TIMEOUT_MS) > 0);
		assert_int_equal(vh_backend_dispatch(c->front), 0);
	} while (!fds[1].revents);
	assert_int_equal(fe_receive_for(&c->script.reverse, id, &reply), 0);
	value = get64(reply.payload);
	if (id == OBJECT_LOOKUP)
		assert_int_equal(reply.num_fds, 1);
	fe_reply_close(&reply);
	return value;
}

static void wait_for(struct vh_backend *b, const unsigned int *what)
{
	struct pollfd pfd = {.fd = vh_backend_fd(b), .events = POLLIN};

	while (!*what) {
		assert_int_equal(poll(&pfd, 1, FE_TIMEOUT_MS), 1);
		assert_int_equal(vh_backend_dispatch(b), 0);
	}
}

static void test_user_client_special_back_through_a_proxy(void **state)
{
	VH_OPTS(vh_backend_events, events);
	struct heard heard = {0};
	uint8_t bytes[40] = {2};
	struct chain c;
	int fd = memory_file();

	(void)state;
	open_chain(&c, true, UINT64_MAX);
	events.vring_call = on_call;
	events.vring_fault = on_fault;
	events.host_notifier = on_notifier;
	events.shmem_map = on_map;
	events.shared_object_lookup = on_lookup;
	assert_int_equal(vh_backend_set_events(c.front, &events, &heard), 0);
	assert_int_equal(script_times(&c.script, FE_SET_BACKEND_REQ_FD), 1);
	/* A device that isn't started says nothing. */
	assert_int_equal(vh_backend_kick_vring(c.front, 3), 0);
	put64(bytes, 8, 4096);
	put64(bytes, 16, 8192);
	put64(bytes, 24, 4096);
	assert_int_equal(ask(&c, HOST_NOTIFIER, bytes, 24, fd), 0);
	assert_int_equal(heard.doorbells, 1);
	assert_int_equal(ask(&c, SHMEM_MAP, bytes, 40, fd), 0);
	heard.answer = -ENOSPC;
	assert_int_not_equal(ask(&c, SHMEM_MAP, bytes, 40, fd), 0);
	assert_int_equal(heard.maps, 2);
	assert_int_equal(ask(&c, OBJECT_LOOKUP, bytes, 16, -1), 0);
	assert_int_equal(heard.lookups, 1);
	put64(bytes, 0, 3);
	assert_int_equal(ask(&c, VRING_CALL, bytes, 8, -1), 0);
	wait_for(c.front, &heard.calls);
	assert_int_equal(ask(&c, VRING_ERR, bytes, 8, -1), 0);
	wait_for(c.front, &heard.errors);
	close_chain(&c);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_client_special_messages),
	    cmocka_unit_test(test_user_client_special_through_a_proxy),
	    cmocka_unit_test(test_user_client_special_postcopy),
	    cmocka_unit_test(test_user_client_special_postcopy_through_a_proxy),
	    cmocka_unit_test(test_user_client_special_without_features),
	    cmocka_unit_test(test_user_client_special_back_through_a_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
