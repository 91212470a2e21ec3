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

/* The request is the one that must come now, and nobody else's bytes. */
static bool check(struct device *d, struct vh_chain *chain)
{
	struct stress *s = d->stress;
	uint8_t data[STRESS_MAX_DATA];
	struct stress_header header;
	uint64_t number = d->expected++;

	if (!gather(chain->readable, chain->readable_count, 0, &header,
		    sizeof(header)))
		return stress_fail(s, "request %llu has no header",
				   (unsigned long long)number);
	if (header.number != number)
		return stress_fail(s, "request %llu came where %llu should be",
				   (unsigned long long)header.number,
				   (unsigned long long)number);
	if (header.data > sizeof(data) || header.room > STRESS_MAX_ROOM ||
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

/* Writes the answer; returns its size. */
static uint32_t answer(const struct vh_chain *chain)
{
	struct stress_header header;
	uint32_t size, done = 0;

	/* It was checked when it came. */
	if (!gather(chain->readable, chain->readable_count, 0, &header,
		    sizeof(header)))
		return 0;
	size = stress_answer_size(&header);
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

/* Takes a burst; false if there was nothing. */
static bool take(struct device *d)
{
	struct vh_virtqueue *queue = d->stress->device;
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	unsigned int max = 1 + stress_below(&d->random, VH_VIRTQUEUE_BURST);
	int n = vh_virtqueue_pop(queue, chains, max);

	if (n < 0)
		return stress_fail(d->stress, "device: %s",
				   vh_virtqueue_fault(queue)->text);
	for (int i = 0; i < n; i++) {
		if (!check(d, chains[i]))
			return false;
		d->hand[d->held++] = chains[i];
	}
	if (n > 0 && stress_below(&d->random, 2))
		vh_virtqueue_disable_kick(queue);
	return n > 0;
}

/* Completes some of what is in hand, and shows parts of that early. */
static void complete(struct device *d, unsigned int count)
{
	while (count-- && d->held) {
		unsigned int pick = stress_below(&d->random, d->held);
		struct vh_chain *chain = d->hand[pick];

		d->hand[pick] = d->hand[--d->held];
		if (d->stress->remote && stress_below(&d->random, 2)) {
			give_away(d, chain);
			continue;
		}
		vh_virtqueue_push(d->stress->device, chain, answer(chain));
		d->pushed++;
		if (!stress_below(&d->random, 8))
			publish(d);
	}
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
