/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "number.h"
#include <string.h>

/* Returns where the digits end, or NULL. */
static const char *parse_digits(const char *text, uint64_t *ret_value)
{
	const char *p = text;
	uint64_t value = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return NULL;
	*ret_value = value;
	return p == text ? NULL : p;
}

bool number_parse(const char *text, uint64_t *ret_value)
{
	uint64_t value;
	const char *end = parse_digits(text, &value);

	if (!end || *end)
		return false;
	*ret_value = value;
	return true;
}

bool number_parse_size(const char *text, uint64_t *ret_value)
{
	static const char units[] = "KMGT";
	uint64_t value;
	const char *end = parse_digits(text, &value);
	const char *unit;

	if (!end)
		return false;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || !*unit || end[1])
			return false;
		for (; unit >= units; unit--)
			if (__builtin_mul_overflow(value, 1024, &value))
				return false;
	}
	*ret_value = value;
	return true;
}
