/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "resources.h"
#include "frontend.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int count = 0;

	if (!folder)
		return 0;
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

unsigned int mappings_of(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, name) != NULL;
	fclose(maps);
	return count;
}

struct resources resources_now(void)
{
	return (struct resources){
	    .descriptors = open_descriptors(),
	    .memfds = mappings_of(ANY_MEMFD),
	};
}

int resources_wait(const struct resources *before)
{
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;

	for (;;) {
		struct resources now = resources_now();

		if (now.descriptors <= before->descriptors &&
		    now.memfds <= before->memfds)
			return 0;
		if (fe_now_ms() > deadline) {
			fprintf(stderr,
				"descriptors: %u, were %u; memfds: %u, "
				"were %u\n",
				now.descriptors, before->descriptors,
				now.memfds, before->memfds);
			return -ETIMEDOUT;
		}
		usleep(1000);
	}
}
