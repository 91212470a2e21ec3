/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include <base/thread.h>
#include <signal.h>

/* What a thread does wrong itself: blocked, it would end the process. */
static const int own[] = {SIGBUS,  SIGSEGV, SIGILL, SIGFPE,
			  SIGTRAP, SIGSYS,  SIGABRT};

int vhi_thread_create(pthread_t *thread, const char *name,
		      void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&all, own[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_setname_np(*thread, name);
	return -r;
}
