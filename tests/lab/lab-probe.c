/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * lab-probe KIND [ARGUMENT]: asks a device of the laboratory, by the kernel's
 * own interface and nothing of ours, whether it is what a test expects:
 *
 *   net TAP, vsock, scsi WWN     a /dev/vhost-KIND
 *   block NODE, network NODE     a vDPA device, by its /dev/vhost-vdpa-N
 */
#include "fail.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static int open_node(const char *node)
{
	int fd = open(node, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail("%s can't be opened", node);
	return fd;
}

#define ASK(fd, request, argument)                                             \
	do {                                                                   \
		if (ioctl((fd), (request), (argument)) < 0)                    \
			fail("no answer to " #request);                        \
	} while (0)

/* A device that somebody owns, and which speaks the version that we do */
static void check_features(int fd)
{
	uint64_t features = 0;

	ASK(fd, VHOST_SET_OWNER, NULL);
	ASK(fd, VHOST_GET_FEATURES, &features);
	printf("features 0x%llx\n", (unsigned long long)features);
	if (!(features >> VIRTIO_F_VERSION_1 & 1))
		fail("VERSION_1 isn't offered");
}

static void probe_net(const char *tap)
{
	struct ifreq request = {
	    .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};
	struct vhost_vring_file backend = {.fd = open_node("/dev/net/tun")};
	int fd = open_node("/dev/vhost-net");

	check_features(fd);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", tap);
	ASK(backend.fd, TUNSETIFF, &request);
	/* without memory and rings it must not be accepted */
	if (ioctl(fd, VHOST_NET_SET_BACKEND, &backend) == 0)
		fail("a tap is taken for a ring that doesn't exist");
}

static void probe_vsock(const char *unused)
{
	int fd = open_node("/dev/vhost-vsock");
	uint64_t cid = 42;

	(void)unused;
	check_features(fd);
	ASK(fd, VHOST_VSOCK_SET_GUEST_CID, &cid);
	cid = 2; /* the host's own */
	if (ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid) == 0)
		fail("CID %llu is accepted", (unsigned long long)cid);
}

static void probe_scsi(const char *wwn)
{
	struct vhost_scsi_target target = {.vhost_tpgt = 1};
	struct vhost_memory no_regions = {0};
	int fd = open_node("/dev/vhost-scsi");
	int version = -1;

	check_features(fd);
	ASK(fd, VHOST_SCSI_GET_ABI_VERSION, &version);
	target.abi_version = version;
	snprintf(target.vhost_wwpn, sizeof(target.vhost_wwpn), "%s", wwn);
	ASK(fd, VHOST_SET_MEM_TABLE, &no_regions);
	ASK(fd, VHOST_SCSI_SET_ENDPOINT, &target);
	ASK(fd, VHOST_SCSI_CLEAR_ENDPOINT, &target);
}

static void probe_vdpa(const char *node, uint32_t wanted)
{
	struct vhost_vdpa_iova_range range = {0};
	uint32_t id = 0, size = 0;
	uint16_t entries = 0;
	int fd = open_node(node);

	check_features(fd);
	ASK(fd, VHOST_VDPA_GET_DEVICE_ID, &id);
	ASK(fd, VHOST_VDPA_GET_VRING_NUM, &entries);
	ASK(fd, VHOST_VDPA_GET_CONFIG_SIZE, &size);
	ASK(fd, VHOST_VDPA_GET_IOVA_RANGE, &range);
	printf("device %u, rings of %u, config of %u bytes, last IOVA 0x%llx\n",
	       id, entries, size, (unsigned long long)range.last);
	if (id != wanted || entries == 0 || size == 0 || range.last == 0)
		fail("%s isn't a device %u that works", node, wanted);
}

static void probe_block(const char *node)
{
	probe_vdpa(node, VIRTIO_ID_BLOCK);
}

static void probe_network(const char *node)
{
	probe_vdpa(node, VIRTIO_ID_NET);
}

static const struct {
	const char *name;
	void (*probe)(const char *argument);
} kinds[] = {
    {"net", probe_net},	    {"vsock", probe_vsock},	{"scsi", probe_scsi},
    {"block", probe_block}, {"network", probe_network},
};

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, kind) == 0) {
			kinds[i].probe(argc > 2 ? argv[2] : "");
			return 0;
		}
	}
	fprintf(stderr, "lab-probe: no kind '%s'\n", kind);
	return 1;
}
