/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "say.h"
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *level_prefix(uint32_t level)
{
	switch (level) {
	case VH_LOG_ERROR:
		return "error: ";
	case VH_LOG_WARN:
		return "warning: ";
	case VH_LOG_DEBUG:
		return "debug: ";
	default:
		return "";
	}
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int lost; /* lines, since the last one that was written */

bool say_whole(int fd, const char *text, size_t size)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};

	/* A pipe that is writable has room for a page. */
	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT) &&
	       write(fd, text, size) == (ssize_t)size;
}

static bool own_up(const char *program)
{
	char line[128];
	int n = snprintf(line, sizeof(line),
			 "%.40s: warning: %u lines were lost, since nobody "
			 "read them\n",
			 program, lost);

	return n > 0 && say_whole(STDERR_FILENO, line, (size_t)n);
}

/*
 * One write() a line, so that lines don't mix. If nobody reads them, neither
 * a worker nor the main thread waits for that.
 */
static void write_line(void *user, uint32_t level, const char *text)
{
	char line[640];
	int n = snprintf(line, sizeof(line) - 1, "%s: %s%s", (const char *)user,
			 level_prefix(level), text);

	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	pthread_mutex_lock(&lock);
	if (lost && own_up(user))
		lost = 0;
	if (lost || !say_whole(STDERR_FILENO, line, (size_t)n))
		lost++;
	pthread_mutex_unlock(&lock);
}

struct vh_log say_log(const char *program, uint32_t level)
{
	return (struct vh_log){
	    .write = write_line,
	    .user = (void *)(uintptr_t)program,
	    .level = level,
	};
}

const char *error_text(int error)
{
	const char *text = strerrordesc_np(error);

	return text ? text : "unknown error";
}

void say(const struct vh_log *log, uint32_t level, const char *format, ...)
{
	char text[600];
	va_list args;

	if (level > log->level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log->write(log->user, level, text);
}

int say_wrong(const char *program, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_USAGE;
}

int say_wrong_option(const char *program, int kind, char *const argv[])
{
	const char *word = argv[optind - 1];
	bool is_long = strncmp(word, "--", 2) == 0;
	char letter[3] = {'-', (char)optopt, 0};

	if (!is_long && optopt)
		word = letter;
	if (kind == ':')
		return say_wrong(program, "%s: needs a value; try --help",
				 word);
	if (is_long && optopt)
		return say_wrong(program, "%s: takes no value; try --help",
				 word);
	return say_wrong(program, "%s: no such option; try --help", word);
}
