/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "scripted.h"

#include <bytes.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALL_PROTOCOL_FEATURES UINT64_C(0x1ffff)
#define AREA_FILE	      4096
#define HUGE_SIZE	      (16u << 20)
#define CONFIG_CHANGE	      2
#define POSTCOPY_ADVISE	      28
#define POSTCOPY_LISTEN	      29
#define POSTCOPY_END	      30
#define CREATE_CRYPTO	      26
#define GET_SHARED_OBJECT     41
#define SET_DEVICE_STATE_FD   42
#define CHECK_DEVICE_STATE    43
#define GET_SHMEM_CONFIG      44
#define SKIP_DRAIN	      45

void script_init(struct script *script)
{
	*script = (struct script){
	    .features = FE_F_PROTOCOL_FEATURES | FE_F_VERSION_1 | FE_F_LOG_ALL |
			FE_F_ACCESS_PLATFORM | FE_F_PACKED | FE_F_EVENT_IDX,
	    .protocol_features = ALL_PROTOCOL_FEATURES & ~FE_BIT(8),
	    .queues = 4,
	    .slots = 16,
	    .area_size = AREA_FILE,
	    .log_reply = 8,
	};
	script->reverse.sock = -1;
}

/* A reply that comes always, and its descriptor; or size 0 and false. */
static bool own_reply(const struct script *script,
		      const struct fe_reply *request, struct fe_reply *reply,
		      int *ret_fd)
{
	uint8_t *to = reply->payload;

	reply->size = 8;
	switch (request->id) {
	case FE_GET_FEATURES:
		put64(to, 0, script->features);
		return true;
	case FE_GET_PROTOCOL_FEATURES:
		put64(to, 0, script->protocol_features);
		return true;
	case FE_GET_QUEUE_NUM:
		put64(to, 0, script->queues);
		return true;
	case FE_GET_MAX_MEM_SLOTS:
		put64(to, 0, script->slots);
		return true;
	case FE_GET_STATUS:
		put64(to, 0, 0xf);
		return true;
	case FE_GET_VRING_BASE:
	case SKIP_DRAIN:
		put32(to, 0, get32(request->payload));
		put32(to, 4, (uint32_t)script->base);
		return true;
	case FE_SET_LOG_BASE:
		reply->size = script->log_reply;
		return true;
	case FE_IOTLB_MSG:
	case POSTCOPY_END:
	case CHECK_DEVICE_STATE:
		put64(to, 0, 0);
		return true;
	case SET_DEVICE_STATE_FD:
		put64(to, 0, 0x100);
		return true;
	case FE_GET_CONFIG:
	case CREATE_CRYPTO:
	case GET_SHARED_OBJECT:
		reply->size = request->size;
		memcpy(to, request->payload, request->size);
		if (request->id == GET_SHARED_OBJECT)
			*ret_fd = memfd_create("object", MFD_CLOEXEC);
		if (request->id == FE_GET_CONFIG) {
			memset(to + 12, 0x5a, request->size - 12);
			put32(to, 0, get32(to) + script->config_lie);
		}
		return true;
	case FE_GET_INFLIGHT_FD:
		reply->size = 24;
		memcpy(to, request->payload, 24);
		put64(to, 0, script->area_size);
		put64(to, 8, script->area_offset);
		if (script->area_lacks_fd)
			return true;
		*ret_fd = memfd_create("area", MFD_CLOEXEC);
		return *ret_fd >= 0 && ftruncate(*ret_fd, AREA_FILE) == 0;
	case FE_SET_MEM_TABLE:
		put64(to, 0, 0);
		if (!script->listening)
			return false;
		reply->size = request->size;
		memcpy(to, request->payload, request->size);
		for (uint32_t i = 0; i < get32(to); i++) {
			size_t at = 8 + 32 * i + 16;

			put64(to, at, get64(to + at) + SCRIPT_MAPS_AT);
		}
		return get32(to) > 0;
	case POSTCOPY_ADVISE:
		reply->size = 0;
		*ret_fd = memfd_create("faults", MFD_CLOEXEC);
		return true;
	case GET_SHMEM_CONFIG:
		reply->size = 2056;
		memset(to, 0, reply->size);
		put32(to, 0, 2);
		put64(to, 8, 0x10000);
		put64(to, 24, 0x20000);
		return true;
	default:
		put64(to, 0, 0);
		return false;
	}
}

/* False: the connection ends. */
static bool send_as(struct script *script, struct fe_reply *reply, int how,
		    int fd)
{
	int fds[FE_MAX_FDS] = {fd, script->ours, script->ours};
	struct fe_message m = {
	    .id = reply->id + (how == SCRIPT_WRONG_ID),
	    .flags = FE_VERSION | FE_REPLY,
	    .size = reply->size,
	    .payload = reply->payload,
	    .length = reply->size,
	    .fds = fds,
	    .num_fds = fd >= 0,
	};
	uint8_t bytes[2 * (FE_HEADER + FE_MAX_PAYLOAD)];

	if (how == SCRIPT_NO_REPLY_FLAG)
		m.flags = FE_VERSION;
	else if (how == SCRIPT_ECHOED_NEED_REPLY)
		m.flags |= FE_NEED_REPLY;
	else if (how == SCRIPT_SHORT)
		m.length = m.size -= m.size < 4 ? m.size : 4;
	else if (how == SCRIPT_LONG)
		m.length = m.size += 8;
	else if (how == SCRIPT_HUGE)
		m.size = HUGE_SIZE;
	else if (how == SCRIPT_EXTRA_FDS) {
		if (fd < 0)
			fds[0] = script->ours;
		m.num_fds = fd >= 0 ? 3 : 2;
	} else if (how == SCRIPT_MANY_FDS) {
		for (m.num_fds = 0; m.num_fds < FE_MAX_FDS; m.num_fds++)
			fds[m.num_fds] = script->ours;
	}
	if (how != SCRIPT_HALF && how != SCRIPT_DIE_HALF && how != SCRIPT_TWICE)
		return fe_send(&script->wire, &m) == 0;
	put32(bytes, 0, m.id);
	put32(bytes, 4, m.flags);
	put32(bytes, 8, m.size);
	memcpy(bytes + FE_HEADER, m.payload, m.length);
	if (how == SCRIPT_TWICE) {
		size_t size = FE_HEADER + m.length;

		/* At once, so that both are there when one is. */
		memcpy(bytes + size, bytes, size);
		return fe_send_bytes(&script->wire, bytes, 2 * size, m.fds,
				     m.num_fds) == 0;
	}
	fe_send_bytes(&script->wire, bytes, (FE_HEADER + m.length) / 2 + 1,
		      m.fds, m.num_fds);
	return how == SCRIPT_HALF;
}

static int manner(const struct script *script, const struct fe_reply *request)
{
	unsigned int times = script_times(script, request->id);

	if (request->id != __atomic_load_n(&script->id, __ATOMIC_ACQUIRE) ||
	    times <= script->after ||
	    (script->once && times > script->after + 1))
		return SCRIPT_GOOD;
	return __atomic_load_n(&script->how, __ATOMIC_RELAXED);
}

/* An empty reply is how GET_CONFIG says it; others have a number. */
static void refuse(const struct fe_reply *request, struct fe_reply *reply)
{
	reply->size = request->id == FE_GET_CONFIG ? 0 : 8;
	put64(reply->payload, 0, EBUSY);
}

/* Says that the config space changed, and insists. */
static bool ask_first(struct script *script)
{
	const struct fe_message m = {
	    .id = CONFIG_CHANGE,
	    .flags = FE_VERSION | FE_NEED_REPLY,
	};
	struct fe_reply reply;
	bool good = fe_send(&script->reverse, &m) == 0 &&
		    fe_receive_for(&script->reverse, m.id, &reply) == 0;

	if (good)
		fe_reply_close(&reply);
	return good;
}

/* Until nobody wants to hear it any more. */
static void flood(struct script *script)
{
	const struct fe_message m = {.id = CONFIG_CHANGE, .flags = FE_VERSION};

	while (fe_send(&script->reverse, &m) == 0)
		;
}

static bool answer(struct script *script, const struct fe_reply *request)
{
	int how = manner(script, request);
	struct fe_reply reply = {.id = request->id};
	int fd = -1;
	bool due = own_reply(script, request, &reply, &fd) ||
		   request->flags & FE_NEED_REPLY;
	bool go_on = true;

	if (how == SCRIPT_DIE) {
		go_on = false;
	} else if (how == SCRIPT_FLOOD) {
		flood(script);
	} else if (how == SCRIPT_ASK_FIRST && !ask_first(script)) {
		go_on = false;
	} else if (due && how != SCRIPT_SILENT) {
		if (how == SCRIPT_REFUSE)
			refuse(request, &reply);
		script->wire.chunk = how == SCRIPT_BYTEWISE;
		go_on = send_as(script, &reply, how, fd);
		script->wire.chunk = 0;
	}
	if (fd >= 0)
		close(fd);
	return go_on;
}

static void note(struct script *script, const struct fe_reply *request)
{
	unsigned int count = script->count;
	struct script_entry *entry = &script->log[count % SCRIPT_MAX_LOG];

	*entry = (struct script_entry){
	    .id = request->id,
	    .flags = request->flags,
	    .size = request->size,
	    .fds = request->num_fds,
	};
	memcpy(entry->payload, request->payload,
	       request->size < 64 ? request->size : 64);
	__atomic_store_n(&script->count, count + 1, __ATOMIC_RELEASE);
}

static void *play(void *arg)
{
	struct script *script = arg;
	bool go_on = true;

	while (go_on) {
		struct fe_reply request;

		if (fe_receive(&script->wire, &request) < 0)
			break;
		if (request.id == FE_SET_BACKEND_REQ_FD && request.num_fds == 1)
			fe_attach(&script->reverse, request.fds[0]);
		note(script, &request);
		if (request.id == FE_SET_BACKEND_REQ_FD)
			request.num_fds = 0;
		script->listening |= request.id == POSTCOPY_LISTEN;
		go_on = answer(script, &request);
		fe_reply_close(&request);
	}
	fe_close(&script->wire);
	return NULL;
}

int script_play(struct script *script)
{
	return -pthread_create(&script->thread, NULL, play, script);
}

int script_start(struct script *script)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	fe_attach(&script->wire, pair[0]);
	script->ours = pair[1];
	return script_play(script) < 0 ? -EAGAIN : pair[1];
}

void script_end(struct script *script)
{
	close(script->ours);
	pthread_join(script->thread, NULL);
	fe_close(&script->reverse);
}

int script_connect(struct script *script,
		   const struct vh_user_connect_opts *opts,
		   struct vh_fault *fault, struct vh_backend **ret_backend)
{
	VH_OPTS(vh_user_connect_opts, ours);

	if (opts)
		ours = *opts;
	ours.mode = VH_USER_FD;
	ours.fd = script_start(script);
	if (ours.fd < 0)
		return ours.fd;
	return vh_user_connect(&ours, fault, ret_backend);
}

void script_set(struct script *script, uint32_t id, int how)
{
	__atomic_store_n(&script->how, how, __ATOMIC_RELAXED);
	__atomic_store_n(&script->id, id, __ATOMIC_RELEASE);
}

const struct script_entry *script_last(const struct script *script, uint32_t id)
{
	unsigned int count = __atomic_load_n(&script->count, __ATOMIC_ACQUIRE);

	for (unsigned int i = count; i > 0; i--)
		if (script->log[(i - 1) % SCRIPT_MAX_LOG].id == id)
			return &script->log[(i - 1) % SCRIPT_MAX_LOG];
	return NULL;
}

unsigned int script_times(const struct script *script, uint32_t id)
{
	unsigned int count = __atomic_load_n(&script->count, __ATOMIC_ACQUIRE);
	unsigned int times = 0;

	for (unsigned int i = 0; i < count; i++)
		times += script->log[i % SCRIPT_MAX_LOG].id == id;
	return times;
}
