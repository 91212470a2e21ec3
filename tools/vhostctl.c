/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* vhostctl: looks at back-ends. */
#include "common/number.h"
#include "common/say.h"
#include "ctl/names.h"
#include "ctl/probe.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define PROGRAM	   "vhostctl"
#define GO_ON	   (-1)
#define MOST_TIME  3600000
#define TIMEOUT_MS 10000

enum { OPT_JSON = 256, OPT_TYPE, OPT_TIMEOUT, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"type", required_argument, NULL, OPT_TYPE},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "usage: vhostctl probe [OPTION...] TARGET\n"
    "\n"
    "Says what a vhost back-end can do, and changes nothing on it.\n"
    "\n"
    "TARGET, one of:\n"
    "  SOCKET               a Unix socket on which a vhost-user back-end "
    "listens\n"
    "  /dev/vhost-net, /dev/vhost-vsock, /dev/vhost-scsi\n"
    "  /dev/vhost-vdpa-N\n"
    "OPTIONS:\n"
    "  --json               as one object of JSON\n"
    "  --type=NAME          what device is behind a socket, which doesn't "
    "tell:\n"
    "                       net, blk, console, rng, balloon, scsi, gpu, "
    "input,\n"
    "                       vsock, crypto, iommu, snd, fs, pmem, i2c, gpio\n"
    "  --timeout=MS         how long an answer may take (default 10000)\n"
    "  --help, --version    print this, or the version\n"
    "\n"
    "See vhostctl(1).\n";

struct options {
	struct probe_opts probe;
	bool json;
};

static int parse_type(struct options *options, const char *text)
{
	options->probe.device = device_id(text);
	if (options->probe.device == DEVICE_UNKNOWN)
		return say_wrong(PROGRAM, "--type=%s: no such type; try --help",
				 text);
	return GO_ON;
}

static int parse_timeout(struct options *options, const char *text)
{
	uint64_t value;

	if (!number_parse(text, &value) || value < 1 || value > MOST_TIME)
		return say_wrong(PROGRAM,
				 "--timeout=%s: must be a number from 1 to %d",
				 text, MOST_TIME);
	options->probe.timeout_ms = (uint32_t)value;
	return GO_ON;
}

static int parse_option(struct options *options, int option, char *const argv[])
{
	switch (option) {
	case OPT_JSON:
		options->json = true;
		return GO_ON;
	case OPT_TYPE:
		return parse_type(options, optarg);
	case OPT_TIMEOUT:
		return parse_timeout(options, optarg);
	case OPT_HELP:
		fputs(help, stdout);
		return EXIT_OK;
	case OPT_VERSION:
		printf(PROGRAM " %s\n", vh_version());
		return EXIT_OK;
	default:
		return say_wrong_option(PROGRAM, option, argv);
	}
}

static int parse(struct options *options, int argc, char *argv[])
{
	int r = GO_ON;
	int option;

	opterr = 0;
	while (r == GO_ON) {
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread yet */
		option = getopt_long(argc, argv, ":", long_options, NULL);
		if (option < 0)
			break;
		r = parse_option(options, option, argv);
	}
	if (r != GO_ON)
		return r;
	if (optind == argc)
		return say_wrong(PROGRAM,
				 "a command is needed: probe; try --help");
	if (strcmp(argv[optind], "probe") != 0)
		return say_wrong(PROGRAM, "%s: no such command; try --help",
				 argv[optind]);
	if (optind + 2 != argc)
		return say_wrong(PROGRAM,
				 "probe: needs one TARGET; try --help");
	options->probe.target = argv[optind + 1];
	return GO_ON;
}

int main(int argc, char *argv[])
{
	struct options options = {.probe.timeout_ms = TIMEOUT_MS};
	struct json_object *report = NULL;
	struct vh_fault fault = {0};
	int status = parse(&options, argc, argv);

	if (status != GO_ON)
		return status;
	status = probe(&options.probe, &fault, &report);
	if (status != EXIT_OK) {
		say_wrong(PROGRAM, "%s", fault.text);
		return status;
	}
	if (options.json)
		puts(json_object_to_json_string_ext(
		    report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
				JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		probe_print(report);
	json_object_put(report);
	if (fflush(stdout) != 0) {
		say_wrong(PROGRAM, "standard output: %s", error_text(errno));
		return EXIT_RUNTIME;
	}
	return EXIT_OK;
}
