/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static void fill_in(struct session_opts *opts)
{
	if (!opts->num_queues)
		opts->num_queues = 1;
	if (!opts->queue_size)
		opts->queue_size = 128;
	if (!opts->table_entries)
		opts->table_entries = 16;
	if (!opts->features)
		opts->features = SESSION_FEATURES;
	if (!opts->protocol_features)
		opts->protocol_features = SESSION_PROTOCOL_FEATURES;
	if (!opts->region_size)
		opts->region_size = 4 * MIB;
	if (!opts->regions)
		opts->regions = 2;
	opts->features &= ~opts->not_features;
	opts->protocol_features &= ~opts->not_protocol_features;
}

static int make_queue(struct session *session, unsigned int index)
{
	const struct session_opts *opts = &session->opts;
	struct session_queue *queue = &session->queues[index];
	struct driver_layout layout;

	layout = driver_layout(opts->queue_size, opts->table_entries);
	queue->size = opts->queue_size;
	queue->block = guest_alloc(&session->guest, layout.size, 64);
	if (!queue->block)
		return -ENOMEM;
	queue->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->err < 0)
		return -errno;
	if (opts->polled)
		return 0;
	queue->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return queue->kick < 0 || queue->call < 0 ? -errno : 0;
}

int session_new(struct session *session, const struct session_opts *opts)
{
	unsigned int i;
	int ret;

	memset(session, 0, sizeof(*session));
	session->made = true;
	session->fe.sock = -1;
	if (opts)
		session->opts = *opts;
	fill_in(&session->opts);
	for (i = 0; i < SESSION_MAX_QUEUES; i++) {
		session->queues[i].kick = -1;
		session->queues[i].call = -1;
		session->queues[i].err = -1;
	}
	ret = guest_new(&session->guest, session->opts.region_size,
			session->opts.regions);
	for (i = 0; ret == 0 && i < session->opts.num_queues; i++)
		ret = make_queue(session, i);
	return ret;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void session_free(struct session *session)
{
	unsigned int i;

	if (!session->made)
		return;
	session->made = false;
	fe_close(&session->fe);
	for (i = 0; i < SESSION_MAX_QUEUES; i++) {
		struct session_queue *queue = &session->queues[i];

		driver_ring_free(queue->ring);
		queue->ring = NULL;
		close_one(&queue->kick);
		close_one(&queue->call);
		close_one(&queue->err);
	}
	guest_free(&session->guest);
}

int session_connect(struct session *session, const char *path)
{
	fe_close(&session->fe);
	return fe_connect(&session->fe, path);
}

int session_negotiate(struct session *session)
{
	session->features = session->opts.features;
	session->protocol_features = session->opts.protocol_features;
	return fe_negotiate(&session->fe, &session->features,
			    &session->protocol_features);
}

int session_share_memory(struct session *session)
{
	const struct guest *guest = &session->guest;
	unsigned int i;
	int ret = 0;

	if (!(session->protocol_features & FE_PF_MEM_SLOTS))
		return fe_set_mem_table(&session->fe, guest->regions,
					guest->count);
	for (i = 0; ret == 0 && i < guest->count; i++)
		ret = fe_add_region(&session->fe, &guest->regions[i]);
	return ret;
}

int session_make_ring(struct session *session, unsigned int index)
{
	struct session_queue *queue = &session->queues[index];
	struct driver_ring_opts opts = {
	    .gpa = queue->block,
	    .num = queue->size,
	    .table_entries = session->opts.table_entries,
	    .event_idx = session->features & FE_F_EVENT_IDX,
	    .base = queue->base,
	};
	struct driver_layout layout;

	layout = driver_layout(opts.num, opts.table_entries);
	opts.block = guest_at(&session->guest, queue->block, layout.size);
	driver_ring_free(queue->ring);
	queue->ring = driver_ring_new(&opts);
	return queue->ring ? 0 : -ENOMEM;
}

int session_make_rings(struct session *session)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; ret == 0 && i < session->opts.num_queues; i++) {
		session->queues[i].base = 0;
		ret = session_make_ring(session, i);
	}
	return ret;
}

int session_set_addr(struct session *session, unsigned int index,
		     uint32_t flags)
{
	const struct driver_ring *ring = session->queues[index].ring;
	const struct guest *guest = &session->guest;
	struct fe_vring_addr addr = {
	    .index = index,
	    .flags = flags,
	    .desc = guest_user(guest, driver_ring_descriptors(ring)),
	    .avail = guest_user(guest, driver_ring_avail(ring)),
	    .used = guest_user(guest, driver_ring_used(ring)),
	    .log = driver_ring_used(ring),
	};

	return fe_set_vring_addr(&session->fe, &addr);
}

int session_setup_queue(struct session *session, unsigned int index)
{
	struct session_queue *queue = &session->queues[index];
	struct frontend *fe = &session->fe;
	uint64_t old;
	int ret;

	/* what was wrong with an earlier ring is over */
	if (read(queue->err, &old, sizeof(old)) < 0 && errno != EAGAIN)
		return -errno;
	ret = fe_set_vring(fe, FE_SET_VRING_NUM, index, queue->size);
	if (ret == 0)
		ret = fe_set_vring(fe, FE_SET_VRING_BASE, index, queue->base);
	if (ret == 0)
		ret = session_set_addr(session, index, 0);
	if (ret == 0)
		ret = fe_set_vring_fd(fe, FE_SET_VRING_ERR, index, queue->err);
	if (ret == 0)
		ret =
		    fe_set_vring_fd(fe, FE_SET_VRING_CALL, index, queue->call);
	return ret;
}

int session_start_queue(struct session *session, unsigned int index)
{
	struct session_queue *queue = &session->queues[index];
	struct frontend *fe = &session->fe;
	int ret = session_setup_queue(session, index);

	if (ret == 0)
		ret =
		    fe_set_vring_fd(fe, FE_SET_VRING_KICK, index, queue->kick);
	if (ret == 0 && session->features & FE_F_PROTOCOL_FEATURES)
		ret = fe_set_vring(fe, FE_SET_VRING_ENABLE, index, 1);
	return ret;
}

int session_start_queues(struct session *session)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; ret == 0 && i < session->opts.num_queues; i++)
		ret = session_start_queue(session, i);
	return ret;
}

int session_start(struct session *session)
{
	int ret = session_negotiate(session);

	if (ret == 0)
		ret = session_share_memory(session);
	if (ret == 0)
		ret = session_make_rings(session);
	if (ret == 0)
		ret = session_start_queues(session);
	return ret == 0 ? fe_sync(&session->fe) : ret;
}

int session_open(struct session *session, const struct session_opts *opts,
		 const char *path)
{
	int ret = session_new(session, opts);

	if (ret == 0)
		ret = session_connect(session, path);
	return ret == 0 ? session_start(session) : ret;
}

int session_stop_queue(struct session *session, unsigned int index)
{
	uint32_t base;
	int ret = fe_get_vring_base(&session->fe, index, &base);

	if (ret == 0)
		session->queues[index].base = (uint16_t)base;
	return ret;
}

int session_kick(struct session *session, unsigned int index)
{
	uint64_t one = 1;
	int kick = session->queues[index].kick;

	if (kick < 0)
		return 0;
	return write(kick, &one, sizeof(one)) == sizeof(one) ? 0 : -errno;
}

int session_submit(struct session *session, unsigned int index,
		   const struct driver_buffer *buffers, unsigned int count,
		   bool indirect)
{
	struct driver_ring *ring = session->queues[index].ring;
	int id = driver_ring_add(ring, buffers, count, indirect);
	int ret = 0;

	if (id < 0)
		return id;
	driver_ring_publish(ring);
	if (driver_ring_needs_kick(ring))
		ret = session_kick(session, index);
	return ret < 0 ? ret : id;
}

/* Waits for a call or an err: 0, or -EIO, or -ETIMEDOUT. */
static int wait_for_call(struct session_queue *queue, int64_t deadline)
{
	struct pollfd pollers[2] = {
	    {.fd = queue->call, .events = POLLIN},
	    {.fd = queue->err, .events = POLLIN},
	};
	int64_t left = deadline - fe_now_ms();
	uint64_t value;

	if (left <= 0)
		return -ETIMEDOUT;
	if (queue->call < 0)
		sched_yield();
	if (poll(pollers, 2, queue->call < 0 ? 0 : (int)left) < 0)
		return errno == EINTR ? 0 : -errno;
	if (pollers[1].revents)
		return -EIO;
	if (pollers[0].revents &&
	    read(queue->call, &value, sizeof(value)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

int session_wait(struct session *session, unsigned int index,
		 struct driver_used *ret_used)
{
	struct session_queue *queue = &session->queues[index];
	int64_t deadline = fe_now_ms() + session->fe.timeout_ms;

	for (;;) {
		int n = driver_ring_collect(queue->ring, ret_used, 1);

		if (n != 0)
			return n < 0 ? n : 0;
		if (driver_ring_enable_calls(queue->ring))
			continue;
		n = wait_for_call(queue, deadline);
		if (n < 0)
			return n;
	}
}

int session_wait_err(struct session *session, unsigned int index)
{
	uint64_t value;
	int err = session->queues[index].err;
	int ret = fe_wait_readable(err, session->fe.timeout_ms);

	if (ret < 0)
		return ret;
	return read(err, &value, sizeof(value)) < 0 ? -errno : 0;
}
