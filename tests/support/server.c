/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "server.h"
#include "echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SIZE (UINT64_C(8) << 20)

/* To see what happens: VH_TEST_LOG=1 in the environment. */
static void show(void *user, uint32_t level, const char *text)
{
	(void)user;
	fprintf(stderr, "<%u> %s\n", level, text);
}

static struct vh_log test_log(void)
{
	struct vh_log log = {.level = VH_LOG_DEBUG};

	if (getenv("VH_TEST_LOG"))
		log.write = show;
	return log;
}

static int serve(struct server *server, const struct server_opts *opts)
{
	struct vh_fault fault = {.code = VH_FAULT_NONE};
	int ret;

	VH_OPTS(vh_user_serve_opts, serve_opts);
	serve_opts.mode = VH_USER_LISTEN;
	serve_opts.path = server->place.socket;
	serve_opts.timeout_ms = opts->timeout_ms;
	serve_opts.log = test_log();
	ret = vh_user_serve(server->backend, &serve_opts, &fault,
			    &server->server);
	if (ret == 0)
		ret = vh_user_server_start(server->server);
	else
		fprintf(stderr, "vh_user_serve: %s\n", fault.text);
	return ret;
}

int server_start_blk(struct server *server, const struct server_opts *opts)
{
	uint64_t size = opts->size ? opts->size : DEFAULT_SIZE;
	struct vh_fault fault = {.code = VH_FAULT_NONE};
	int ret;

	VH_OPTS(vh_blk_opts, blk);
	memset(server, 0, sizeof(*server));
	ret = place_make(&server->place, NULL, opts->null ? 0 : size);
	if (ret < 0)
		return ret;
	blk.path = opts->null	? NULL
		   : opts->path ? opts->path
				: server->place.disk;
	blk.null_size = opts->null ? size : 0;
	blk.serial = opts->serial;
	blk.read_only = opts->read_only;
	blk.num_queues = opts->num_queues;
	blk.workers = opts->workers ? opts->workers : 1;
	blk.engine = opts->engine;
	blk.direct = opts->direct;
	blk.log = opts->log.write ? opts->log : test_log();
	ret = vh_blk_new(&blk, &fault, &server->backend);
	if (ret == 0 && opts->made)
		opts->made();
	if (ret == 0)
		return serve(server, opts);
	fprintf(stderr, "vh_blk_new: %s\n", fault.text);
	return ret;
}

int server_start_echo(struct server *server, const struct server_opts *opts)
{
	struct echo_opts echo = {
	    .num_queues = opts->num_queues,
	    .workers = opts->workers,
	    .max_segments = opts->max_segments,
	    .helpers = opts->helpers,
	    .features = opts->features,
	};
	int ret;

	memset(server, 0, sizeof(*server));
	ret = place_make(&server->place, NULL, 0);
	if (ret == 0)
		ret = echo_new(&echo, &server->echo, &server->backend);
	return ret < 0 ? ret : serve(server, opts);
}

void server_stop(struct server *server)
{
	vh_user_server_free(server->server);
	vh_backend_free(server->backend);
	server->server = NULL;
	server->backend = NULL;
	place_remove(&server->place);
}

struct vh_user_server_info server_info(const struct server *server)
{
	VH_OPTS(vh_user_server_info, info);
	if (vh_user_server_get_info(server->server, &info) < 0)
		info.size = 0;
	return info;
}
