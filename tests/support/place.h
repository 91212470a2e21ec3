/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A folder for a test with room for a socket and a disk. */
#ifndef SUPPORT_PLACE_H
#define SUPPORT_PLACE_H

#include <stdint.h>
#include <sys/types.h>

struct place {
	char folder[64];
	char socket[96]; /* path; nothing is there yet */
	char disk[96];	 /* path of a file, all zeroes */
	int file;	 /* the same, open; -1: none */
};

/* disk_size 0: no disk. The folder is made in parent (NULL: /tmp). */
int place_make(struct place *place, const char *parent, uint64_t disk_size);
void place_remove(struct place *place);

/*
 * Starts a program; in its arguments SOCKET stands for the path of the
 * place's socket and DISK for that of its disk, once in each argument.
 * Returns its pid or a negative errno.
 */
pid_t program_start(const struct place *place, const char *const argv[]);

/* Sends SIGTERM; returns the wait status. */
int program_stop(pid_t pid);

#endif
