/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: the vhost-user server: offers any back-end to one vhost-user
 * front-end after another, over a Unix socket.
 *
 *	vh_user_serve(backend, &opts, &server);
 *	vh_user_server_start(server);		a thread of its own, or:
 *	poll vh_user_server_fd(), call vh_user_server_dispatch()
 *
 * A front-end that leaves, or that breaks the protocol, ends its connection
 * and nothing else: the back-end is released and the server waits for the
 * next one. A request that fails is answered with a negative
 * acknowledgement where REPLY_ACK allows one, and ends the connection where
 * it doesn't.
 */
#ifndef LIBVHOST_USER_H
#define LIBVHOST_USER_H

#include <libvhost/backend.h>
#include <libvhost/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vh_user_server;

enum {
	/*
	 * Listen on path. A socket file that nobody listens on is replaced;
	 * one that a live server listens on is left alone (-EADDRINUSE). The
	 * file is removed when the server is freed, if it is still ours.
	 */
	VH_USER_LISTEN = 0,
	/* Connect to path, again and again with growing pauses up to 1 s. */
	VH_USER_CONNECT = 1,
	/*
	 * Use fd, a Unix stream socket that listens or is connected (told
	 * apart by SO_ACCEPTCONN). It is duplicated.
	 */
	VH_USER_FD = 2,
};

struct vh_user_serve_opts {
	size_t size;
	uint32_t mode;	  /* VH_USER_... */
	int fd;		  /* VH_USER_FD */
	const char *path; /* VH_USER_LISTEN, VH_USER_CONNECT */
	/*
	 * How long a front-end may take for the rest of a message that it
	 * began, or to read a reply, in milliseconds. 0: 10,000.
	 */
	uint32_t timeout_ms;
	struct vh_log log;
};

/*
 * Makes a server for a back-end, which stays the caller's and must outlive
 * it. One server at a time for a back-end, and from now on the server's
 * thread, or the one that dispatches, is the back-end's control side. *opts
 * and its path are copied. With VH_USER_CONNECT it isn't an error that
 * nobody listens yet. Errors, with words in *fault if that isn't NULL:
 *   -EINVAL        mode; no path or an empty one; VH_USER_FD: fd isn't a
 *                  Unix stream socket
 *   -E2BIG         *opts is of a newer library
 *   -ENAMETOOLONG  the path doesn't fit a socket address (107 bytes)
 *   -EADDRINUSE    a live server listens there, or path isn't a socket
 *   -EACCES ...    what connect() returns for a socket that is there, if it
 *                  can't be told whether somebody listens
 *   -ENOMEM, -EMFILE, and what socket(), bind() and listen() return
 */
VH_API VH_MUST_CHECK int vh_user_serve(struct vh_backend *backend,
				       const struct vh_user_serve_opts *opts,
				       struct vh_fault *fault,
				       struct vh_user_server **ret_server);

/*
 * Ends the connection, when the requests in flight are done, and the thread,
 * if any; removes the socket file if it made it. NULL is fine. Not from the
 * server's own thread.
 */
VH_API void vh_user_server_free(struct vh_user_server *server);

/*
 * The descriptor that is readable when vh_user_server_dispatch() has
 * something to do. It stays the server's.
 */
VH_API VH_MUST_CHECK int vh_user_server_fd(const struct vh_user_server *server);

/*
 * Does what there is to do, without waiting for the front-end. But messages
 * that stop a ring or take memory away, and the end of a connection, wait
 * until the device is done with the requests in flight, and so does all that
 * runs in the same loop, other devices among it. Servers in threads of their
 * own, by vh_user_server_start(), don't disturb each other. Returns 0, or,
 * when nobody can come any more (a connected VH_USER_FD was closed),
 * -ENOTCONN. One thread at a time, and not to be mixed with
 * vh_user_server_start().
 */
VH_API VH_MUST_CHECK int vh_user_server_dispatch(struct vh_user_server *server);

/*
 * Runs the server in a thread of its own, which blocks all signals but
 * SIGBUS. -EBUSY: it runs already; and what pthread_create() returns.
 */
VH_API VH_MUST_CHECK int vh_user_server_start(struct vh_user_server *server);

/*
 * With vh_user_server_start(): a descriptor that becomes readable, and stays
 * so, when the thread has ended because nobody can come any more. It stays
 * the server's. Any thread.
 */
VH_API VH_MUST_CHECK int
vh_user_server_ended_fd(const struct vh_user_server *server);

struct vh_user_server_info {
	size_t size; /* set by the caller to sizeof */
	bool connected;
	uint64_t connections;	    /* so far */
	uint64_t messages;	    /* received */
	uint64_t refused;	    /* of them */
	uint64_t features;	    /* as set last, with bit 30 */
	uint64_t protocol_features; /* as set last */
};

/*
 * What happened so far. Any thread. Fills in as much as info->size has room
 * for; -EINVAL if that is 0.
 */
VH_API VH_MUST_CHECK int
vh_user_server_get_info(struct vh_user_server *server,
			struct vh_user_server_info *info);

/*
 * Copies the last fault of the protocol, the back-end or a ring; its code
 * is VH_FAULT_NONE if there was none. Any thread.
 */
VH_API void vh_user_server_fault(struct vh_user_server *server,
				 struct vh_fault *ret_fault);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_USER_H */
