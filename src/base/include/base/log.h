/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* An object's log: the hook of the program behind a bound on the rate. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <libvhost/base.h>
#include <pthread.h>

struct vhi_log {
	struct vh_log hook;
	pthread_mutex_t lock;
	uint64_t window;      /* the second that budget is for */
	unsigned int budget;  /* lines left in it */
	unsigned int dropped; /* lines left out since the last one */
};

void vhi_log_init(struct vhi_log *log, const struct vh_log *hook);
void vhi_log_done(struct vhi_log *log);

void vhi_log(struct vhi_log *log, uint32_t level, const char *format, ...)
    VH_PRINTF(3, 4);

/* One line from a fault: its text, code, section, queue and message. */
void vhi_log_fault(struct vhi_log *log, uint32_t level, const char *what,
		   const struct vh_fault *fault);

/* True if a line of that level would be made (saves making its parts). */
static inline bool vhi_log_wants(const struct vhi_log *log, uint32_t level)
{
	return log->hook.write && level <= log->hook.level;
}

#endif
