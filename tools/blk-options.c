/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "blk-options.h"
#include "common/number.h"
#include "common/say.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MAX_SERIAL  20
#define MAX_SPIN_US 1000000
#define GO_ON	    (-1)

enum {
	OPT_SOCKET_PATH = 256,
	OPT_FD,
	OPT_CONNECT,
	OPT_BLK_FILE,
	OPT_NULL,
	OPT_READ_ONLY,
	OPT_DIRECT,
	OPT_NUM_QUEUES,
	OPT_WORKERS,
	OPT_SERIAL,
	OPT_IO_ENGINE,
	OPT_SPIN,
	OPT_PUBLISH_AFTER,
	OPT_WITHOUT,
	OPT_IOMMU,
	OPT_STATS_JSON,
	OPT_PRINT_CAPABILITIES,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
    {"socket-path", required_argument, NULL, OPT_SOCKET_PATH},
    {"fd", required_argument, NULL, OPT_FD},
    {"connect", required_argument, NULL, OPT_CONNECT},
    {"blk-file", required_argument, NULL, OPT_BLK_FILE},
    {"null", required_argument, NULL, OPT_NULL},
    {"read-only", no_argument, NULL, OPT_READ_ONLY},
    {"direct", no_argument, NULL, OPT_DIRECT},
    {"num-queues", required_argument, NULL, OPT_NUM_QUEUES},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"serial", required_argument, NULL, OPT_SERIAL},
    {"io-engine", required_argument, NULL, OPT_IO_ENGINE},
    {"spin", required_argument, NULL, OPT_SPIN},
    {"publish-after", required_argument, NULL, OPT_PUBLISH_AFTER},
    {"without", required_argument, NULL, OPT_WITHOUT},
    {"iommu", no_argument, NULL, OPT_IOMMU},
    {"stats-json", no_argument, NULL, OPT_STATS_JSON},
    {"verbose", no_argument, NULL, 'v'},
    {"quiet", no_argument, NULL, 'q'},
    {"print-capabilities", no_argument, NULL, OPT_PRINT_CAPABILITIES},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: vhost-blk WHERE WHAT [OPTION...]\n"
    "\n"
    "Serves a disk to a virtual machine by vhost-user.\n"
    "\n"
    "WHERE, one of:\n"
    "  --socket-path=PATH   listen on a Unix socket\n"
    "  --fd=N               use an inherited Unix socket, which listens or\n"
    "                       is connected\n"
    "  --connect=PATH       connect to a Unix socket, again and again\n"
    "WHAT, one of:\n"
    "  --blk-file=FILE      a raw disk image or a block device\n"
    "  --null=SIZE          a disk that reads zeroes and forgets writes\n"
    "OPTIONS:\n"
    "  --read-only          the guest can't write\n"
    "  --direct             go round the page cache (O_DIRECT)\n"
    "  --num-queues=N       queues, 1 to 256 (default 1)\n"
    "  --workers=N          threads, 1 to 64 and at most one for each queue\n"
    "                       (default 1)\n"
    "  --serial=TEXT        ID of the disk, at most 20 bytes\n"
    "  --io-engine=NAME     auto (default), io_uring or sync\n"
    "  --spin=N             look on for N microseconds before sleeping, at\n"
    "                       most 1000000 (default 0)\n"
    "  --publish-after=N    completions that the guest is shown at once, 1 to\n"
    "                       32768 (default 16)\n"
    "  --without=LIST       don't offer these features of the rings: packed,\n"
    "                       in-order, indirect, event-idx, reset, log\n"
    "  --iommu              the guest is behind an IOMMU\n"
    "  --stats-json         statistics as a line of JSON on stdout\n"
    "  -v, --verbose        say everything\n"
    "  -q, --quiet          say errors only\n"
    "  --print-capabilities print what this program can do as JSON\n"
    "  --help, --version    print this, or the version\n"
    "\n"
    "SIZE is in bytes, or has one of K, M, G, T behind it. SIGUSR1 prints\n"
    "statistics, SIGTERM ends the program. See vhost-blk(1).\n";

static int print_capabilities(void)
{
	const char *const *name = vh_blk_feature_names();

	printf("{\"type\": \"block\", \"features\": [");
	for (int i = 0; name[i]; i++)
		printf("%s\"%s\"", i ? ", " : "", name[i]);
	printf("]}\n");
	return EXIT_OK;
}

/* Parses N of an option with a lower and an upper limit. */
static int parse_count(const char *option, const char *text, uint32_t most,
		       uint32_t *ret_value)
{
	uint64_t value;

	if (!number_parse(text, &value) || value < 1 || value > most)
		return say_wrong(PROGRAM,
				 "--%s=%s: must be a number from 1 to %u",
				 option, text, most);
	*ret_value = (uint32_t)value;
	return GO_ON;
}

static int parse_fd(struct blk_options *options, const char *text)
{
	uint64_t value;

	if (!number_parse(text, &value) || value > INT_MAX)
		return say_wrong(PROGRAM,
				 "--fd=%s: must be a number from 0 to %d", text,
				 INT_MAX);
	if (fcntl((int)value, F_GETFD) < 0)
		return say_wrong(
		    PROGRAM, "--fd=%s: no such file descriptor is open", text);
	options->serve.fd = (int)value;
	return GO_ON;
}

static int parse_null(struct blk_options *options, const char *text)
{
	uint64_t size;

	if (!number_parse_size(text, &size) || size < 512 || size % 512 ||
	    size > INT64_MAX)
		return say_wrong(
		    PROGRAM,
		    "--null=%s: must be a multiple of 512 bytes, at "
		    "least 512 and less than 8388608T",
		    text);
	options->disk.null_size = size;
	options->has_null = true;
	return GO_ON;
}

static int parse_engine(struct blk_options *options, const char *text)
{
	static const char *const names[] = {
	    [VH_BLK_ENGINE_AUTO] = "auto",
	    [VH_BLK_ENGINE_IO_URING] = "io_uring",
	    [VH_BLK_ENGINE_SYNC] = "sync",
	};

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			options->disk.engine = i;
			return GO_ON;
		}
	}
	return say_wrong(
	    PROGRAM, "--io-engine=%s: must be auto, io_uring or sync", text);
}

static int parse_spin(struct blk_options *options, const char *text)
{
	uint64_t value;

	if (!number_parse(text, &value) || value > MAX_SPIN_US)
		return say_wrong(PROGRAM,
				 "--spin=%s: must be a number from 0 to %d",
				 text, MAX_SPIN_US);
	options->disk.spin_us = (uint32_t)value;
	return GO_ON;
}

/* A list of words with commas between them. */
static int parse_without(struct blk_options *options, const char *text)
{
	static const struct {
		const char *name;
		uint64_t bit;
	} features[] = {
	    {"packed", VH_F_RING_PACKED},     {"in-order", VH_F_IN_ORDER},
	    {"indirect", VH_F_INDIRECT_DESC}, {"event-idx", VH_F_EVENT_IDX},
	    {"reset", VH_F_RING_RESET},	      {"log", VH_F_LOG_ALL},
	};
	const size_t count = sizeof(features) / sizeof(features[0]);

	for (const char *word = text;; word++) {
		size_t length = strcspn(word, ",");
		size_t i = 0;

		while (i < count &&
		       (strlen(features[i].name) != length ||
			memcmp(word, features[i].name, length) != 0))
			i++;
		if (i == count)
			return say_wrong(
			    PROGRAM,
			    "--without=%s: \"%.*s\" is none of packed, "
			    "in-order, indirect, event-idx, reset, "
			    "log",
			    text, (int)length, word);
		options->disk.without_features |= features[i].bit;
		word += length;
		if (!*word)
			return GO_ON;
	}
}

static int parse_serial(struct blk_options *options, const char *text)
{
	if (strlen(text) > MAX_SERIAL)
		return say_wrong(PROGRAM,
				 "--serial=%s: has %zu bytes, at most %d fit",
				 text, strlen(text), MAX_SERIAL);
	options->disk.serial = text;
	return GO_ON;
}

static int parse_where(struct blk_options *options, int option,
		       const char *text)
{
	const char *name = "socket-path";

	options->serve.mode = VH_USER_LISTEN;
	if (option == OPT_FD) {
		name = "fd";
		options->serve.mode = VH_USER_FD;
	} else if (option == OPT_CONNECT) {
		name = "connect";
		options->serve.mode = VH_USER_CONNECT;
	}
	if (options->serve_option)
		return say_wrong(PROGRAM, "--%s=%s: --%s is given already",
				 name, text, options->serve_option);
	options->serve_option = name;
	if (option == OPT_FD)
		return parse_fd(options, text);
	options->serve.path = text;
	return GO_ON;
}

static int parse_value(struct blk_options *options, int option,
		       const char *text)
{
	switch (option) {
	case OPT_SOCKET_PATH:
	case OPT_FD:
	case OPT_CONNECT:
		return parse_where(options, option, text);
	case OPT_BLK_FILE:
		options->disk.path = text;
		return GO_ON;
	case OPT_NULL:
		return parse_null(options, text);
	case OPT_NUM_QUEUES:
		return parse_count("num-queues", text, VH_DEVICE_MAX_QUEUES,
				   &options->disk.num_queues);
	case OPT_WORKERS:
		return parse_count("workers", text, VH_DEVICE_MAX_WORKERS,
				   &options->disk.workers);
	case OPT_SERIAL:
		return parse_serial(options, text);
	case OPT_SPIN:
		return parse_spin(options, text);
	case OPT_PUBLISH_AFTER:
		return parse_count("publish-after", text, VH_VIRTQUEUE_MAX_SIZE,
				   &options->disk.publish_after);
	case OPT_WITHOUT:
		return parse_without(options, text);
	default:
		return parse_engine(options, text);
	}
}

static int parse_flag(struct blk_options *options, int option)
{
	switch (option) {
	case OPT_READ_ONLY:
		options->disk.read_only = true;
		return GO_ON;
	case OPT_DIRECT:
		options->disk.direct = true;
		return GO_ON;
	case OPT_IOMMU:
		options->disk.iommu = true;
		return GO_ON;
	case OPT_STATS_JSON:
		options->stats_json = true;
		return GO_ON;
	case 'v':
		options->level = VH_LOG_DEBUG;
		return GO_ON;
	case 'q':
		options->level = VH_LOG_ERROR;
		return GO_ON;
	case OPT_HELP:
		fputs(help, stdout);
		return EXIT_OK;
	case OPT_VERSION:
		printf(PROGRAM " %s\n", vh_version());
		return EXIT_OK;
	default:
		return print_capabilities();
	}
}

static int check_whole(const struct blk_options *options)
{
	if (!options->serve_option)
		return say_wrong(PROGRAM,
				 "one of --socket-path, --fd and --connect is "
				 "needed; try --help");
	if (!options->disk.path && !options->has_null)
		return say_wrong(PROGRAM,
				 "one of --blk-file and --null is needed; try "
				 "--help");
	if (options->disk.path && options->has_null)
		return say_wrong(PROGRAM,
				 "--blk-file and --null exclude each other");
	if (options->has_null && options->disk.direct)
		return say_wrong(PROGRAM, "--direct needs --blk-file");
	if (options->disk.workers > options->disk.num_queues)
		return say_wrong(PROGRAM,
				 "--workers=%u: at most one for each of the %u "
				 "queues (--num-queues)",
				 options->disk.workers,
				 options->disk.num_queues);
	return GO_ON;
}

/* A front-end asks this before it knows what else to say. */
static bool asks_for_capabilities(int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--print-capabilities") == 0)
			return true;
	return false;
}

static void set_defaults(struct blk_options *options)
{
	VH_OPTS(vh_blk_opts, disk);
	VH_OPTS(vh_user_serve_opts, serve);

	disk.num_queues = 1;
	disk.workers = 1;
	serve.fd = -1;
	*options = (struct blk_options){
	    .disk = disk,
	    .serve = serve,
	    .level = VH_LOG_INFO,
	};
}

int blk_options_parse(struct blk_options *options, int argc, char *argv[])
{
	int r = GO_ON;
	int option;

	if (asks_for_capabilities(argc, argv))
		return print_capabilities();
	set_defaults(options);
	opterr = 0;
	while (r == GO_ON) {
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread yet */
		option = getopt_long(argc, argv, "+:vq", long_options, NULL);
		if (option < 0)
			break;
		if (option == '?' || option == ':')
			return say_wrong_option(PROGRAM, option, argv);
		r = optarg ? parse_value(options, option, optarg)
			   : parse_flag(options, option);
	}
	if (r != GO_ON)
		return r;
	if (optind < argc)
		return say_wrong(PROGRAM, "%s: not an option; try --help",
				 argv[optind]);
	return check_whole(options);
}
