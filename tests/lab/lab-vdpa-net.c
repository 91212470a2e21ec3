/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * vdpa_sim_net: what is sent to its own address is received, and a control
 * queue, in a group of its own, changes that address. The control queue gets
 * an address space of its own, in which its memory is elsewhere.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "lab-vdpa.h"

#define DEVICE_ID  1
#define NUM	   64
#define RX	   0
#define TX	   1
#define CTRL	   2
#define HEADER	   12
#define BUFFER	   2048
#define F_MAC	   (UINT64_C(1) << VIRTIO_NET_F_MAC)
#define F_CTRL_VQ  (UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ)
#define F_CTRL_MAC (UINT64_C(1) << VIRTIO_NET_F_CTRL_MAC_ADDR)
#define CTRL_SHIFT UINT64_C(0x200000000)

static const uint8_t first_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t second_mac[6] = {2, 0, 0, 0, 0, 2};

static void check_mac(struct vmm *vmm, const uint8_t *mac)
{
	uint8_t now[6];

	VMM_OK(vmm, vh_backend_get_config(vmm->backend, 0, now, sizeof(now)));
	VMM_CHECK(memcmp(now, mac, 6) == 0, "another MAC address: ..:%02x",
		  now[5]);
}

static char *make_frame(struct vmm *vmm, const uint8_t *mac, unsigned int i)
{
	char *frame = vmm_alloc(vmm, BUFFER);

	memcpy(frame + HEADER, mac, 6);
	memcpy(frame + HEADER + 6, first_mac, 6);
	for (unsigned int j = HEADER + 12; j < BUFFER; j++)
		frame[j] = (char)(i * 17 + j * 3);
	return frame;
}

static void send_frame(struct vmm *vmm, char *frame, size_t size)
{
	vmm_add(&vmm->rings[TX], frame, size, NULL, 0);
	VMM_CHECK(vmm_wait(vmm, &vmm->rings[TX]).token == frame,
		  "another frame was sent");
}

static void receive_frame(struct vmm *vmm, const char *frame, size_t size)
{
	struct vh_driver_used used = vmm_wait(vmm, &vmm->rings[RX]);

	VMM_CHECK(used.written == size, "%u bytes of %zu came", used.written,
		  size);
	VMM_CHECK(memcmp((char *)used.token + HEADER, frame + HEADER,
			 size - HEADER) == 0,
		  "the frame has other bytes");
	vmm_add(&vmm->rings[RX], NULL, 0, used.token, BUFFER);
}

static void loop(struct vmm *vmm, const uint8_t *mac)
{
	for (unsigned int i = 0; i < 32; i++) {
		char *frame = make_frame(vmm, mac, i);
		size_t size = HEADER + 60 + i * 40;

		send_frame(vmm, frame, size);
		receive_frame(vmm, frame, size);
	}
}

/* A command of the control queue; its answer is 0. */
static void set_mac(struct vmm *vmm, const uint8_t *mac)
{
	struct {
		struct virtio_net_ctrl_hdr header;
		uint8_t mac[6];
	} __attribute__((packed)) *command = vmm_alloc(vmm, sizeof(*command));
	uint8_t *answer = vmm_alloc(vmm, 1);

	command->header.class = VIRTIO_NET_CTRL_MAC;
	command->header.cmd = VIRTIO_NET_CTRL_MAC_ADDR_SET;
	memcpy(command->mac, mac, 6);
	*answer = 0xff;
	vmm_add(&vmm->rings[CTRL], command, sizeof(*command), answer, 1);
	VMM_CHECK(vmm_wait(vmm, &vmm->rings[CTRL]).token == answer,
		  "another command");
	VMM_CHECK(*answer == VIRTIO_NET_OK, "the command gave %u", *answer);
}

static void check_groups(struct vmm *vmm)
{
	struct vh_backend *b = vmm->backend;
	uint32_t value = 9;

	VMM_OK(vmm, vh_vdpa_get_group_num(b, &value));
	VMM_CHECK(value == 2, "%u groups", value);
	VMM_OK(vmm, vh_vdpa_get_as_num(b, &value));
	VMM_CHECK(value == 2, "%u address spaces", value);
	for (uint32_t i = 0; i < 3; i++) {
		VMM_OK(vmm, vh_vdpa_get_vring_group(b, i, &value));
		VMM_CHECK(value == (i == CTRL), "ring %u is in group %u", i,
			  value);
	}
	VMM_FAILS(vmm, -ERANGE, vh_vdpa_get_vring_group(b, 3, &value));
	VMM_FAILS(vmm, -EINVAL, vh_vdpa_set_group_asid(b, 2, 0));
	VMM_FAILS(vmm, -EINVAL, vh_vdpa_set_group_asid(b, 1, 2));
}

/* In address space 1 guest memory is higher up. */
static void map_for_control(struct vmm *vmm)
{
	struct vh_iotlb_entry entry = {
	    .iova = VMM_RAM_GUEST + CTRL_SHIFT,
	    .size = VMM_RAM_SIZE,
	    .guest = VMM_RAM_GUEST,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};
	struct vh_backend *b = vmm->backend;

	VMM_OK(vmm, vh_vdpa_set_group_asid(b, 1, 1));
	VMM_OK(vmm, vh_vdpa_iotlb_batch(b, 1, true));
	VMM_OK(vmm, vh_vdpa_iotlb_update(b, 1, &entry));
	VMM_OK(vmm, vh_vdpa_iotlb_batch(b, 1, false));
}

/* Its driver sees that memory where the device does. */
static void start_control(struct vmm *vmm)
{
	struct vh_memory *none, *map = vmm->map;
	struct vh_region region = vmm_region(vmm);
	struct vmm_ring *ring;

	region.guest += CTRL_SHIFT;
	VMM_CHECK(vh_memory_new(&none) == 0 &&
		      vh_memory_add(none, &region, NULL, &vmm->map) == 0,
		  "no map");
	vmm->shift = CTRL_SHIFT;
	ring = vmm_ring(vmm, CTRL, NUM);
	vmm->shift = 0;
	vh_memory_unref(vmm->map);
	vh_memory_unref(none);
	vmm->map = map;
	vmm_start_ring(vmm, ring, vh_driver_queue_base(ring->queue));
}

static void suspend(struct vmm *vmm)
{
	char *frame = make_frame(vmm, second_mac, 99);
	struct vh_backend *b = vmm->backend;
	uint32_t base[3] = {0};

	VMM_OK(vmm, vh_vdpa_suspend(b));
	vmm_add(&vmm->rings[TX], frame, 200, NULL, 0);
	VMM_CHECK(vmm_is_quiet(vmm, &vmm->rings[TX]),
		  "a device that is suspended sends");
	VMM_OK(vmm, vh_vdpa_resume(b));
	VMM_CHECK(vmm_wait(vmm, &vmm->rings[TX]).token == frame,
		  "another frame was sent");
	receive_frame(vmm, frame, 200);
	/* Stops, tells where, and goes on there. */
	for (uint32_t i = 0; i < 3; i++)
		VMM_OK(vmm, vh_backend_get_vring_base(b, i, &base[i]));
	VMM_CHECK(base[TX] == 33 && base[CTRL] == 1, "the rings are at %u, %u",
		  base[TX], base[CTRL]);
	for (uint32_t i = 0; i < 3; i++)
		vmm_start_ring(vmm, &vmm->rings[i], base[i]);
	loop(vmm, second_mac);
}

void vdpa_network(const char *node)
{
	struct vmm *vmm = vdpa_open(node, DEVICE_ID);
	struct vh_region region = vmm_region(vmm);
	uint32_t value = 0;

	check_mac(vmm, first_mac);
	VMM_OK(vmm, vh_backend_get_queue_num(vmm->backend, &value));
	VMM_CHECK(value == 3, "%u queues", value);
	vdpa_negotiate(vmm, VH_F_VERSION_1 | F_MAC | F_CTRL_VQ | F_CTRL_MAC);
	check_groups(vmm);
	VMM_OK(vmm, vh_backend_set_mem_table(vmm->backend, &region, 1));
	map_for_control(vmm);
	for (uint32_t i = 0; i < 2; i++) {
		struct vmm_ring *ring = vmm_ring(vmm, i, NUM);

		vmm_start_ring(vmm, ring, vh_driver_queue_base(ring->queue));
	}
	start_control(vmm);
	for (uint32_t i = 0; i < 3; i++)
		VMM_OK(vmm, vh_backend_set_vring_enable(vmm->backend, i, true));
	vdpa_start(vmm);
	for (int i = 0; i < 8; i++)
		vmm_add(&vmm->rings[RX], NULL, 0, vmm_alloc(vmm, BUFFER),
			BUFFER);
	loop(vmm, first_mac);
	set_mac(vmm, second_mac);
	check_mac(vmm, second_mac);
	suspend(vmm);
	vh_backend_free(vmm->backend);
	vmm_done(vmm);
}
