/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include <base/log.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* A peer can cause lines as fast as it likes; the disk behind is finite. */
#define LINES_PER_SECOND 32
#define LINE_MAX_BYTES	 512

void vhi_log_init(struct vhi_log *log, const struct vh_log *hook)
{
	*log = (struct vhi_log){.budget = LINES_PER_SECOND};
	if (hook)
		log->hook = *hook;
	pthread_mutex_init(&log->lock, NULL);
}

void vhi_log_done(struct vhi_log *log)
{
	pthread_mutex_destroy(&log->lock);
}

/* Takes one line from the budget; *dropped is what to own up to first. */
static bool take_line(struct vhi_log *log, unsigned int *dropped)
{
	struct timespec now;
	bool allowed = true;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	pthread_mutex_lock(&log->lock);
	if ((uint64_t)now.tv_sec != log->window) {
		log->window = (uint64_t)now.tv_sec;
		log->budget = LINES_PER_SECOND;
	}
	*dropped = 0;
	if (log->budget == 0) {
		log->dropped++;
		allowed = false;
	} else {
		log->budget--;
		*dropped = log->dropped;
		log->dropped = 0;
	}
	pthread_mutex_unlock(&log->lock);
	return allowed;
}

void vhi_log(struct vhi_log *log, uint32_t level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	unsigned int dropped;
	va_list args;

	/* Debug lines are asked for; a bound would only hide what is sought. */
	if (!vhi_log_wants(log, level))
		return;
	if (level != VH_LOG_DEBUG && !take_line(log, &dropped))
		return;
	if (level != VH_LOG_DEBUG && dropped) {
		snprintf(line, sizeof(line), "%u lines were left out", dropped);
		log->hook.write(log->hook.user, level, line);
	}
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log->hook.write(log->hook.user, level, line);
}

void vhi_log_fault(struct vhi_log *log, uint32_t level, const char *what,
		   const struct vh_fault *fault)
{
	char queue[32] = "";

	if (fault->queue != VH_FAULT_NO_QUEUE)
		snprintf(queue, sizeof(queue), ", queue %u", fault->queue);
	vhi_log(log, level, "%s: %s [%s%s%s%s]", what, fault->text,
		vh_fault_name(fault->code), queue, *fault->section ? ", " : "",
		fault->section);
}
