/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Numbers as people write them on a command line. */
#ifndef TOOLS_NUMBER_H
#define TOOLS_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* A decimal number without a sign. False: it isn't one, or needs 65 bits. */
bool number_parse(const char *text, uint64_t *ret_value);

/* Likewise, with an optional K, M, G or T for powers of 1024. */
bool number_parse_size(const char *text, uint64_t *ret_value);

#endif
