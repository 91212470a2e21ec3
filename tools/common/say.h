/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Lines on stderr, from a program and from the libraries that it uses. */
#ifndef TOOLS_SAY_H
#define TOOLS_SAY_H

#include <libvhost/base.h>

/* Exit statuses of all our programs. */
enum {
	EXIT_OK = 0,
	EXIT_RUNTIME = 1, /* something failed that might work another time */
	EXIT_USAGE = 2,	  /* the command line, or what it names, is wrong */
};

/*
 * A log hook that writes "program: warning: text"; program is kept. A line
 * that nobody makes room for is left out and counted.
 */
struct vh_log say_log(const char *program, uint32_t level);

/* Writes a line if its level is within the log's. */
void say(const struct vh_log *log, uint32_t level, const char *format, ...)
    VH_PRINTF(3, 4);

/*
 * Writes at most 4096 bytes in one go, without waiting for whoever is to read
 * them. False: there was no room, or there is nobody.
 */
bool say_whole(int fd, const char *text, size_t size);

/* Says on stderr what is wrong with the command line. Returns EXIT_USAGE. */
int say_wrong(const char *program, const char *format, ...) VH_PRINTF(2, 3);
/* The same of what getopt_long() stumbled over: kind is what it returned. */
int say_wrong_option(const char *program, int kind, char *const argv[]);

/* As strerror(), but for any thread. */
const char *error_text(int error);

#endif
