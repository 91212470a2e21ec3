/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What tells the targets that ring.c is a part of from each other. */
#ifndef TESTS_FUZZ_RING_H
#define TESTS_FUZZ_RING_H

#include <stdbool.h>

extern const bool ring_is_packed;

#endif
