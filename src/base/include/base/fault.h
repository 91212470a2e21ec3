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

/*
 * For steps that are all done, whatever comes of each: the first error counts,
 * with its words. Begin with {.fault = where the words are}.
 */
struct vhi_first {
	struct vh_fault *fault;
	int error; /* 0: none yet */
	struct vh_fault words;
};

void vhi_first_note(struct vhi_first *first, int error);

/* Puts the words back, or clears them if all went well. Returns the error. */
int vhi_first_end(struct vhi_first *first);

#endif
