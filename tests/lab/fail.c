/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fail(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
	fprintf(stderr, " (%s)\n", strerror(error));
	va_end(args);
	exit(1);
}
