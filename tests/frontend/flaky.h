/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A back-end in front of another one: it notes what is asked of it, fails
 * when it is told to, lacks what it is told to lack, and dies on command. What
 * it stood in front of freezes then: it keeps the requests that it has, takes
 * no others and hears no kick.
 */
#ifndef FRONTEND_FLAKY_H
#define FRONTEND_FLAKY_H

#include <backend/backend.h>

#define FLAKY_TRACE 8192

struct flaky {
	struct vh_backend backend; /* the handle */
	struct vh_backend *real;
	bool dead;
	bool runs[16]; /* rings */
	/* the call number fail_at (from 1; 0: none), or each one of fail_op,
	 * fails with error */
	unsigned int fail_at;
	const char *fail_op;
	int error;
	unsigned int calls;
	uint32_t slots;		 /* of memory; 0: as the real one says */
	uint64_t lacks;		 /* features */
	bool refuses_features;	 /* FEATURES_OK doesn't stay */
	bool no_base;		 /* get_vring_base isn't there */
	const char *dies_at;	 /* of this call */
	int err;		 /* of queue 0, as it was given */
	uint32_t statuses;	 /* how many were set */
	char trace[FLAKY_TRACE]; /* "set_owner get_features set_status=1 " */
};

/* Takes real over; hides are capabilities. NULL: no memory. */
struct flaky *flaky_new(struct vh_backend *real, uint64_t hides);

/* Forgets what was noted; the next call has number 1. */
void flaky_clear(struct flaky *flaky);

/* How often a word is in the trace. */
unsigned int flaky_count(const struct flaky *flaky, const char *word);

/* It dies. */
void flaky_kill(struct flaky *flaky);
/* It dies, and says so. */
void flaky_die(struct flaky *flaky);

#endif
