/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What this process holds, to see whether something leaks. */
#ifndef SUPPORT_RESOURCES_H
#define SUPPORT_RESOURCES_H

#define ANY_MEMFD "/memfd:"

/* Always as many too many: for comparing only. */
unsigned int open_descriptors(void);
/* Mappings of files with that in their names. */
unsigned int mappings_of(const char *name);

struct resources {
	unsigned int descriptors;
	unsigned int memfds; /* mappings of memfds, guest memory mostly */
};

struct resources resources_now(void);

/*
 * Waits until there is no more than that (the other threads may need a
 * moment to let go): 0 or -ETIMEDOUT, and then says on stderr what is left.
 */
int resources_wait(const struct resources *before);

#endif
