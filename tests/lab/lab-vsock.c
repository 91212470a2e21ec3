/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * lab-vsock: vhost-vsock carries a stream between our rings, which are the
 * guest with CID 42, and a program that uses AF_VSOCK.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm.h"

#define NODE   "/dev/vhost-vsock"
#define CID    42
#define PORT   1234
#define NUM    64
#define BUFFER 4096
#define CHUNK  65536
#define CHUNKS 8
#define HEADER sizeof(struct virtio_vsock_hdr)
#define RX     0
#define TX     1

/* Our end of the connection. */
struct stream {
	struct vmm *vmm;
	uint32_t peer_port;
	uint32_t received; /* bytes, and so is our credit */
	uint32_t sent;
	uint32_t peer_room;
	uint32_t peer_done;
	char *out;
};

static unsigned char pattern(uint32_t at)
{
	return (unsigned char)(at * 13 + at / 251);
}

/* The program: sends and gets back, CHUNKS times CHUNK bytes. */
static int program(void)
{
	struct sockaddr_vm address = {
	    .svm_family = AF_VSOCK,
	    .svm_cid = CID,
	    .svm_port = PORT,
	};
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static unsigned char data[CHUNK], back[CHUNK];

	VMM_CHECK(fd >= 0, "AF_VSOCK: %s", strerror(errno));
	VMM_CHECK(connect(fd, (void *)&address, sizeof(address)) == 0,
		  "connect: %s", strerror(errno));
	for (uint32_t i = 0; i < CHUNKS; i++) {
		for (uint32_t j = 0; j < CHUNK; j++)
			data[j] = pattern(i * CHUNK + j);
		VMM_CHECK(send(fd, data, CHUNK, 0) == CHUNK, "send: %s",
			  strerror(errno));
		VMM_CHECK(recv(fd, back, CHUNK, MSG_WAITALL) == CHUNK,
			  "recv: %s", strerror(errno));
		VMM_CHECK(memcmp(data, back, CHUNK) == 0,
			  "chunk %u came back with other bytes", i);
	}
	close(fd);
	return 0;
}

static void send_packet(struct stream *s, uint16_t op, const void *data,
			uint32_t size)
{
	struct virtio_vsock_hdr header = {
	    .src_cid = CID,
	    .dst_cid = VMADDR_CID_HOST,
	    .src_port = PORT,
	    .dst_port = s->peer_port,
	    .len = size,
	    .type = VIRTIO_VSOCK_TYPE_STREAM,
	    .op = op,
	    .buf_alloc = CHUNK * CHUNKS * 2,
	    .fwd_cnt = s->received,
	};

	memcpy(s->out, &header, HEADER);
	memcpy(s->out + HEADER, data, size);
	vmm_add(&s->vmm->rings[TX], s->out, HEADER + size, NULL, 0);
	VMM_CHECK(vmm_wait(s->vmm, &s->vmm->rings[TX]).token == s->out,
		  "another packet was sent");
	s->sent += size;
}

/* The next packet; its data is in the buffer, which the caller posts. */
static char *receive(struct stream *s, struct virtio_vsock_hdr *header)
{
	struct vh_driver_used used = vmm_wait(s->vmm, &s->vmm->rings[RX]);

	VMM_CHECK(used.written >= HEADER && used.written <= BUFFER,
		  "%u bytes were received", used.written);
	memcpy(header, used.token, HEADER);
	VMM_CHECK(header->len == used.written - HEADER &&
		      header->dst_cid == CID && header->dst_port == PORT &&
		      header->src_cid == VMADDR_CID_HOST,
		  "a packet of %u bytes for CID %ju, port %u", header->len,
		  (uintmax_t)header->dst_cid, header->dst_port);
	s->peer_room = header->buf_alloc;
	s->peer_done = header->fwd_cnt;
	return used.token;
}

static void post(struct vmm *vmm, char *buffer)
{
	vmm_add(&vmm->rings[RX], NULL, 0, buffer, BUFFER);
}

static void check_data(const struct stream *s, const char *data, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		VMM_CHECK((unsigned char)data[i] == pattern(s->received + i),
			  "byte %u of the stream is another", s->received + i);
}

/* Whatever comes goes back, until the peer has had enough. */
static void echo(struct stream *s)
{
	struct virtio_vsock_hdr header;

	for (;;) {
		char *buffer = receive(s, &header);

		if (header.op == VIRTIO_VSOCK_OP_REQUEST) {
			s->peer_port = header.src_port;
			send_packet(s, VIRTIO_VSOCK_OP_RESPONSE, NULL, 0);
		} else if (header.op == VIRTIO_VSOCK_OP_RW) {
			char copy[BUFFER];

			check_data(s, buffer + HEADER, header.len);
			s->received += header.len;
			VMM_CHECK(s->sent + header.len - s->peer_done <=
				      s->peer_room,
				  "the peer has no room");
			memcpy(copy, buffer + HEADER, header.len);
			send_packet(s, VIRTIO_VSOCK_OP_RW, copy, header.len);
		} else if (header.op == VIRTIO_VSOCK_OP_CREDIT_REQUEST) {
			send_packet(s, VIRTIO_VSOCK_OP_CREDIT_UPDATE, NULL, 0);
		} else if (header.op == VIRTIO_VSOCK_OP_SHUTDOWN) {
			send_packet(s, VIRTIO_VSOCK_OP_RST, NULL, 0);
			post(s->vmm, buffer);
			return;
		} else {
			VMM_CHECK(header.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE,
				  "operation %u", header.op);
		}
		post(s->vmm, buffer);
	}
}

static void open_vsock(struct vmm *vmm)
{
	struct vh_backend *other;
	struct vh_fault fault;
	VH_OPTS(vh_vsock_opts, opts);

	opts.path = NODE;
	opts.guest_cid = CID;
	VMM_CHECK(vh_vsock_open(&opts, &fault, &vmm->backend) == 0, "%s",
		  fault.text);
	/* A CID is taken once. */
	VMM_CHECK(vh_vsock_open(&opts, &fault, &other) == -EADDRINUSE,
		  "CID %d is taken twice", CID);
	opts.guest_cid = 2;
	VMM_CHECK(vh_vsock_open(&opts, &fault, &other) == -EINVAL, "CID 2");
	VMM_FAILS(vmm, -EINVAL, vh_vsock_set_guest_cid(vmm->backend, 1));
	VMM_FAILS(vmm, -EOPNOTSUPP, vh_net_set_backend(vmm->backend, 0, -1));
}

static void set_up(struct vmm *vmm)
{
	struct vh_region region = vmm_region(vmm);

	vmm->features = VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_INDIRECT_DESC |
			(vmm->shift ? VH_F_ACCESS_PLATFORM : 0);
	vmm->asks = vmm->shift;
	VMM_OK(vmm, vh_backend_set_owner(vmm->backend));
	VMM_OK(vmm, vh_backend_set_features(vmm->backend, vmm->features));
	VMM_OK(vmm, vh_backend_set_mem_table(vmm->backend, &region, 1));
	for (uint32_t i = 0; i < 2; i++) {
		struct vmm_ring *ring = vmm_ring(vmm, i, NUM);

		vmm_start_ring(vmm, ring, vh_driver_queue_base(ring->queue));
	}
	for (int i = 0; i < NUM / 2; i++)
		post(vmm, vmm_alloc(vmm, BUFFER));
	for (uint32_t i = 0; i < 2; i++)
		VMM_OK(vmm, vh_backend_set_vring_enable(vmm->backend, i, true));
}

static void carry(struct vmm *vmm)
{
	struct stream stream = {.vmm = vmm, .out = vmm_alloc(vmm, 2 * BUFFER)};
	int status;
	pid_t pid = fork();

	VMM_CHECK(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {

		_exit(program());
	}
	echo(&stream);
	VMM_CHECK(waitpid(pid, &status, 0) == pid && status == 0,
		  "the program ended with 0x%x", status);
	VMM_CHECK(stream.received == CHUNK * CHUNKS &&
		      stream.sent == CHUNK * CHUNKS,
		  "%u bytes came, %u went", stream.received, stream.sent);
}

/* Both rings are stopped by either, and go on where they were. */
static void stop_and_go(struct vmm *vmm)
{
	uint32_t base[2] = {0};

	for (uint32_t i = 0; i < 2; i++)
		VMM_OK(vmm,
		       vh_backend_get_vring_base(vmm->backend, i, &base[i]));
	VMM_CHECK(base[RX] && base[TX], "the rings are at %u and %u", base[RX],
		  base[TX]);
	for (uint32_t i = 0; i < 2; i++)
		vmm_start_ring(vmm, &vmm->rings[i], base[i]);
	VMM_OK(vmm, vh_vsock_set_running(vmm->backend, false));
	VMM_OK(vmm, vh_vsock_set_running(vmm->backend, true));
}

static void run(uint64_t shift)
{
	struct vmm vmm;

	vmm_init(&vmm, shift);
	open_vsock(&vmm);
	set_up(&vmm);
	carry(&vmm);
	if (!shift) {
		stop_and_go(&vmm);
		carry(&vmm);
		/* As for another front-end: this driver has no RESET_OWNER. */
		VMM_OK(&vmm, vh_backend_release(vmm.backend));
		set_up(&vmm);
		carry(&vmm);
	} else {
		VMM_CHECK(vmm.misses > 0, "no misses");
	}
	vh_backend_free(vmm.backend);
	vmm_done(&vmm);
}

int main(void)
{
	run(0);
	run(UINT64_C(1) << 40);
	return 0;
}
