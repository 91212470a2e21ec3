/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#ifndef LAB_FAIL_H
#define LAB_FAIL_H

/* Says that, with the program's name and what errno means, and ends it by 1. */
void fail(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

#endif
