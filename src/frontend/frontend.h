/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What is wanted and what is so. The members that say what the caller asked
 * for (features, rings, memory, started, paused) count; agreed and running
 * say how much of that the back-end was told. While it is gone, that is
 * nothing.
 */
#ifndef FRONTEND_FRONTEND_H
#define FRONTEND_FRONTEND_H

#include <base/fault.h>
#include <base/fd.h>
#include <base/log.h>
#include <libvhost/frontend.h>
#include <sys/types.h>

struct ring {
	struct vh_frontend_ring place;
	bool set;
	bool enabled;
	bool running;
	bool lost;	 /* nobody knows where it is */
	bool tracked;	 /* its requests are in the in-flight area */
	bool call_again; /* whoever served it may have died before it called */
	uint32_t base;
	int kick, call, err;
	/* under the front-end's lock */
	struct vh_fault fault;
	bool broke; /* *fault is to be told */
	bool told;
};

/* A region, and what makes it the same as another one. */
struct held_region {
	struct vh_region region; /* its descriptor is ours */
	dev_t device;
	ino_t inode;
	bool here; /* the back-end has it */
};

struct memory_list {
	struct held_region *regions;
	unsigned int count;
};

struct vh_frontend {
	struct vh_backend *backend;
	struct vh_frontend_opts opts;
	struct vh_frontend_events events;
	struct vh_backend_events requests; /* receivers of the caller's */
	struct vh_fault fault;
	struct vhi_log log;

	uint64_t offered;
	uint64_t features;
	bool negotiated;
	bool agreed; /* the back-end knows, and waits for DRIVER_OK */
	bool started;
	bool paused;
	bool gone;

	struct memory_list memory;
	struct vh_inflight area;
	int area_fd;	 /* -1: none */
	bool area_stale; /* it has requests of rings that are gone */

	int epoll;
	int backend_fd; /* in epoll; -1: none */
	int news;
	pthread_mutex_t lock; /* of what the back-end says from any thread */
	bool config_changed;
	bool died;	/* the back-end says so */
	bool tell_gone; /* the caller doesn't know yet */

	struct ring rings[]; /* opts.num_queues */
};

/* frontend.c */
/*
 * The words for a step that failed because the back-end answered an operation
 * with r; its own words come behind. If it is gone, that is noted.
 */
int vhi_frontend_failed(struct vh_frontend *f, const char *step, const char *op,
			uint32_t queue, int r);
/* A rule of ours was broken. */
int vhi_frontend_refuse(struct vh_frontend *f, uint32_t code, int error,
			uint32_t queue, const char *format, ...)
    VH_PRINTF(5, 6);
/* Takes up with f->backend; needed is what it must be able to. */
int vhi_frontend_meet(struct vh_frontend *f, const char *step, uint64_t needed);
/* Has the back-end accept the features: RESET to FEATURES_OK. */
int vhi_frontend_agree(struct vh_frontend *f, const char *step);
int vhi_frontend_set_status(struct vh_frontend *f, const char *step,
			    uint8_t status);
static inline bool vhi_frontend_has(const struct vh_frontend *f, uint64_t cap)
{
	return vh_backend_capabilities(f->backend) & cap;
}
/* Addresses of rings aren't guest-physical then. */
static inline bool vhi_frontend_has_iommu(const struct vh_frontend *f)
{
	return f->features & VH_F_ACCESS_PLATFORM;
}
/* Rings are to run, and may. */
static inline bool vhi_frontend_is_live(const struct vh_frontend *f)
{
	return f->started && !f->paused && !f->gone;
}

#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER	   2u
#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u

/* memory.c */
/* Sends all of it to a back-end that has none. */
int vhi_frontend_send_memory(struct vh_frontend *f, const char *step);
void vhi_frontend_drop_memory(struct vh_frontend *f);
/* Where this process sees size bytes of guest memory; NULL: not in one region
 */
void *vhi_frontend_at(const struct memory_list *list, vh_gpa guest,
		      uint64_t size);
/* The parts of a ring: where one begins, its size and its alignment. */
struct part {
	const char *name;
	vh_gpa at;
	uint64_t size;
	uint64_t align;
};
#define RING_PARTS 3
void vhi_frontend_parts(const struct vh_frontend *f, const struct ring *ring,
			struct part parts[RING_PARTS]);

/* ring.c */
/* What the driver said of it. */
void vhi_frontend_forget_ring(struct vh_frontend *f, struct ring *ring);
int vhi_frontend_check_rings(struct vh_frontend *f, const char *step);
int vhi_frontend_ring_up(struct vh_frontend *f, uint32_t queue,
			 const char *step);
/* Stops one and notes where it is. */
int vhi_frontend_ring_down(struct vh_frontend *f, uint32_t queue,
			   const char *step);
/* It stopped without saying where it was; tracked: the area may know. */
void vhi_frontend_ring_died(struct vh_frontend *f, uint32_t queue,
			    bool tracked);

/* run.c */
int vhi_frontend_bring_up(struct vh_frontend *f, const char *step);
int vhi_frontend_take_down(struct vh_frontend *f, const char *step);

/* events.c */
int vhi_frontend_events_init(struct vh_frontend *f);
void vhi_frontend_events_done(struct vh_frontend *f);
/* Hears of the back-end's events from now on, or no more. */
int vhi_frontend_listen(struct vh_frontend *f);
void vhi_frontend_deafen(struct vh_frontend *f);
/* requests.c: those receivers that the caller has. */
void vhi_frontend_forward(const struct vh_frontend *f,
			  struct vh_backend_events *events);
/* The back-end is gone: no ring runs any more. */
void vhi_frontend_note_gone(struct vh_frontend *f);
void vhi_frontend_config_changed(struct vh_frontend *f);

#endif
