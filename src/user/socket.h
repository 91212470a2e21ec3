/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Where peers meet: a socket file, or a descriptor that somebody else made. */
#ifndef USER_SOCKET_H
#define USER_SOCKET_H

#include <libvhost/base.h>
#include <sys/types.h>

struct vhi_socket {
	char *path;
	int listener; /* -1: none */
	dev_t dev;    /* our socket file, to be removed */
	ino_t ino;
	bool owns_path;
};

/* Words for failures go into *fault. */
int vhi_socket_check_path(const char *path, struct vh_fault *fault);
/* Makes socket->listener at socket->path. */
int vhi_socket_listen(struct vhi_socket *socket, struct vh_fault *fault);
/* A connected descriptor, without waiting. */
int vhi_socket_connect(const char *path);
/* A duplicate of fd becomes socket->listener or *ret_connected. */
int vhi_socket_adopt(struct vhi_socket *socket, int fd, int *ret_connected,
		     struct vh_fault *fault);
/* Closes the listener and removes the file, if it is ours. */
void vhi_socket_done(struct vhi_socket *socket);

#endif
