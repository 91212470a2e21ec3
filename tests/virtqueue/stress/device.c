/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The device: takes requests in bursts, holds some of them back, answers in
 * any order, and sleeps when it has none.
 */
#include "stress.h"
#include <pthread.h>
#include <string.h>

/* The third thread, and what it has to complete. */
struct helper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct vh_chain *todo[STRESS_MAX_NUM];
	unsigned int count;
	bool over;
};

struct device {
	struct stress *stress;
	struct stress_random random;
	uint64_t expected; /* number of the next request */
	uint64_t pushed;
	uint64_t away; /* with the helper */
	struct vh_chain *hand[STRESS_MAX_NUM];
	unsigned int held;
	struct helper helper;
};

/* Copies what the pieces have at an offset; they end there at the latest. */
static bool gather(const struct iovec *pieces, unsigned int count,
		   uint32_t offset, void *to, size_t size)
{
	char *out = to;

	for (unsigned int i = 0; i < count && size; i++) {
		size_t length = pieces[i].iov_len;
		size_t part;

		if (offset >= length) {
			offset -= (uint32_t)length;
			continue;
		}
		part = length - offset < size ? length - offset : size;
		memcpy(out, (char *)pieces[i].iov_base + offset, part);
		out += part;
		size -= part;
		offset = 0;
	}
	return !size;
}

static bool check_bytes(struct device *d, const struct vh_chain *chain,
			uint64_t number)
{
	struct stress *s = d->stress;
	uint8_t data[STRESS_MAX_DATA];
	struct stress_header header;

	if (!gather(chain->readable, chain->readable_count, 0, &header,
		    sizeof(header)))
		return stress_fail(s, "request %llu has no header",
				   (unsigned long long)number);
	if (header.number != number)
		return stress_fail(s, "request %llu came where %llu should be",
				   (unsigned long long)header.number,
				   (unsigned long long)number);
	if (header.data > sizeof(data) ||
	    chain->readable_size != sizeof(header) + header.data ||
	    chain->writable_size != header.room ||
	    !gather(chain->readable, chain->readable_count, sizeof(header),
		    data, header.data))
		return stress_fail(s, "request %llu: %u bytes with room for %u",
				   (unsigned long long)number,
				   chain->readable_size, chain->writable_size);
	for (unsigned int i = 0; i < header.data; i++)
		if (data[i] != stress_byte(number, STRESS_SALT_REQUEST, i))
			return stress_fail(s, "request %llu: byte %u is old",
					   (unsigned long long)number, i);
	return true;
}

/* The request is the one that must come now, and nobody else's bytes. */
static bool check(struct device *d, struct vh_chain *chain)
{
	uint64_t number = d->expected++;

	chain->user = (void *)(uintptr_t)number;
	if (chain->writable_size > STRESS_MAX_ROOM)
		return stress_fail(d->stress, "request %llu: room for %u",
				   (unsigned long long)number,
				   chain->writable_size);
	return !chain->readable_size || check_bytes(d, chain, number);
}

/* Writes the answer; returns its size. */
static uint32_t answer(const struct vh_chain *chain)
{
	const struct stress_header header = {
	    .number = (uintptr_t)chain->user,
	    .room = chain->writable_size,
	};
	uint32_t size = stress_answer_size(&header), done = 0;

	for (unsigned int i = 0; i < chain->writable_count; i++) {
		uint8_t *out = chain->writable[i].iov_base;

		for (size_t j = 0; j < chain->writable[i].iov_len; j++) {
			if (done == size)
				return size;
			out[j] = stress_byte(header.number, STRESS_SALT_ANSWER,
					     done++);
		}
	}
	return size;
}

static void *help(void *arg)
{
	struct device *d = arg;
	struct helper *h = &d->helper;

	for (;;) {
		struct vh_chain *chain;

		pthread_mutex_lock(&h->lock);
		while (!h->count && !h->over)
			pthread_cond_wait(&h->changed, &h->lock);
		chain = h->count ? h->todo[--h->count] : NULL;
		pthread_mutex_unlock(&h->lock);
		if (!chain)
			return NULL;
		if (vh_virtqueue_push_remote(d->stress->device, chain,
					     answer(chain)))
			stress_wake(d->stress->kick);
	}
}

static void give_away(struct device *d, struct vh_chain *chain)
{
	struct helper *h = &d->helper;

	d->away++;
	pthread_mutex_lock(&h->lock);
	h->todo[h->count++] = chain;
	pthread_cond_signal(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static void helper_start(struct device *d)
{
	struct helper *h = &d->helper;

	if (!d->stress->remote)
		return;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	if (pthread_create(&h->thread, NULL, help, d)) {
		stress_fail(d->stress, "no thread");
		d->stress->remote = false;
	}
}

static void helper_stop(struct device *d)
{
	struct helper *h = &d->helper;

	if (!d->stress->remote)
		return;
	pthread_mutex_lock(&h->lock);
	h->over = true;
	pthread_cond_signal(&h->changed);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
}

static void publish(struct device *d)
{
	if (vh_virtqueue_publish(d->stress->device))
		stress_wake(d->stress->call);
}

/* Takes chains into its hand. Returns how many; -1 if something is wrong. */
static int take_chains(struct device *d, unsigned int max)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	int n = vh_virtqueue_pop(d->stress->device, chains, max);

	for (int i = 0; i < n; i++) {
		if (!check(d, chains[i]))
			return -1;
		d->hand[d->held++] = chains[i];
	}
	return n;
}

/* Answers what can be done at once; the same. */
static int pass_buffers(struct device *d, unsigned int max)
{
	struct vh_virtqueue *queue = d->stress->device;
	struct vh_buffer buffers[VH_VIRTQUEUE_BURST];
	uint32_t written[VH_VIRTQUEUE_BURST];
	int n = vh_virtqueue_pop_buffers(queue, buffers, max);

	for (int i = 0; i < n; i++) {
		bool write = buffers[i].is_writable;
		struct iovec piece = {buffers[i].data, buffers[i].size};
		struct vh_chain chain = {
		    .readable = &piece,
		    .writable = &piece,
		    .readable_size = write ? 0 : buffers[i].size,
		    .writable_size = write ? buffers[i].size : 0,
		    .readable_count = !write,
		    .writable_count = write,
		};

		if (!check(d, &chain))
			return -1;
		written[i] = answer(&chain);
	}
	if (n > 0) {
		vh_virtqueue_push_buffers(queue, buffers, written,
					  (unsigned int)n);
		d->pushed += (unsigned int)n;
		d->stress->at_once += (unsigned int)n;
	}
	return n;
}

/* Takes a burst; false if there was nothing. */
static bool take(struct device *d)
{
	struct vh_virtqueue *queue = d->stress->device;
	unsigned int max = 1 + stress_below(&d->random, VH_VIRTQUEUE_BURST);
	int n = 0;

	if (stress_below(&d->random, 4))
		n = pass_buffers(d, max);
	if (n == 0)
		n = take_chains(d, max);
	if (n < 0 && vh_virtqueue_fault(queue))
		return stress_fail(d->stress, "device: %s",
				   vh_virtqueue_fault(queue)->text);
	if (n > 0 && stress_below(&d->random, 2))
		vh_virtqueue_disable_kick(queue);
	return n > 0;
}

static void push(struct device *d, struct vh_chain *const chains[],
		 const uint32_t written[], unsigned int count)
{
	if (count == 1)
		vh_virtqueue_push(d->stress->device, chains[0], written[0]);
	else
		vh_virtqueue_push_many(d->stress->device, chains, written,
				       count);
}

/* Completes some of what is in hand, and shows parts of that early. */
static void complete(struct device *d, unsigned int count)
{
	struct vh_chain *burst[STRESS_MAX_NUM];
	uint32_t written[STRESS_MAX_NUM];
	unsigned int n = 0;

	while (count-- && d->held) {
		unsigned int pick = stress_below(&d->random, d->held);
		struct vh_chain *chain = d->hand[pick];

		d->hand[pick] = d->hand[--d->held];
		if (d->stress->remote && stress_below(&d->random, 2)) {
			give_away(d, chain);
			continue;
		}
		written[n] = answer(chain);
		burst[n++] = chain;
		d->pushed++;
		if (stress_below(&d->random, 4))
			continue;
		push(d, burst, written, n);
		n = 0;
		if (!stress_below(&d->random, 2))
			publish(d);
	}
	push(d, burst, written, n);
}

static void take_remote(struct device *d)
{
	unsigned int count = vh_virtqueue_take_remote(d->stress->device);

	d->away -= count;
	d->pushed += count;
}

void *stress_serve(void *stress)
{
	struct device d = {.stress = stress, .random = {0xdecade}};
	struct vh_virtqueue *queue = d.stress->device;

	helper_start(&d);
	while (d.pushed < d.stress->total && !stress_failed(d.stress)) {
		bool found = take(&d);

		/* With nothing new, all that is in hand has to go. */
		complete(&d, found ? stress_below(&d.random, 40) : d.held);
		take_remote(&d);
		if (found && stress_below(&d.random, 2))
			continue;
		stress_pause(&d.random);
		publish(&d);
		if (!found && d.pushed < d.stress->total && !d.held &&
		    !vh_virtqueue_enable_kick(queue))
			stress_sleep(d.stress, d.stress->kick, "device");
	}
	/* Whatever is still away is pushed before the queue goes. */
	helper_stop(&d);
	take_remote(&d);
	publish(&d);
	return NULL;
}
