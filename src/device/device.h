/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The engine that makes a back-end of a device's callbacks.
 *
 * Two sides share the structs below, and each member says whose it is. The
 * control side (C) is the one thread that drives the back-end; the worker
 * (W) is the one thread that runs a queue. Control changes what a worker
 * owns by handing it a task and waiting for it (task.c), so there is no lock
 * on the way of a request.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <backend/backend.h>
#include <base/fd.h>
#include <base/log.h>
#include <libvhost/device.h>
#include <pthread.h>

#define STATUS_NEEDS_RESET 0x40

/* What a task returns that isn't finished: run it again after a round. */
#define VHI_AGAIN 1

struct vhi_task {
	int (*run)(struct vh_worker *worker, void *arg);
	void *arg;
	int result;
	bool done;
	struct vhi_task *next;
};

/* Written by the worker, read by anybody: relaxed atomics. */
struct vhi_counters {
	uint64_t kicks;
	uint64_t calls;
	uint64_t requests;
	uint64_t bursts;
	uint64_t faults;
};

struct vh_queue {
	struct vh_device *device;
	struct vh_worker *worker;
	uint32_t index;

	/* C: what the front-end said; descriptors are ours */
	uint32_t num;
	bool has_addr;
	bool enabled;
	bool started;
	struct vh_vring_addr addr;
	uint32_t base;
	int kick_fd;
	int call_fd;
	int err_fd;

	/* by the device's iotlb_lock: what was asked for */
	bool asked;
	vh_gpa asked_iova;
	uint32_t asked_access;

	/* W: what runs; ring is NULL while the queue is stopped */
	struct vh_virtqueue *ring;
	bool live;    /* enabled */
	bool active;  /* on the worker's list: there may be chains */
	bool touched; /* completions wait to be published */
	unsigned int unpublished;     /* how many */
	uint64_t dry_since;	      /* ns; 0: the last look found chains */
	uint64_t asleep_since;	      /* ns; 0: awake */
	uint32_t linger_ns;	      /* looks on so long before sleeping */
	struct vh_queue *next_remote; /* on the worker's list */
	bool logs;		      /* what it writes */
	bool stopping;		      /* takes no more chains */
	bool drained;		      /* it ended with nothing in flight */
	bool reported;		      /* that it is broken */
	bool watched;		      /* kick is in the worker's epoll set */
	struct vhi_notifier kick;     /* none: the ring is polled */
	struct vhi_notifier call;
	struct vhi_notifier err;
	void *user;
	struct vhi_counters counters;
};

struct vh_worker {
	struct vh_device *device;
	uint32_t index;
	bool threaded; /* constant */

	/* C */
	bool running; /* the thread exists */
	pthread_t thread;

	/* shared: the inbox, by the lock */
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct vhi_task *inbox;
	bool quit;
	int epoll;
	int wake;

	/* shared, atomic: queues with completions from other threads */
	struct vh_queue *remote;
	unsigned int remote_callers; /* threads that may still write to wake */

	/* W */
	bool begun; /* worker_start was called */
	struct vhi_notifier logged;
	bool guarded; /* in a round, or a task */
	bool again;   /* the device has more to do */
	void *user;
	struct vhi_task *waiting;
	unsigned int active_count;
	unsigned int touched_count;
	struct vh_queue **active;
	struct vh_queue **touched;
	int watch_fd;
	bool watch_fired;
	void (*watch_ready)(void *user);
	void *watch_user;
};

/* The shared memory that tracks requests in flight. */
struct vhi_area {
	char *map; /* NULL: none */
	size_t map_size;
	char *start; /* of the first queue's part */
	uint16_t num_queues;
	uint16_t queue_size;
	bool packed; /* laid out for packed rings */
};

struct vh_device {
	struct vh_backend backend;
	struct vh_device_ops ops;
	struct vh_device_opts opts;
	void *user;
	char *name;
	struct vhi_log words; /* for people */

	/* C */
	uint64_t features;
	uint8_t status;
	struct vh_memory *memory;
	/* changes by iotlb_lock; NULL: ACCESS_PLATFORM isn't negotiated */
	struct vh_memory *iotlb;
	struct vh_dirty_log *log; /* NULL: there is none */
	struct vhi_area area;

	pthread_mutex_t iotlb_lock;
	int log_fd; /* to be signalled when something was logged */

	/* any thread, atomic */
	uint32_t broken;      /* number of queues that are */
	bool memory_vanished; /* all queues break */
	uint64_t grace_ends;  /* ns; 0: a front-end wants its requests done */

	uint32_t num_workers;
	struct vh_worker *workers;
	struct vh_queue queues[];
};

static inline struct vh_device *vhi_device_of(struct vh_backend *backend)
{
	return (struct vh_device *)backend;
}

extern const struct vhi_backend_ops vhi_device_backend_ops;

/* task.c: control hands work to a worker and waits for its result. */
int vhi_worker_call(struct vh_worker *worker,
		    int (*run)(struct vh_worker *worker, void *arg), void *arg);
/* W: is there a task in the inbox? */
static inline bool vhi_worker_is_wanted(const struct vh_worker *worker)
{
	return __atomic_load_n(&worker->inbox, __ATOMIC_RELAXED);
}

/* W: runs what is in the inbox, and what waits. */
void vhi_worker_run_tasks(struct vh_worker *worker);

/* worker.c */
int vhi_worker_init(struct vh_worker *worker, struct vh_device *device,
		    uint32_t index);
void vhi_worker_done(struct vh_worker *worker);
int vhi_worker_begin(struct vh_worker *worker);
void vhi_worker_stop(struct vh_worker *worker);
void vhi_worker_round(struct vh_worker *worker, int timeout_ms);
void vhi_worker_stay_ready(struct vh_worker *worker);
/* W: there is something new to do, perhaps between two rounds. */
void vhi_worker_look(const struct vh_worker *worker);
/* W: takes what other threads have completed. */
void vhi_worker_take_remote(struct vh_worker *worker);
/* W: what touches guest memory goes between these two. */
void vhi_worker_guard(struct vh_worker *worker);
void vhi_worker_unguard(struct vh_worker *worker);

/* queue.c: the worker's side. */
void vhi_queue_begin_linger(struct vh_queue *queue);
uint64_t vhi_now_ns(void);
void vhi_queue_activate(struct vh_queue *queue);
/* One burst. Returns how many chains it had. */
unsigned int vhi_queue_run(struct vh_queue *queue);
void vhi_queue_publish(struct vh_queue *queue);
void vhi_queue_settle(struct vh_queue *queue);
void vhi_queue_kicked(struct vh_queue *queue);
void vhi_queue_check(struct vh_queue *queue);
void vhi_queue_forget(struct vh_queue *queue);
int vhi_queue_watch_kick(struct vh_queue *queue, int fd);

/* vring.c: the control side. */
void vhi_vring_init(struct vh_queue *queue, struct vh_device *device,
		    uint32_t index);
int vhi_vring_stop(struct vh_queue *queue);
void vhi_vring_clear(struct vh_queue *queue);
int vhi_vring_set_num(struct vh_backend *b, uint32_t q, uint32_t num);
int vhi_vring_set_addr(struct vh_backend *b, uint32_t q,
		       const struct vh_vring_addr *addr);
int vhi_vring_set_base(struct vh_backend *b, uint32_t q, uint32_t base);
int vhi_vring_get_base(struct vh_backend *b, uint32_t q, uint32_t *ret_base);
int vhi_vring_set_kick(struct vh_backend *b, uint32_t q, int fd);
int vhi_vring_set_call(struct vh_backend *b, uint32_t q, int fd);
int vhi_vring_set_err(struct vh_backend *b, uint32_t q, int fd);
int vhi_vring_set_enable(struct vh_backend *b, uint32_t q, bool enable);

/* memory.c: the control side. */
int vhi_device_set_mem_table(struct vh_backend *b,
			     const struct vh_region regions[],
			     unsigned int count);
int vhi_device_add_region(struct vh_backend *b, const struct vh_region *region);
int vhi_device_remove_region(struct vh_backend *b,
			     const struct vh_region *region);
int vhi_device_drop_memory(struct vh_device *device);
/* The map that rings use: an IOTLB, or guest memory itself. */
struct vh_memory *vhi_device_map(const struct vh_device *device);

/* iotlb.c: the control side, but for the misses. */
int vhi_device_iotlb_update(struct vh_backend *b,
			    const struct vh_iotlb_entry *entry);
int vhi_device_iotlb_invalidate(struct vh_backend *b, vh_gpa iova,
				uint64_t size);
void vhi_device_set_iotlb(struct vh_device *device, struct vh_memory *iotlb);
/* After the features have changed. */
int vhi_device_choose_iotlb(struct vh_device *device);
/* W: asks for what the ring waits for, if nobody has. */
void vhi_queue_ask(struct vh_queue *queue);
/* W: the ring ends. */
void vhi_queue_stop_asking(struct vh_queue *queue);
/* W: the ring has another map, which may have what was asked for. */
void vhi_queue_look_again(struct vh_queue *queue, const struct vh_memory *map);
/* Moves all rings to the device's present map; see memory.c. */
void vhi_device_move(struct vh_device *device, bool drain);

/* log.c: the control side. */
int vhi_device_set_log_base(struct vh_backend *b,
			    const struct vh_log_area *area, int fd);
int vhi_device_set_log_fd(struct vh_backend *b, int fd);
/*
 * After the features, a ring's flags or the log have changed. -ENOMEM: some
 * rings have it and some haven't; change that back and call it again. It can't
 * fail then, since what a ring needs for a log it keeps.
 */
int vhi_device_update_log(struct vh_device *device);
void vhi_device_drop_log(struct vh_device *device);
/* W: a ring begins. */
int vhi_queue_start_log(struct vh_queue *queue);

/* inflight.c */
int vhi_device_get_inflight(struct vh_backend *b, struct vh_inflight *inflight,
			    int *ret_fd);
int vhi_device_set_inflight(struct vh_backend *b,
			    const struct vh_inflight *inflight, int fd);
void vhi_device_drop_inflight(struct vh_device *device);
void vhi_device_forget_inflight(struct vh_device *device);
/* The part of a queue and its size; NULL if it isn't tracked. */
void *vhi_device_inflight(const struct vh_device *device, uint32_t queue,
			  size_t *ret_size);

/* device.c */
void vhi_device_dispose(struct vh_device *device);

/* control.c */
int vhi_device_release(struct vh_backend *b);
bool vhi_device_started(const struct vh_device *device);

#endif
