/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * lab-exit STATUS: ends the guest that runs it.
 *
 * QEMU's device isa-debug-exit makes the exit status (N << 1) | 1 of N. QEMU
 * says 1 of its own accord when it fails, so N is STATUS + 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <unistd.h>

#define DEBUG_EXIT_PORT 0xf4
#define MOST		126

int main(int argc, char **argv)
{
	int status = argc > 1 ? atoi(argv[1]) : 0;

	if (status < 0 || status > MOST)
		status = MOST;
	if (ioperm(DEBUG_EXIT_PORT, 1, 1) < 0) {
		perror("lab-exit: ioperm");
		return 1;
	}
	outb(status + 1, DEBUG_EXIT_PORT);
	pause();
	return 1;
}
