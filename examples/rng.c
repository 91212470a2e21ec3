/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A complete vhost-user back-end, a virtio entropy device: rng SOCKET */
#include <libvhost/libvhost.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static void process(void *user, struct vh_queue *queue,
		    struct vh_chain *chains[], unsigned int count)
{
	(void)user;
	for (unsigned int i = 0; i < count; i++) {
		struct vh_chain *chain = chains[i];
		uint32_t written = 0;

		for (unsigned int j = 0; j < chain->writable_count; j++) {
			struct iovec *piece = &chain->writable[j];
			ssize_t n =
			    getrandom(piece->iov_base, piece->iov_len, 0);

			if (n > 0)
				written += (uint32_t)n;
			if (n != (ssize_t)piece->iov_len)
				break; /* no gaps in what was written */
		}
		vh_queue_complete(queue, chain, written);
	}
}

int main(int argc, char *argv[])
{
	VH_OPTS(vh_device_ops, ops);
	VH_OPTS(vh_device_opts, device);
	VH_OPTS(vh_user_serve_opts, socket);
	struct vh_backend *backend;
	struct vh_user_server *server;
	struct vh_fault fault = {0};
	int r;

	if (argc != 2)
		return fprintf(stderr, "usage: rng SOCKET\n"), 2;
	ops.process = process;
	device.num_queues = 1;
	device.workers = 1;
	device.name = "rng";
	socket.path = argv[1];
	r = vh_device_new(&ops, &device, NULL, &backend);
	if (r < 0)
		return fprintf(stderr, "rng: %s\n", strerror(-r)), 1;
	r = vh_user_serve(backend, &socket, &fault, &server);
	if (r < 0)
		return fprintf(stderr, "rng: %s\n", fault.text), 1;
	r = vh_user_server_start(server);
	if (r == 0)
		getchar(); /* serves until its standard input ends */
	vh_user_server_free(server);
	vh_backend_free(backend);
	return r < 0;
}
