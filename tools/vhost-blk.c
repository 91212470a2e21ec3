/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* vhost-blk: a disk for a virtual machine. */
#include "blk-options.h"
#include "blk-statistics.h"
#include "common/loop.h"
#include "common/say.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct program {
	struct blk_options options;
	struct vh_log log;
	struct vh_backend *disk;
	struct vh_user_server *server;
	/* What the disk has to say about itself, until the server stands. */
	char held[256];
	uint32_t held_level;
	bool stands;
};

/* Before the server stands, there is one thread, and news or an error. */
static void disk_says(void *user, uint32_t level, const char *text)
{
	struct program *program = user;

	if (program->stands) {
		say(&program->log, level, "%s", text);
		return;
	}
	snprintf(program->held, sizeof(program->held), "%s", text);
	program->held_level = level;
}

static void statistics(void *user)
{
	struct program *program = user;

	blk_statistics_print(program->server, program->disk,
			     program->options.stats_json);
}

static void look_again(void *user)
{
	struct program *program = user;
	int r = vh_blk_refresh(program->disk);

	if (r < 0)
		say(&program->log, VH_LOG_WARN,
		    "can't look at the size of the disk: %s", error_text(-r));
}

/* The machine is short of something, and the command line may be right. */
static bool is_passing(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE ||
	       error == -EIO || error == -ENOSYS;
}

static int open_disk(struct program *program)
{
	struct vh_blk_opts *opts = &program->options.disk;
	struct vh_fault fault = {.text = ""};
	int r;

	opts->log = (struct vh_log){
	    .write = disk_says,
	    .user = program,
	    .level = program->log.level,
	};
	r = vh_blk_new(opts, &fault, &program->disk);
	if (r == 0)
		return EXIT_OK;
	say(&program->log, VH_LOG_ERROR, "%s%s",
	    opts->path && r != -ENOSYS ? "--blk-file: " : "", fault.text);
	return is_passing(r) ? EXIT_RUNTIME : EXIT_USAGE;
}

static int open_server(struct program *program)
{
	struct vh_user_serve_opts *opts = &program->options.serve;
	struct vh_fault fault = {.text = ""};
	int r;

	opts->log = program->log;
	r = vh_user_serve(program->disk, opts, &fault, &program->server);
	if (r < 0) {
		say(&program->log, VH_LOG_ERROR, "--%s: %s",
		    program->options.serve_option,
		    *fault.text ? fault.text : error_text(-r));
		return is_passing(r) ? EXIT_RUNTIME : EXIT_USAGE;
	}
	/* The server has its own copy. */
	if (opts->mode == VH_USER_FD && opts->fd > STDERR_FILENO)
		close(opts->fd);
	program->stands = true;
	if (*program->held)
		say(&program->log, program->held_level, "%s", program->held);
	return EXIT_OK;
}

static int serve(struct program *program)
{
	static const struct loop_ops ops = {
	    .statistics = statistics,
	    .look_again = look_again,
	};
	int r = loop_run(program->server, &ops, program);

	if (program->options.stats_json ||
	    program->options.level > VH_LOG_ERROR)
		statistics(program);
	if (r == 0)
		return EXIT_OK;
	say(&program->log, VH_LOG_ERROR, "can't go on: %s", error_text(-r));
	return EXIT_RUNTIME;
}

static int run(struct program *program)
{
	int status = open_disk(program);

	if (status == EXIT_OK)
		status = open_server(program);
	if (status == EXIT_OK)
		status = serve(program);
	vh_user_server_free(program->server);
	vh_backend_free(program->disk);
	return status;
}

int main(int argc, char *argv[])
{
	struct program program = {.disk = NULL};
	int status = blk_options_parse(&program.options, argc, argv);
	int r;

	if (status >= 0)
		return fflush(stdout) == 0 ? status : EXIT_RUNTIME;
	program.log = say_log(PROGRAM, program.options.level);
	r = loop_block_signals();
	if (r == 0)
		r = vh_memory_catch_sigbus();
	if (r < 0) {
		say(&program.log, VH_LOG_ERROR, "can't set signals up: %s",
		    error_text(-r));
		return EXIT_RUNTIME;
	}
	return run(&program);
}
