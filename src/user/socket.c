/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Socket files: made without stealing a live server's, removed if ours. */
#include "socket.h"

#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Every 10 ms. */
#define LOCK_TRIES 100

#define PATH_LIMIT (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

int vhi_socket_check_path(const char *path, struct vh_fault *fault)
{
	if (!path || !*path)
		return vhi_fault(fault, VH_FAULT_CALLER, -EINVAL, "",
				 "the socket path is empty");
	if (strlen(path) > PATH_LIMIT)
		return vhi_fault(fault, VH_FAULT_CALLER, -ENAMETOOLONG, "",
				 "the socket path has %zu bytes, the limit is "
				 "%zu",
				 strlen(path), PATH_LIMIT);
	return 0;
}

static void set_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, strlen(path));
}

static int unix_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int vhi_socket_connect(const char *path)
{
	struct sockaddr_un address;
	int fd = unix_socket();
	int r;

	if (fd < 0)
		return fd;
	set_address(&address, path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) ==
	    0)
		return fd;
	r = -errno;
	vhi_fd_close(&fd);
	return r;
}

/* Somebody bound this path before: 0 if the file is dead and now gone. */
static int clear_path(const struct vhi_socket *socket, struct vh_fault *fault)
{
	struct stat st;
	int fd;

	if (lstat(socket->path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return vhi_fault(fault, VH_FAULT_CALLER, -EADDRINUSE, "",
				 "%.150s exists and isn't a socket",
				 socket->path);
	fd = vhi_socket_connect(socket->path);
	/* -EAGAIN: so many wait for it already that there is no room. */
	if (fd >= 0 || fd == -EAGAIN) {
		vhi_fd_close(&fd);
		return vhi_fault(fault, VH_FAULT_CALLER, -EADDRINUSE, "",
				 "another server listens on %.150s",
				 socket->path);
	}
	if (fd != -ECONNREFUSED)
		return vhi_fault(fault, VH_FAULT_SYSTEM, fd, "",
				 "can't tell whether somebody listens on "
				 "%.120s: %s",
				 socket->path, strerrordesc_np(-fd));
	return unlink(socket->path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_and_listen(struct vhi_socket *socket, int fd)
{
	struct sockaddr_un address;
	struct stat st;

	set_address(&address, socket->path);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	if (lstat(socket->path, &st) == 0) {
		socket->dev = st.st_dev;
		socket->ino = st.st_ino;
		socket->owns_path = true;
	}
	return listen(fd, 16) < 0 ? -errno : 0;
}

/*
 * Between finding a dead socket and replacing it, another server must not do
 * the same: whoever starts here takes the folder's lock. A folder that can't
 * be read, or is locked by something else, doesn't keep us from serving.
 */
static int lock_folder(const struct vhi_socket *socket)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	const char *slash = strrchr(socket->path, '/');
	char folder[PATH_LIMIT + 1] = ".";
	int fd;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s",
			 (int)(slash - socket->path) + 1, socket->path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

static int take_path(struct vhi_socket *socket, struct vh_fault *fault)
{
	int r = clear_path(socket, fault);
	int fd;

	if (r < 0)
		return r;
	fd = unix_socket();
	if (fd < 0)
		return fd;
	r = bind_and_listen(socket, fd);
	if (r < 0)
		vhi_fd_close(&fd);
	socket->listener = fd;
	return r;
}

int vhi_socket_listen(struct vhi_socket *socket, struct vh_fault *fault)
{
	int folder, r;

	vhi_fault_clear(fault);
	folder = lock_folder(socket);
	r = take_path(socket, fault);
	vhi_fd_close(&folder);
	if (r < 0 && fault && fault->code == VH_FAULT_NONE)
		vhi_fault(fault, VH_FAULT_SYSTEM, r, "",
			  "can't listen on %.120s: %s", socket->path,
			  strerrordesc_np(-r));
	return r;
}

static int get_option(int fd, int option)
{
	socklen_t size = sizeof(int);
	int value;

	if (getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0)
		return -errno;
	return value;
}

/* A descriptor that somebody else made: listening, or connected. */
int vhi_socket_adopt(struct vhi_socket *socket, int fd, int *ret_connected,
		     struct vh_fault *fault)
{
	int r;

	if (get_option(fd, SO_DOMAIN) != AF_UNIX ||
	    get_option(fd, SO_TYPE) != SOCK_STREAM)
		return vhi_fault(fault, VH_FAULT_CALLER, -EINVAL, "",
				 "descriptor %d isn't a Unix stream socket",
				 fd);
	r = vhi_fd_dup(fd);
	if (r < 0)
		return vhi_fault(fault, VH_FAULT_SYSTEM, r, "",
				 "descriptor %d can't be duplicated: %s", fd,
				 strerrordesc_np(-r));
	if (get_option(fd, SO_ACCEPTCONN) > 0) {
		socket->listener = r;
		return vhi_fd_set_nonblock(r, true);
	}
	*ret_connected = r;
	return 0;
}

void vhi_socket_done(struct vhi_socket *socket)
{
	struct stat st;

	if (socket->owns_path && lstat(socket->path, &st) == 0 &&
	    st.st_dev == socket->dev && st.st_ino == socket->ino)
		unlink(socket->path);
	socket->owns_path = false;
	vhi_fd_close(&socket->listener);
	free(socket->path);
	socket->path = NULL;
}
