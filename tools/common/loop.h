/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Serves a back-end until a signal or the front-end ends it. */
#ifndef TOOLS_LOOP_H
#define TOOLS_LOOP_H

#include <libvhost/user.h>

struct loop_ops {
	void (*statistics)(void *user); /* SIGUSR1 */
	void (*look_again)(void *user); /* SIGHUP, and each second */
};

/* Blocks the signals that loop_run() takes: before the first thread. */
int loop_block_signals(void);

/*
 * Runs the server in this thread. Returns 0 after SIGTERM or SIGINT, or when
 * nobody can come any more; otherwise a negative errno.
 */
int loop_run(struct vh_user_server *server, const struct loop_ops *ops,
	     void *user);

#endif
