/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The command line of vhost-blk. */
#ifndef TOOLS_BLK_OPTIONS_H
#define TOOLS_BLK_OPTIONS_H

#include <libvhost-devices/blk.h>
#include <libvhost/user.h>
#include <libvhost/virtqueue.h>

#define PROGRAM "vhost-blk"

struct blk_options {
	struct vh_blk_opts disk;
	struct vh_user_serve_opts serve;
	const char *serve_option; /* which of them was given */
	bool has_null;
	bool stats_json;
	uint32_t level;
};

/*
 * Reads the command line. Returns -1 to go on, or an exit status after it
 * wrote what was asked for, or what is wrong.
 */
int blk_options_parse(struct blk_options *options, int argc, char *argv[]);

#endif
