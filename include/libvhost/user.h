/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: vhost-user, both ends of the socket.
 *
 * The server offers any back-end to one front-end after another:
 *
 *	vh_user_serve(backend, &opts, &fault, &server);
 *	vh_user_server_start(server);		a thread of its own, or:
 *	poll vh_user_server_fd(), call vh_user_server_dispatch()
 *
 * A front-end that leaves, or that breaks the protocol, ends its connection
 * and nothing else: the back-end is released and the server waits for the
 * next one. A request that fails is answered with a negative
 * acknowledgement where REPLY_ACK allows one, and ends the connection where
 * it doesn't.
 *
 * The client makes a back-end of a socket behind which somebody serves one:
 *
 *	vh_user_connect(&opts, &fault, &backend);
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
	 * apart by SO_ACCEPTCONN). It is duplicated, and, since both are the
	 * same socket, doesn't block any more.
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
 * thread, or the one that dispatches, is the back-end's control side, and
 * calls vh_backend_dispatch(). *opts and its path are copied. With
 * VH_USER_CONNECT it isn't an error that nobody listens yet. Errors, with
 * words in *fault if that isn't NULL:
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
 * when nobody can come any more (a connected VH_USER_FD was closed, the
 * back-end is gone), -ENOTCONN. One thread at a time, and not to be mixed with
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

struct vh_user_connect_opts {
	size_t size;
	/*
	 * VH_USER_CONNECT: to path, where somebody must listen already.
	 * VH_USER_LISTEN: on path, until one back-end has come; the file is
	 * removed then. VH_USER_FD: fd, as with the server.
	 */
	uint32_t mode;
	int fd;
	const char *path;
	/*
	 * How long it may take until there is a connection, and until each
	 * answer is whole, in milliseconds. 0: 10,000.
	 */
	uint32_t timeout_ms;
	/*
	 * Protocol features (1 << VH_USER_PROTOCOL_F_...) that may be
	 * negotiated. 0: all that the library knows to use. One has to be
	 * named, since it changes what a descriptor of -1 means:
	 * INBAND_NOTIFICATIONS. PAGEFAULT is left out where it can't be used:
	 * together with CONFIGURE_MEM_SLOTS, and without REPLY_ACK.
	 */
	uint64_t protocol_features;
	struct vh_log log;
};

/*
 * Connects to a back-end and negotiates the protocol; features and all that
 * follows are the caller's. *opts and its path are copied.
 *
 * Whatever the back-end says is checked. An answer that is wrong, late or
 * cut off ends the connection: the function that waited for it returns
 * -EPROTO, -ETIMEDOUT or -ENODEV, every later one -ENODEV, with the reason
 * in words, and all that is left to do is vh_backend_free(). An answer that
 * says "failed" is the error that it names, or else -EREMOTEIO
 * (VH_FAULT_MSG_REFUSED), and the connection goes on.
 *
 * vh_backend_fd() and vh_backend_dispatch() tell that the back-end left, and
 * take its own requests, if BACKEND_REQ was negotiated. So do functions that
 * wait for an answer, since a back-end may want an answer first; and
 * vh_user_serve() does it for the back-end that it serves. The receivers of
 * events must not call back.
 *
 * What differs from other back-ends:
 *   - Without REPLY_ACK a request that the back-end can't grant ends the
 *     connection.
 *   - The size of the config space isn't known (-EOPNOTSUPP); accesses of
 *     more than 256 bytes are several.
 *   - Without CONFIGURE_MEM_SLOTS there can be 8 regions, and adding or
 *     removing one sends all, so that VH_CAP_REGIONS isn't there.
 *   - An IOTLB entry that lies in several regions is several for the back-end.
 *     If it refuses one, those before it are invalidated.
 *   - Back-ends that don't negotiate protocol features know nothing of
 *     enabling: their rings always are.
 *   - For network devices many back-ends count pairs of queues.
 *   - A log, once set, can't be taken back; it is used while VH_F_LOG_ALL is
 *     among the features.
 *   - vh_backend_release() resets the device if RESET_DEVICE was negotiated,
 *     and takes the memory back if CONFIGURE_MEM_SLOTS was.
 *
 * Errors, with words in *fault if that isn't NULL:
 *   -EINVAL        mode; no path or an empty one; VH_USER_FD: fd isn't a
 *                  Unix stream socket
 *   -E2BIG         *opts is of a newer library
 *   -ENAMETOOLONG  the path doesn't fit a socket address (107 bytes)
 *   -EADDRINUSE    VH_USER_LISTEN: as vh_user_serve()
 *   -ETIMEDOUT     nobody came, or there was no answer
 *   -EPROTO        a wrong answer
 *   -ENODEV        the back-end left at once
 *   -ENOMEM, -EMFILE, and what socket(), bind(), listen() and connect()
 *   return (-ENOENT, -ECONNREFUSED, -EACCES ...)
 */
VH_API VH_MUST_CHECK int
vh_user_connect(const struct vh_user_connect_opts *opts, struct vh_fault *fault,
		struct vh_backend **ret_backend);

/*
 * Ends the connection from another thread: a function that waits for an
 * answer returns -ECANCELED, and so does every later one. The handle must
 * still be freed. -EINVAL: it isn't one of vh_user_connect().
 */
VH_API VH_MUST_CHECK int vh_user_cancel(struct vh_backend *backend);

struct vh_user_client_info {
	size_t size;		    /* set by the caller to sizeof */
	uint64_t offered;	    /* features that the back-end offers */
	uint64_t features;	    /* as set last, with bit 30 */
	uint64_t protocol_features; /* as negotiated */
	/* those that the back-end offers; 0: it negotiates none */
	uint64_t protocol_offered;
};

/*
 * What was negotiated. Fills in as much as info->size has room for. -EINVAL:
 * that is 0, or the back-end isn't one of vh_user_connect().
 */
VH_API VH_MUST_CHECK int
vh_user_client_get_info(const struct vh_backend *backend,
			struct vh_user_client_info *info);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_USER_H */
