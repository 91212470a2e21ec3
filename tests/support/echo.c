/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "echo.h"
#include "frontend.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_WORKERS 16
#define MAX_HELD    4096
#define MAX_HELPERS 4
#define READ_ONLY   8 /* so many bytes of the config space are */

struct held {
	struct vh_queue *queue;
	struct vh_chain *chain;
};

struct echo_worker {
	struct echo *echo;
	int wake;
	unsigned int count;
	struct held held[MAX_HELD];
};

/* Requests that wait for a helper. */
struct pool {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool quit;
	uint64_t random;
	unsigned int count;
	struct held list[MAX_HELD];
	unsigned int num_helpers;
	pthread_t helpers[MAX_HELPERS];
};

struct echo {
	bool hold;	   /* atomic */
	unsigned int held; /* atomic */
	uint8_t config[ECHO_CONFIG_SIZE];
	unsigned int num_workers;
	struct echo_worker workers[MAX_WORKERS];
	struct pool pool;
};

/*
 * The guest may change its memory at any time, hence atomic, byte by byte.
 * ThreadSanitizer can't know better either: that a ring hands bytes on is
 * lost on it where the driver maps the same file at another address.
 */
static void guest_copy(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		__atomic_store_n(&to[i],
				 __atomic_load_n(&from[i], __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
}

static size_t copy_out(uint8_t *to, size_t room, const struct vh_chain *chain)
{
	size_t done = 0;
	unsigned int i;

	for (i = 0; i < chain->readable_count; i++) {
		size_t n = chain->readable[i].iov_len;

		if (n > room - done)
			n = room - done;
		guest_copy(to + done, chain->readable[i].iov_base, n);
		done += n;
	}
	return done;
}

static uint32_t copy(const struct vh_chain *chain)
{
	uint8_t bytes[65536];
	size_t size = copy_out(bytes, sizeof(bytes), chain);
	size_t done = 0;
	unsigned int i;

	for (i = 0; i < chain->writable_count; i++) {
		size_t n = chain->writable[i].iov_len;

		if (n > size - done)
			n = size - done;
		guest_copy(chain->writable[i].iov_base, bytes + done, n);
		done += n;
	}
	return (uint32_t)done;
}

static void finish(struct vh_queue *queue, struct vh_chain *chain)
{
	vh_queue_complete(queue, chain, copy(chain));
}

static bool is_held(const struct echo *echo)
{
	return __atomic_load_n(&echo->hold, __ATOMIC_ACQUIRE);
}

/* False: there is no room. */
static bool give_to_helpers(struct echo *echo, struct vh_queue *queue,
			    struct vh_chain *chain)
{
	struct pool *pool = &echo->pool;
	bool room;

	pthread_mutex_lock(&pool->lock);
	room = pool->count < MAX_HELD;
	if (room) {
		pool->list[pool->count++] = (struct held){queue, chain};
		__atomic_fetch_add(&echo->held, 1, __ATOMIC_RELEASE);
		pthread_cond_signal(&pool->change);
	}
	pthread_mutex_unlock(&pool->lock);
	return room;
}

/* Any of those that wait; by the lock. */
static struct held take_any(struct echo *echo)
{
	struct pool *pool = &echo->pool;
	struct held held;
	size_t index;

	pool->random = pool->random * UINT64_C(6364136223846793005) + 1;
	index = (size_t)(pool->random >> 33) % pool->count;
	held = pool->list[index];
	pool->list[index] = pool->list[--pool->count];
	__atomic_fetch_sub(&echo->held, 1, __ATOMIC_RELEASE);
	return held;
}

static void *help(void *arg)
{
	struct echo *echo = arg;
	struct pool *pool = &echo->pool;
	struct held held;

	pthread_mutex_lock(&pool->lock);
	while (!pool->quit) {
		if (!pool->count || is_held(echo)) {
			pthread_cond_wait(&pool->change, &pool->lock);
			continue;
		}
		held = take_any(echo);
		pthread_mutex_unlock(&pool->lock);
		vh_queue_complete_remote(held.queue, held.chain,
					 copy(held.chain));
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static int start_helpers(struct echo *echo, unsigned int count)
{
	struct pool *pool = &echo->pool;

	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->change, NULL);
	for (; pool->num_helpers < count; pool->num_helpers++)
		if (pthread_create(&pool->helpers[pool->num_helpers], NULL,
				   help, echo) != 0)
			return -EAGAIN;
	return 0;
}

static void wake_helpers(struct echo *echo, bool quit)
{
	struct pool *pool = &echo->pool;

	pthread_mutex_lock(&pool->lock);
	pool->quit = pool->quit || quit;
	pthread_cond_broadcast(&pool->change);
	pthread_mutex_unlock(&pool->lock);
}

static void process(void *user, struct vh_queue *queue,
		    struct vh_chain *chains[], unsigned int count)
{
	struct echo *echo = user;
	struct echo_worker *worker = vh_worker_user(vh_queue_worker(queue));
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (echo->pool.num_helpers &&
		    give_to_helpers(echo, queue, chains[i]))
			continue;
		if (!is_held(echo) || worker->count == MAX_HELD) {
			finish(queue, chains[i]);
			continue;
		}
		worker->held[worker->count].queue = queue;
		worker->held[worker->count].chain = chains[i];
		worker->count++;
		__atomic_fetch_add(&echo->held, 1, __ATOMIC_RELEASE);
	}
}

static void let_go(void *user)
{
	struct echo_worker *worker = user;
	uint64_t value;
	unsigned int i;

	if (read(worker->wake, &value, sizeof(value)) < 0)
		return;
	for (i = 0; i < worker->count; i++) {
		__atomic_fetch_sub(&worker->echo->held, 1, __ATOMIC_RELEASE);
		finish(worker->held[i].queue, worker->held[i].chain);
	}
	worker->count = 0;
}

static int worker_start(void *user, struct vh_worker *worker)
{
	struct echo *echo = user;
	struct echo_worker *ours = &echo->workers[vh_worker_index(worker)];

	vh_worker_set_user(worker, ours);
	return vh_worker_watch(worker, ours->wake, let_go, ours);
}

static void worker_stop(void *user, struct vh_worker *worker)
{
	(void)user;
	vh_worker_unwatch(worker);
}

static int get_config(void *user, uint32_t offset, void *buffer, uint32_t size)
{
	struct echo *echo = user;

	memcpy(buffer, echo->config + offset, size);
	return 0;
}

static int set_config(void *user, uint32_t offset, const void *buffer,
		      uint32_t size, uint32_t by)
{
	struct echo *echo = user;

	if (by == VH_CONFIG_BY_DRIVER && offset < READ_ONLY)
		return -EACCES;
	memcpy(echo->config + offset, buffer, size);
	return 0;
}

static void destroy(void *user)
{
	struct echo *echo = user;
	unsigned int i;

	wake_helpers(echo, true);
	for (i = 0; i < echo->pool.num_helpers; i++)
		pthread_join(echo->pool.helpers[i], NULL);
	for (i = 0; i < echo->num_workers; i++)
		close(echo->workers[i].wake);
	pthread_mutex_destroy(&echo->pool.lock);
	pthread_cond_destroy(&echo->pool.change);
	free(echo);
}

static const struct vh_device_ops echo_ops = {
    .size = sizeof(echo_ops),
    .process = process,
    .worker_start = worker_start,
    .worker_stop = worker_stop,
    .get_config = get_config,
    .set_config = set_config,
    .destroy = destroy,
};

static int make(unsigned int num_workers, unsigned int helpers,
		struct echo **ret_echo)
{
	struct echo *echo = calloc(1, sizeof(*echo));
	unsigned int i;

	if (!echo || num_workers > MAX_WORKERS || helpers > MAX_HELPERS) {
		free(echo);
		return -ENOMEM;
	}
	if (start_helpers(echo, helpers) < 0) {
		destroy(echo);
		return -EAGAIN;
	}
	for (i = 0; i < num_workers; i++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0) {
			destroy(echo);
			return -EMFILE;
		}
		echo->workers[i].echo = echo;
		echo->workers[i].wake = fd;
		echo->num_workers = i + 1;
	}
	for (i = 0; i < ECHO_CONFIG_SIZE; i++)
		echo->config[i] = (uint8_t)(0xe0 + i);
	*ret_echo = echo;
	return 0;
}

int echo_new(const struct echo_opts *opts, struct echo **ret_echo,
	     struct vh_backend **ret_backend)
{
	uint32_t workers = opts->workers ? opts->workers : 1;
	struct echo *echo;
	int ret = make(workers, opts->helpers, &echo);

	VH_OPTS(vh_device_opts, device);
	if (ret < 0)
		return ret;
	device.num_queues = opts->num_queues ? opts->num_queues : 1;
	device.workers = opts->own_loop ? 0 : workers;
	device.config_size = ECHO_CONFIG_SIZE;
	device.max_segments = opts->max_segments;
	device.features = opts->features;
	device.name = "echo";
	ret = vh_device_new(&echo_ops, &device, echo, ret_backend);
	if (ret < 0)
		destroy(echo);
	else
		*ret_echo = echo;
	return ret;
}

void echo_hold(struct echo *echo)
{
	__atomic_store_n(&echo->hold, true, __ATOMIC_RELEASE);
}

void echo_release(struct echo *echo)
{
	uint64_t one = 1;
	unsigned int i;

	__atomic_store_n(&echo->hold, false, __ATOMIC_RELEASE);
	wake_helpers(echo, false);
	for (i = 0; i < echo->num_workers; i++)
		if (write(echo->workers[i].wake, &one, sizeof(one)) < 0)
			return;
}

unsigned int echo_held(const struct echo *echo)
{
	return __atomic_load_n(&echo->held, __ATOMIC_ACQUIRE);
}

int echo_wait_held(const struct echo *echo, unsigned int count)
{
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;

	while (echo_held(echo) != count) {
		if (fe_now_ms() > deadline)
			return -ETIMEDOUT;
		usleep(500);
	}
	return 0;
}
