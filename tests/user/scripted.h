/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A back-end that knows its lines: a thread behind a socket that answers every
 * request as the specification says, but for one, which it answers wrong. It
 * shares no code with the library.
 */
#ifndef USER_SCRIPTED_H
#define USER_SCRIPTED_H

#include <frontend.h>
#include <libvhost/user.h>
#include <pthread.h>

enum {
	SCRIPT_GOOD = 0,
	SCRIPT_WRONG_ID,
	SCRIPT_NO_REPLY_FLAG,
	SCRIPT_ECHOED_NEED_REPLY,
	SCRIPT_SHORT,	  /* 4 bytes less than there should be */
	SCRIPT_LONG,	  /* 8 bytes more */
	SCRIPT_HUGE,	  /* says 16 MiB */
	SCRIPT_EXTRA_FDS, /* two more */
	SCRIPT_MANY_FDS,  /* far more than any message has */
	SCRIPT_SILENT,	  /* no answer */
	SCRIPT_HALF,	  /* a half of it, and no more */
	SCRIPT_BYTEWISE,  /* right, a byte at a time */
	SCRIPT_DIE,	  /* closes the connection */
	SCRIPT_DIE_HALF,  /* in the middle of the answer */
	SCRIPT_REFUSE,	  /* says that it failed */
	SCRIPT_TWICE,	  /* right, and once more */
	SCRIPT_FLOOD,	  /* requests of its own, instead of an answer */
	SCRIPT_ASK_FIRST, /* wants an answer itself before it answers */
};

#define SCRIPT_MAX_LOG 512

/* What it adds to addresses of a table that goes back. */
#define SCRIPT_MAPS_AT UINT64_C(0x100000000)

struct script_entry {
	uint32_t id;
	uint32_t flags;
	uint32_t size;
	unsigned int fds;
	uint8_t payload[64]; /* its beginning */
};

struct script {
	/* what it says of itself; set before script_start() */
	uint64_t features;
	uint64_t protocol_features;
	uint64_t queues;
	uint64_t slots;
	uint64_t base;	    /* what GET_VRING_BASE answers */
	uint64_t area_size; /* of the in-flight area, in a file of 4096 */
	uint64_t area_offset;
	bool area_lacks_fd;
	uint32_t config_lie; /* more than was asked for */
	uint32_t log_reply;  /* bytes of SET_LOG_BASE's reply */

	/* which request is answered in which way; the first ones are not */
	uint32_t id;
	int how;
	unsigned int after;
	bool once; /* only one of them */

	/* its own */
	pthread_t thread;
	struct frontend wire;
	int ours;
	bool listening;		 /* POSTCOPY_LISTEN came */
	struct frontend reverse; /* once SET_BACKEND_REQ_FD came */
	struct script_entry log[SCRIPT_MAX_LOG];
	unsigned int count;
};

/* All features; 4 queues, 16 slots. */
void script_init(struct script *script);
/* Starts it and returns the other end of its socket. */
int script_start(struct script *script);
/* The same on a socket that script->wire has already. */
int script_play(struct script *script);
/* Changes id and how while it plays; id 0: good from now on. */
void script_set(struct script *script, uint32_t id, int how);
/* Waits until its thread has ended, which it does when the peer closes. */
void script_end(struct script *script);

/* Connects a client to it; opts NULL: as they are. */
int script_connect(struct script *script,
		   const struct vh_user_connect_opts *opts,
		   struct vh_fault *fault, struct vh_backend **ret_backend);

/*
 * What came, once the answer to it was received. The last message of that id,
 * or NULL; how many of it.
 */
const struct script_entry *script_last(const struct script *script,
				       uint32_t id);
unsigned int script_times(const struct script *script, uint32_t id);

#endif
