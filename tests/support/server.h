/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Back-ends to talk to, a block device or the echo device, served from a
 * thread of the test itself, so that sanitizers see everything.
 */
#ifndef SUPPORT_SERVER_H
#define SUPPORT_SERVER_H

#include "place.h"

#include <libvhost-devices/blk.h>
#include <libvhost/user.h>

struct echo;

struct server {
	struct vh_backend *backend;
	struct vh_user_server *server;
	struct echo *echo;  /* see echo.h */
	struct place place; /* of socket and disk */
};

/* Everything may be left 0. */
struct server_opts {
	uint64_t size; /* of the disk in bytes; 8 MiB */
	bool null;     /* the null store */
	bool read_only;
	bool direct;
	const char *path;    /* of the disk, instead of a new file */
	struct vh_log log;   /* of the block device; a hidden one */
	void (*made)(void);  /* called before its first thread */
	uint32_t num_queues; /* 1 */
	uint32_t workers;    /* 1 */
	uint32_t engine;     /* VH_BLK_ENGINE_... */
	const char *serial;
	uint32_t timeout_ms; /* of the server towards the front-end */
	/* of the echo device, see echo.h */
	uint32_t max_segments;
	uint32_t helpers;
	uint64_t features;
};

/* They return 0 or a negative errno; server_stop() cleans up either way. */
int server_start_blk(struct server *server, const struct server_opts *opts);
int server_start_echo(struct server *server, const struct server_opts *opts);
void server_stop(struct server *server);

/* What the server counted. */
struct vh_user_server_info server_info(const struct server *server);

#endif
