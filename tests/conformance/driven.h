/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A queue of a session whose driver's side is the library's, and so may be
 * of any format. The session's own rings aren't made then: start with
 * driven_session().
 */
#ifndef CONFORMANCE_DRIVEN_H
#define CONFORMANCE_DRIVEN_H

#include "fixture.h"

#include <libvhost/driver.h>

/* What the rings are to be like, and nothing of a device. */
#define DRIVEN_FEATURES                                                        \
	(FE_F_VERSION_1 | FE_F_PROTOCOL_FEATURES | FE_F_EVENT_IDX |            \
	 FE_F_INDIRECT)

struct driven {
	struct session *session;
	struct vh_driver_queue *ring;
	unsigned int index;
	uint32_t num;
	uint32_t table_entries;
	uint64_t block; /* guest address of the ring's memory */
	void *view;	/* where it is mapped in another order; NULL: nowhere */
	uint64_t iova;	/* of the same, if there is an IOMMU, or 0 */
	uint32_t base;	/* where it starts next */
	uint32_t flags; /* of SET_VRING_ADDR */
	uint64_t log;	/* its log address; 0: that of the used ring */
	uint64_t tries; /* of driven_try_echo() */
};

/*
 * Connects a new session with features | DRIVEN_FEATURES and these protocol
 * features besides the usual ones; shares its memory.
 */
void driven_session(struct fixture *f, const struct session_opts *opts,
		    uint64_t features, uint64_t protocol_features);

/* Makes a fresh ring; its memory is taken once, for the largest of 4096. */
void driven_make(struct driven *d, struct session *session, unsigned int index,
		 uint32_t num, uint32_t table_entries);
/* A fresh ring in the same memory. */
void driven_renew(struct driven *d);
void driven_free(struct driven *d);

/* Size, base, address, err, call; driven_start() kicks and enables, too. */
int driven_setup(struct driven *d);
int driven_set_addr(struct driven *d);
void driven_start(struct driven *d);
void driven_stop(struct driven *d); /* notes the base */

/* One chain; kicks. */
int driven_try_add(struct driven *d, const struct iovec readable[],
		   unsigned int readable_count, const struct iovec writable[],
		   unsigned int writable_count, void *token);
void driven_add(struct driven *d, const struct iovec readable[],
		unsigned int readable_count, const struct iovec writable[],
		unsigned int writable_count, void *token);
/* An iovec of guest memory (or IOVAs). */
struct iovec driven_iov(uint64_t address, size_t size);

/* Waits for the next one. 0; -EIO: the back-end says that it broke. */
int driven_wait(struct driven *d, struct vh_driver_used *ret_used);

/* Takes up what is there. */
unsigned int driven_collect(struct driven *d, struct vh_driver_used *used,
			    unsigned int max);

/*
 * There and back through an echo device, through 2 * size bytes of memory at
 * area; size is at most ECHO_MAX. The first says -EBADMSG if something else
 * came back, and is for threads, where nothing may be asserted.
 */
int driven_try_echo(struct driven *d, uint64_t area, uint32_t size);
void driven_echo(struct driven *d, uint64_t area, uint32_t size);

#endif
