/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "measure.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void die(const char *what, int error)
{
	if (error)
		fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name,
			what, strerror(abs(error)));
	else
		fprintf(stderr, "%s: %s\n", program_invocation_short_name,
			what);
	exit(1);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t clock_cost(void)
{
	static uint64_t best;

	if (best)
		return best;
	best = UINT64_MAX;
	for (int i = 0; i < 10000; i++) {
		uint64_t start = now_ns();

		keep_least(&best, now_ns() - start);
	}
	return best;
}

double each_ns(uint64_t took, unsigned int looks, unsigned int count)
{
	uint64_t cost = clock_cost() * looks;

	return (double)(took > cost ? took - cost : 1) / count;
}

/* Those that the program was given: threads inherit what we narrow. */
static const cpu_set_t *allowed(void)
{
	static cpu_set_t set;
	static bool known;

	if (!known && sched_getaffinity(0, sizeof(set), &set) < 0)
		die("processors", errno);
	known = true;
	return &set;
}

unsigned int processors(void)
{
	return (unsigned int)CPU_COUNT(allowed());
}

void use_processor(unsigned int number)
{
	cpu_set_t one;
	int cpu = 0;

	while (!CPU_ISSET(cpu, allowed()) || number--)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		die("processor", errno);
}

unsigned int only_number(int argc, char *argv[], const char *name,
			 unsigned int fallback)
{
	size_t length = strlen(name);
	unsigned long value = 0;
	char *end = NULL;

	if (argc == 1)
		return fallback;
	if (argc == 2 && strncmp(argv[1], name, length) == 0 &&
	    argv[1][length] == '=')
		value = strtoul(argv[1] + length + 1, &end, 10);
	if (!value || !end || *end || value > 1000000) {
		fprintf(stderr, "usage: %s [%s=N]\n",
			program_invocation_short_name, name);
		exit(2);
	}
	return (unsigned int)value;
}
