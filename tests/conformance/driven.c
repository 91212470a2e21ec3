/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "driven.h"

#include <poll.h>

void driven_session(struct fixture *f, const struct session_opts *opts,
		    uint64_t features, uint64_t protocol_features)
{
	struct session_opts ours = *opts;
	struct session *session = &f->session;

	ours.features = features | DRIVEN_FEATURES;
	ours.protocol_features = SESSION_PROTOCOL_FEATURES | protocol_features;
	new_session(f, &ours);
	connect_session(f);
	must(session_negotiate(session));
	assert_int_equal(session->features, ours.features & ~ours.not_features);
	assert_int_equal(session->protocol_features & protocol_features,
			 protocol_features);
	must(session_share_memory(session));
}

static size_t ring_size(const struct driven *d)
{
	return vh_driver_queue_size(d->num, d->session->features,
				    d->table_entries);
}

void driven_renew(struct driven *d)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	size_t size = ring_size(d);

	vh_driver_queue_free(d->ring);
	d->ring = NULL;
	opts.index = d->index;
	opts.num = d->num;
	opts.features = d->session->features;
	opts.ring =
	    d->view ? d->view : guest_at(&d->session->guest, d->block, size);
	opts.ring_at = d->iova ? d->iova : d->block;
	opts.table_entries = d->table_entries;
	assert_non_null(opts.ring);
	must(vh_driver_queue_new(&opts, NULL, &d->ring));
	d->base = vh_driver_queue_base(d->ring);
}

void driven_make(struct driven *d, struct session *session, unsigned int index,
		 uint32_t num, uint32_t table_entries)
{
	*d = (struct driven){
	    .session = session,
	    .index = index,
	    .num = num,
	    .table_entries = table_entries,
	};
	d->block = guest_alloc(&session->guest, ring_size(d), 4096);
	assert_true(d->block != 0);
	driven_renew(d);
}

void driven_free(struct driven *d)
{
	vh_driver_queue_free(d->ring);
	d->ring = NULL;
}

/* Where the front-end says that it is. */
static uint64_t told(const struct driven *d, vh_gpa address)
{
	return d->iova ? address : guest_user(&d->session->guest, address);
}

int driven_set_addr(struct driven *d)
{
	struct fe_vring_addr addr = {.index = d->index, .flags = d->flags};
	vh_gpa descriptors, available, used;

	vh_driver_queue_addresses(d->ring, &descriptors, &available, &used);
	addr.desc = told(d, descriptors);
	addr.avail = told(d, available);
	addr.used = told(d, used);
	addr.log = d->log ? d->log : used;
	return fe_set_vring_addr(&d->session->fe, &addr);
}

int driven_setup(struct driven *d)
{
	struct session_queue *queue = &d->session->queues[d->index];
	struct frontend *fe = &d->session->fe;
	uint64_t old;
	int ret;

	/* what was wrong with an earlier ring is over */
	assert_true(read(queue->err, &old, sizeof(old)) > 0 || errno == EAGAIN);
	ret = fe_set_vring(fe, FE_SET_VRING_NUM, d->index, d->num);
	if (ret == 0)
		ret = fe_set_vring(fe, FE_SET_VRING_BASE, d->index, d->base);
	if (ret == 0)
		ret = driven_set_addr(d);
	if (ret == 0)
		ret =
		    fe_set_vring_fd(fe, FE_SET_VRING_ERR, d->index, queue->err);
	if (ret == 0)
		ret = fe_set_vring_fd(fe, FE_SET_VRING_CALL, d->index,
				      queue->call);
	return ret;
}

void driven_start(struct driven *d)
{
	struct session_queue *queue = &d->session->queues[d->index];
	struct frontend *fe = &d->session->fe;

	must(driven_setup(d));
	must(fe_set_vring_fd(fe, FE_SET_VRING_KICK, d->index, queue->kick));
	must(fe_set_vring(fe, FE_SET_VRING_ENABLE, d->index, 1));
}

void driven_stop(struct driven *d)
{
	must(fe_get_vring_base(&d->session->fe, d->index, &d->base));
}

struct iovec driven_iov(uint64_t address, size_t size)
{
	return (struct iovec){
	    .iov_base = (void *)(uintptr_t)address,
	    .iov_len = size,
	};
}

int driven_try_add(struct driven *d, const struct iovec readable[],
		   unsigned int readable_count, const struct iovec writable[],
		   unsigned int writable_count, void *token)
{
	int ret = vh_driver_queue_add(d->ring, readable, readable_count,
				      writable, writable_count, token);

	if (ret == 0 && vh_driver_queue_publish(d->ring))
		ret = session_kick(d->session, d->index);
	return ret;
}

void driven_add(struct driven *d, const struct iovec readable[],
		unsigned int readable_count, const struct iovec writable[],
		unsigned int writable_count, void *token)
{
	must(driven_try_add(d, readable, readable_count, writable,
			    writable_count, token));
}

unsigned int driven_collect(struct driven *d, struct vh_driver_used *used,
			    unsigned int max)
{
	int n = vh_driver_queue_collect(d->ring, used, max);

	if (n < 0)
		fail_msg("%s", vh_driver_queue_fault(d->ring)->text);
	return (unsigned int)n;
}

/* Until there is a call; -EIO: an err. */
static int wait_for_call(struct driven *d)
{
	struct session_queue *queue = &d->session->queues[d->index];
	struct pollfd polls[2] = {
	    {.fd = queue->call, .events = POLLIN},
	    {.fd = queue->err, .events = POLLIN},
	};
	uint64_t value;

	if (poll(polls, 2, FE_TIMEOUT_MS) <= 0)
		return -ETIMEDOUT;
	if (polls[1].revents)
		return -EIO;
	return read(queue->call, &value, sizeof(value)) == 8 ? 0 : -errno;
}

int driven_wait(struct driven *d, struct vh_driver_used *ret_used)
{
	int ret = 0;

	while (ret == 0) {
		ret = vh_driver_queue_collect(d->ring, ret_used, 1);
		if (ret != 0)
			return ret < 0 ? ret : 0;
		if (!vh_driver_queue_enable_calls(d->ring))
			ret = wait_for_call(d);
	}
	return ret;
}

int driven_try_echo(struct driven *d, uint64_t area, uint32_t size)
{
	const struct iovec readable = driven_iov(area, size);
	const struct iovec writable = driven_iov(area + size, size);
	const struct guest *guest = &d->session->guest;
	uint8_t out[ECHO_MAX], in[ECHO_MAX] = {0};
	struct vh_driver_used used;
	int ret;

	blk_pattern(out, size, area + d->tries++);
	guest_write(guest, area, out, size);
	guest_write(guest, area + size, in, size);
	ret = driven_try_add(d, &readable, 1, &writable, 1, d);
	if (ret == 0)
		ret = driven_wait(d, &used);
	if (ret < 0)
		return ret;
	if (used.token != d || used.written != size)
		return -EBADMSG;
	guest_read(guest, area + size, in, size);
	return memcmp(in, out, size) == 0 ? 0 : -EBADMSG;
}

void driven_echo(struct driven *d, uint64_t area, uint32_t size)
{
	must(driven_try_echo(d, area, size));
}
