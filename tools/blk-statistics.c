/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "blk-statistics.h"
#include "common/say.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define SIZE 2048

struct figures {
	struct vh_user_server_info server;
	struct vh_blk_stats disk;
	struct vh_device_stats device;
};

static int make_json(char text[SIZE], const struct figures *f)
{
	return snprintf(
	    text, SIZE,
	    "{\"connections\": %" PRIu64 ", \"connected\": %s, "
	    "\"features\": \"0x%" PRIx64 "\", "
	    "\"protocol_features\": \"0x%" PRIx64 "\", "
	    "\"engine\": \"%s\", "
	    "\"requests\": {\"in\": %" PRIu64 ", \"out\": %" PRIu64 ", "
	    "\"flush\": %" PRIu64 ", \"get_id\": %" PRIu64 ", "
	    "\"discard\": %" PRIu64 ", \"write_zeroes\": %" PRIu64 "}, "
	    "\"bytes\": {\"read\": %" PRIu64 ", \"written\": %" PRIu64 "}, "
	    "\"errors\": %" PRIu64 ", \"kicks\": %" PRIu64 ", "
	    "\"calls\": %" PRIu64 "}\n",
	    f->server.connections, f->server.connected ? "true" : "false",
	    f->server.features, f->server.protocol_features, f->disk.engine,
	    f->disk.in, f->disk.out, f->disk.flush, f->disk.get_id,
	    f->disk.discard, f->disk.write_zeroes, f->disk.bytes_read,
	    f->disk.bytes_written, f->disk.errors, f->device.kicks,
	    f->device.calls);
}

static int make_text(char text[SIZE], const struct figures *f)
{
	return snprintf(text, SIZE,
			"statistics:\n"
			"  connections  %" PRIu64 "%s\n"
			"  features     0x%" PRIx64 ", protocol 0x%" PRIx64 "\n"
			"  engine       %s\n"
			"  requests     %" PRIu64 " in, %" PRIu64
			" out, %" PRIu64 " flush, %" PRIu64 " get-id, %" PRIu64
			" discard, %" PRIu64 " write-zeroes\n"
			"  bytes        %" PRIu64 " read, %" PRIu64 " written\n"
			"  errors       %" PRIu64 "\n"
			"  kicks        %" PRIu64 ", calls %" PRIu64 "\n",
			f->server.connections,
			f->server.connected ? ", one of them now" : "",
			f->server.features, f->server.protocol_features,
			f->disk.engine, f->disk.in, f->disk.out, f->disk.flush,
			f->disk.get_id, f->disk.discard, f->disk.write_zeroes,
			f->disk.bytes_read, f->disk.bytes_written,
			f->disk.errors, f->device.kicks, f->device.calls);
}

void blk_statistics_print(struct vh_user_server *server,
			  const struct vh_backend *disk, bool json)
{
	struct figures figures = {
	    .server.size = sizeof(figures.server),
	    .disk.size = sizeof(figures.disk),
	    .device.size = sizeof(figures.device),
	};
	int fd = json ? STDOUT_FILENO : STDERR_FILENO;
	char text[SIZE];
	int n;

	if (vh_user_server_get_info(server, &figures.server) < 0 ||
	    vh_blk_get_stats(disk, &figures.disk) < 0 ||
	    vh_device_get_stats(disk, &figures.device) < 0)
		return; /* can't be: they are of our own kinds */
	n = json ? make_json(text, &figures) : make_text(text, &figures);
	/* Whoever doesn't read them goes without. */
	if (n > 0 && n < SIZE)
		say_whole(fd, text, (size_t)n);
}
