/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the conformance tests share. They know the specification and the
 * public headers. Each test ends with a look at whether the process holds
 * more descriptors or guest memory than before.
 */
#ifndef CONFORMANCE_FIXTURE_H
#define CONFORMANCE_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk.h"
#include "bytes.h"
#include "echo.h"
#include "resources.h"
#include "server.h"

#define must(call) assert_int_equal((call), 0)
/* answered with a negative acknowledgement */
#define must_refuse(call) assert_int_equal((call), -EREMOTEIO)

#define FIXTURE_BLKS	  16
#define ECHO_MAX	  2048 /* bytes that must_echo() sends at most */

struct fixture {
	struct resources before;
	struct server server;
	struct session session;
	struct blk blk[FIXTURE_BLKS]; /* by queue */
	/* of must_echo(), by queue: two threads that use the same memory one
	 * after the other look like a race to those who can't see the rings */
	uint64_t echo_area[FIXTURE_BLKS];
};

/* For cmocka_unit_test_setup_teardown(). */
int fixture_setup(void **state);
int fixture_teardown(void **state);
#define fixture_test(test)                                                     \
	cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

/* Everything but the look at what is left. */
void fixture_close(struct fixture *f);

/* Starts a server with so many queues; a front-end that isn't connected. */
void start_blk(struct fixture *f, unsigned int queues);
void start_echo(struct fixture *f, unsigned int queues);
void start_server(struct fixture *f, const struct server_opts *opts, bool echo);
void new_session(struct fixture *f, const struct session_opts *opts);

/* All of it: server, front-end, started queues, a blk for each. */
void open_blk(struct fixture *f, unsigned int queues);
void open_echo(struct fixture *f, unsigned int queues);

/* The steps behind new_session(). */
void connect_session(struct fixture *f);
void start_session(struct fixture *f);
void make_blks(struct fixture *f, uint32_t data_size);

/*
 * Writes and reads back; the disk's file is looked at, too. place counts in
 * units of 8 KiB.
 */
void must_do_io(struct fixture *f, unsigned int queue, unsigned int place);

/* The connection lives and the session's queues work. */
void must_live(struct fixture *f);

/* Another front-end is served, from the start; ends the session's. */
void must_serve_another(struct fixture *f);

/* Sends `size` bytes through an echo device and gets them back. */
void must_echo(struct fixture *f, unsigned int queue, uint32_t size);

#endif
