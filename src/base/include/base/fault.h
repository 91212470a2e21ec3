/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Filling in faults. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <libvhost/base.h>
#include <stdarg.h>

/*
 * Describes a failure and returns error, so that a function can end in
 * "return vhi_fault(...)". fault may be NULL; section may be NULL. queue and
 * message are set to "none"; who knows them sets them afterwards.
 */
int vhi_fault(struct vh_fault *fault, uint32_t code, int error,
	      const char *section, const char *format, ...) VH_PRINTF(5, 6);

int vhi_vfault(struct vh_fault *fault, uint32_t code, int error,
	       const char *section, const char *format, va_list args)
    VH_PRINTF(5, 0);

/* Forgets what *fault said. NULL is fine. */
void vhi_fault_clear(struct vh_fault *fault);

#endif
