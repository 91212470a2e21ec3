/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A vhost-user back-end behind another one: proxy [--trace] SOCKET NEXT
 *
 * Serves on SOCKET what is served on NEXT, and with --trace says which
 * messages pass. Requests don't: rings and memory are shared by the two ends.
 * It ends with SIGTERM, or when what it serves is gone.
 */
#include <errno.h>
#include <libvhost/libvhost.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

static void say(void *user, uint32_t level, const char *text)
{
	(void)user, (void)level;
	fprintf(stderr, "proxy: %s\n", text);
}

/* SIGTERM becomes readable, so that a loop can wait for it. */
static int term_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* 0: SIGTERM came; -ENOTCONN: the back-end is gone. */
static int run(struct vh_user_server *server, int term)
{
	struct pollfd fds[] = {
	    {.fd = vh_user_server_fd(server), .events = POLLIN},
	    {.fd = term, .events = POLLIN},
	};
	int r = 0;

	while (r == 0 && !fds[1].revents) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
		r = vh_user_server_dispatch(server);
	}
	return r;
}

int main(int argc, char *argv[])
{
	VH_OPTS(vh_user_connect_opts, next);
	VH_OPTS(vh_user_serve_opts, socket);
	struct vh_user_server *server = NULL;
	struct vh_backend *backend = NULL;
	struct vh_fault fault = {0};
	bool trace = argc > 1 && strcmp(argv[1], "--trace") == 0;
	int term = term_fd(), r;

	if (argc != 3 + trace)
		return fprintf(stderr, "usage: proxy [--trace] SOCKET NEXT\n"),
		       2;
	next.mode = VH_USER_CONNECT;
	next.path = argv[2 + trace];
	socket.path = argv[1 + trace];
	if (trace)
		socket.log = (struct vh_log){say, NULL, VH_LOG_DEBUG};
	r = vh_user_connect(&next, &fault, &backend);
	if (r == 0)
		r = vh_user_serve(backend, &socket, &fault, &server);
	if (r < 0) {
		fprintf(stderr, "proxy: %s\n", fault.text);
	} else {
		r = run(server, term);
		if (r < 0)
			fprintf(stderr, "proxy: %s\n", strerror(-r));
	}
	vh_user_server_free(server);
	vh_backend_free(backend);
	return r < 0;
}
