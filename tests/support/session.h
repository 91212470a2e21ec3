/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A front-end with guest memory and rings: everything between "connect" and
 * "the first request". Each step can be done alone, or all with
 * session_start(). Functions return 0 or as in frontend.h.
 */
#ifndef SUPPORT_SESSION_H
#define SUPPORT_SESSION_H

#include "driver_ring.h"
#include "frontend.h"
#include "guest.h"

#define SESSION_MAX_QUEUES 64

/* What a block device may offer and this front-end knows how to use. */
#define SESSION_FEATURES                                                       \
	(FE_F_VERSION_1 | FE_F_PROTOCOL_FEATURES | FE_F_EVENT_IDX |            \
	 FE_F_INDIRECT | FE_BIT(1) | FE_BIT(2) | FE_BIT(5) | FE_BIT(6) |       \
	 FE_BIT(9) | FE_BIT(10) | FE_BIT(11) | FE_BIT(12) | FE_BIT(13) |       \
	 FE_BIT(14))
#define SESSION_PROTOCOL_FEATURES                                              \
	(FE_PF_MQ | FE_PF_REPLY_ACK | FE_PF_BACKEND_REQ | FE_PF_CONFIG |       \
	 FE_PF_RESET_DEVICE | FE_PF_MEM_SLOTS | FE_PF_STATUS)

/* Everything may be left 0. */
struct session_opts {
	unsigned int num_queues;    /* 1 */
	uint32_t queue_size;	    /* 128 */
	uint32_t table_entries;	    /* of indirect tables; 16 */
	uint64_t features;	    /* wanted; SESSION_FEATURES */
	uint64_t not_features;	    /* of them, not wanted */
	uint64_t protocol_features; /* SESSION_PROTOCOL_FEATURES */
	uint64_t not_protocol_features;
	uint64_t region_size; /* 4 MiB */
	unsigned int regions; /* 2 */
	bool polled;	      /* neither kick nor call descriptors */
};

struct session_queue {
	struct driver_ring *ring;
	uint64_t block; /* guest address of the ring's memory */
	uint32_t size;
	uint16_t base; /* where it starts next */
	int kick;
	int call;
	int err;
};

struct session {
	bool made;
	struct frontend fe;
	struct guest guest;
	struct session_opts opts;
	uint64_t features; /* agreed */
	uint64_t protocol_features;
	struct session_queue queues[SESSION_MAX_QUEUES];
};

/* Makes memory and event descriptors; no connection yet. Whatever came of it,
 * session_free() tidies up; of a session that is all zero, too. */
int session_new(struct session *session, const struct session_opts *opts);
void session_free(struct session *session);

/* Connects; negotiates; shares the memory; starts all queues. */
int session_connect(struct session *session, const char *path);
int session_negotiate(struct session *session);
int session_share_memory(struct session *session);
int session_start_queues(struct session *session);

/* All of these but the connection. */
int session_start(struct session *session);

/* New and empty rings, as after a reset of the driver. */
int session_make_rings(struct session *session);
int session_make_ring(struct session *session, unsigned int queue);

/* One queue: size, base, address, call, err, kick; then enables it. */
int session_start_queue(struct session *session, unsigned int queue);
/* Its steps, all but kick and enable. */
int session_setup_queue(struct session *session, unsigned int queue);
int session_set_addr(struct session *session, unsigned int queue,
		     uint32_t flags);
/* Its base is kept for the next start. */
int session_stop_queue(struct session *session, unsigned int queue);

/* The usual things for the impatient: new, connect, start. */
int session_open(struct session *session, const struct session_opts *opts,
		 const char *path);

/* Requests. session_submit returns the id of the chain; it kicks. */
int session_submit(struct session *session, unsigned int queue,
		   const struct driver_buffer *buffers, unsigned int count,
		   bool indirect);
int session_kick(struct session *session, unsigned int queue);
/* Waits for a completion. -EIO: the queue's err descriptor was signalled. */
int session_wait(struct session *session, unsigned int queue,
		 struct driver_used *ret_used);
/* Waits until the back-end says that it broke. */
int session_wait_err(struct session *session, unsigned int queue);

#endif
