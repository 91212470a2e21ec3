/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#ifndef TOOLS_BLK_STATISTICS_H
#define TOOLS_BLK_STATISTICS_H

#include <libvhost-devices/blk.h>
#include <libvhost/user.h>

/* Prints for people to stderr, or as a line of JSON to stdout. */
void blk_statistics_print(struct vh_user_server *server,
			  const struct vh_backend *disk, bool json);

#endif
