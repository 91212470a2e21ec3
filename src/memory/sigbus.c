/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Surviving memory that vanished. The handler uses nothing that isn't
 * async-signal-safe: system calls, and a thread-local that is part of the
 * thread from its beginning (initial-exec: no allocation on first use).
 *
 * What is global here is as global as what it describes: a process has one
 * action for a signal.
 */
#include <errno.h>
#include <memory/translate.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

/* Larger huge pages than that nobody makes guests of. */
#define HUGE_PAGE_MAX ((uintptr_t)1 << 30)

static _Thread_local struct {
	volatile sig_atomic_t on;
	volatile sig_atomic_t hit;
	const void *volatile address;
} guard __attribute__((tls_model("initial-exec")));

static struct sigaction previous;
static uintptr_t page_size;
static atomic_bool caught;

void vhi_memory_guard_begin(void)
{
	guard.hit = 0;
	guard.on = 1;
	/* The compiler may not move what is guarded out of the guard. */
	atomic_signal_fence(memory_order_seq_cst);
}

void vhi_memory_guard_end(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	guard.on = 0;
}

bool vhi_memory_guard_hit(const void **ret_address)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (!guard.hit)
		return false;
	if (ret_address)
		*ret_address = guard.address;
	guard.hit = 0;
	return true;
}

/*
 * Puts zeroes where nothing is. A mapping of huge pages can't be cut within
 * one (EINVAL), so the first size that fits is its page and reaches into
 * no other mapping.
 */
static bool fill_hole(char *address)
{
	uintptr_t size = page_size;

	do {
		void *at = address - ((uintptr_t)address & (size - 1));

		if (mmap(at, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
			     MAP_NORESERVE,
			 -1, 0) != MAP_FAILED)
			return true;
		size *= 2;
	} while (errno == EINVAL && size <= HUGE_PAGE_MAX);
	return false;
}

/*
 * What would have happened without us. With the default action back in
 * place, an access that faulted does so again and ends the process with the
 * right siginfo; a signal that was sent has to be sent again.
 */
static void chain(int number, siginfo_t *info, void *context)
{
	bool sent = info->si_code <= 0 || info->si_code == BUS_MCEERR_AO;
	bool ignored = previous.sa_handler == SIG_IGN;
	bool ends = previous.sa_handler == SIG_DFL || (ignored && !sent);

	if (ignored && sent)
		return;
	if (ends || previous.sa_flags & (int)SA_RESETHAND) {
		struct sigaction action = {.sa_handler = SIG_DFL};

		sigaction(SIGBUS, &action, NULL);
	}
	if (ends && sent)
		pthread_kill(pthread_self(), number);
	else if (!ends && previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(number, info, context);
	else if (!ends)
		previous.sa_handler(number);
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	bool filled =
	    guard.on && info->si_code == BUS_ADRERR && fill_hole(info->si_addr);

	errno = saved;
	if (!filled) {
		chain(number, info, context);
		return;
	}
	/* The first hole is the cause; what follows are its consequences. */
	if (!guard.hit)
		guard.address = info->si_addr;
	guard.hit = 1;
}

/*
 * A second call changes nothing: were the handler to come before itself, it
 * would never end. The previous action keeps its mask and its stack.
 */
int vh_memory_catch_sigbus(void)
{
	struct sigaction action;
	int err = 0;

	if (atomic_exchange(&caught, true))
		return 0;
	page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	if (sigaction(SIGBUS, NULL, &previous) == 0) {
		action = previous;
		action.sa_sigaction = on_sigbus;
		action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART |
				  (previous.sa_flags & SA_NODEFER);
		if (sigaction(SIGBUS, &action, NULL) == 0)
			return 0;
	}
	err = -errno;
	atomic_store(&caught, false);
	return err;
}
