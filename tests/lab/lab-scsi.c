/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * lab-scsi NAME: vhost-scsi answers INQUIRY, READ and WRITE of LUN 0 of the
 * target NAME, portal group 1: a disk in memory.
 */
#include <errno.h>
#include <linux/virtio_scsi.h>
#include <string.h>

#include "vmm.h"

#define NODE	 "/dev/vhost-scsi"
#define NUM	 64
#define TPGT	 1
#define REQUESTS 2 /* the third ring */
#define SECTOR	 512
#define SECTORS	 (1024 * 4096 / SECTOR)
#define COUNT	 16

/* Where a request and what comes back are in guest memory. */
struct scsi {
	struct vmm vmm;
	struct virtio_scsi_cmd_req *request;
	struct virtio_scsi_cmd_resp *response;
	char *data;
};

static void open_scsi(struct vmm *vmm, const char *name)
{
	struct vh_fault fault;
	int version = 0;
	VH_OPTS(vh_scsi_opts, opts);

	opts.path = NODE;
	opts.wwpn = name;
	opts.tpgt = TPGT;
	VMM_CHECK(vh_scsi_open(&opts, &fault, &vmm->backend) == 0, "%s",
		  fault.text);
	VMM_OK(vmm, vh_scsi_get_abi_version(vmm->backend, &version));
	VMM_CHECK(version == 1, "ABI version %d", version);
}

static void enable(struct vmm *vmm, bool enable)
{
	for (uint32_t i = 0; i < 3; i++)
		VMM_OK(vmm,
		       vh_backend_set_vring_enable(vmm->backend, i, enable));
}

static void set_up(struct scsi *s)
{
	struct vmm *vmm = &s->vmm;
	struct vh_region region = vmm_region(vmm);

	vmm->features = VH_F_VERSION_1 | VH_F_EVENT_IDX;
	VMM_OK(vmm, vh_backend_set_owner(vmm->backend));
	VMM_OK(vmm, vh_backend_set_features(vmm->backend, vmm->features));
	VMM_OK(vmm, vh_backend_set_mem_table(vmm->backend, &region, 1));
	for (uint32_t i = 0; i < 3; i++) {
		struct vmm_ring *ring = vmm_ring(vmm, i, NUM);

		vmm_start_ring(vmm, ring, vh_driver_queue_base(ring->queue));
	}
	s->request = vmm_alloc(vmm, sizeof(*s->request));
	s->response = vmm_alloc(vmm, sizeof(*s->response));
	s->data = vmm_alloc(vmm, COUNT * SECTOR);
}

/* The SCSI status of a command with COUNT sectors of data, or size bytes. */
static uint8_t command(struct scsi *s, const uint8_t *cdb, size_t length,
		       size_t out, size_t in)
{
	struct vmm_ring *ring = &s->vmm.rings[REQUESTS];
	struct iovec readable[2] = {{s->request, sizeof(*s->request)},
				    {s->data, out}};
	struct iovec writable[2] = {{s->response, sizeof(*s->response)},
				    {s->data, in}};

	memset(s->request, 0, sizeof(*s->request));
	memset(s->response, 0xff, sizeof(*s->response));
	s->request->lun[0] = 1;
	s->request->lun[1] = TPGT;
	s->request->lun[2] = 0x40;
	s->request->tag = 77;
	memcpy(s->request->cdb, cdb, length);
	VMM_CHECK(vh_driver_queue_add(ring->queue, readable, 1 + (out > 0),
				      writable, 1 + (in > 0), s) == 0,
		  "a request can't be added");
	vmm_publish(ring);
	VMM_CHECK(vmm_wait(&s->vmm, ring).token == s, "another request");
	VMM_CHECK(s->response->response == VIRTIO_SCSI_S_OK, "response %u",
		  s->response->response);
	return s->response->status;
}

/* The first commands may be answered by news of a reset. */
static void inquiry(struct scsi *s)
{
	static const uint8_t ready[6] = {0};
	static const uint8_t inquire[6] = {0x12, 0, 0, 0, 96, 0};
	static const uint8_t capacity[10] = {0x25};
	const unsigned char *data = (const unsigned char *)s->data;

	for (int i = 0; i < 4 && command(s, ready, 6, 0, 0); i++)
		;
	VMM_CHECK(command(s, ready, 6, 0, 0) == 0, "the unit isn't ready");
	memset(s->data, 0xee, 96);
	VMM_CHECK(command(s, inquire, 6, 0, 96) == 0, "INQUIRY");
	VMM_CHECK(data[0] == 0, "not a disk: 0x%02x", data[0]);
	VMM_CHECK(memcmp(data + 8, "LIO-ORG ", 8) == 0, "vendor %.8s",
		  data + 8);
	VMM_CHECK(command(s, capacity, 10, 0, 8) == 0, "READ CAPACITY");
	VMM_CHECK(((data[2] << 8) | data[3]) == SECTORS - 1 &&
		      ((data[6] << 8) | data[7]) == SECTOR,
		  "another capacity");
}

static uint8_t transfer(struct scsi *s, bool write, uint32_t sector)
{
	uint8_t cdb[10] = {write ? 0x2a : 0x28};

	cdb[2] = (uint8_t)(sector >> 24);
	cdb[3] = (uint8_t)(sector >> 16);
	cdb[4] = (uint8_t)(sector >> 8);
	cdb[5] = (uint8_t)sector;
	cdb[8] = COUNT;
	return command(s, cdb, sizeof(cdb), write ? COUNT * SECTOR : 0,
		       write ? 0 : COUNT * SECTOR);
}

static char pattern(uint32_t sector, uint32_t i)
{
	return (char)(sector * 3 + i * 7 + i / 512);
}

static void write_sectors(struct scsi *s, uint32_t sector)
{
	for (uint32_t i = 0; i < COUNT * SECTOR; i++)
		s->data[i] = pattern(sector, i);
	VMM_CHECK(transfer(s, true, sector) == 0, "WRITE of %u", sector);
}

static void read_sectors(struct scsi *s, uint32_t sector)
{
	memset(s->data, 0xee, COUNT * SECTOR);
	VMM_CHECK(transfer(s, false, sector) == 0, "READ of %u", sector);
	for (uint32_t i = 0; i < COUNT * SECTOR; i++)
		VMM_CHECK(s->data[i] == pattern(sector, i),
			  "byte %u of sector %u is another", i, sector);
}

static void io(struct scsi *s)
{
	for (uint32_t sector = 0; sector < SECTORS; sector += 509)
		write_sectors(s, sector > SECTORS - COUNT ? SECTORS - COUNT
							  : sector);
	for (uint32_t sector = 0; sector < SECTORS - COUNT; sector += 509)
		read_sectors(s, sector);
	/* Beyond the end: CHECK CONDITION. */
	VMM_CHECK(transfer(s, false, SECTORS) == 2, "READ beyond the end");
}

/* This driver has worker threads. */
static void workers(struct scsi *s)
{
	struct vh_backend *b = s->vmm.backend;
	uint32_t worker = 0, now = 0;

	VMM_OK(&s->vmm, vh_kernel_new_worker(b, &worker));
	VMM_OK(&s->vmm, vh_kernel_attach_vring_worker(b, REQUESTS, worker));
	VMM_OK(&s->vmm, vh_kernel_get_vring_worker(b, REQUESTS, &now));
	VMM_CHECK(now == worker, "worker %u, not %u", now, worker);
	VMM_FAILS(&s->vmm, -EBUSY, vh_kernel_free_worker(b, worker));
	read_sectors(s, 509);
	VMM_OK(&s->vmm, vh_kernel_get_vring_worker(b, 0, &now));
	VMM_OK(&s->vmm, vh_kernel_attach_vring_worker(b, REQUESTS, now));
	VMM_OK(&s->vmm, vh_kernel_free_worker(b, worker));
	VMM_FAILS(&s->vmm, -ENODEV, vh_kernel_free_worker(b, worker));
	VMM_FAILS(&s->vmm, -ENODEV,
		  vh_kernel_attach_vring_worker(b, REQUESTS, 4711));
}

static void requests(struct scsi *s)
{
	struct vh_backend *b = s->vmm.backend;
	uint32_t missed = 0;
	uint64_t word;

	VMM_OK(&s->vmm, vh_scsi_set_events_missed(b, 1));
	VMM_OK(&s->vmm, vh_scsi_get_events_missed(b, &missed));
	VMM_CHECK(missed == 1, "events missed: %u", missed);
	VMM_OK(&s->vmm, vh_scsi_set_events_missed(b, 0));
	VMM_FAILS(&s->vmm, -EOPNOTSUPP,
		  vh_backend_get_backend_features(b, &word));
	VMM_FAILS(&s->vmm, -EBUSY, vh_scsi_set_endpoint(b, "naa.5", 1));
}

static void stop_and_go(struct scsi *s)
{
	uint32_t base[3] = {0};

	for (uint32_t i = 0; i < 3; i++)
		VMM_OK(&s->vmm,
		       vh_backend_get_vring_base(s->vmm.backend, i, &base[i]));
	VMM_CHECK(base[REQUESTS] > 0 && base[0] == 0, "rings are at %u, %u",
		  base[0], base[REQUESTS]);
	for (uint32_t i = 0; i < 3; i++)
		vmm_start_ring(&s->vmm, &s->vmm.rings[i], base[i]);
}

int main(int argc, char **argv)
{
	struct scsi s = {0};

	VMM_CHECK(argc == 2, "usage: lab-scsi NAME");
	vmm_init(&s.vmm, 0);
	open_scsi(&s.vmm, "naa.5000000000000000");
	set_up(&s);
	/* There is no such target: the rings don't run, and may do later. */
	for (uint32_t i = 0; i < 2; i++)
		VMM_OK(&s.vmm,
		       vh_backend_set_vring_enable(s.vmm.backend, i, true));
	VMM_FAILS(&s.vmm, -ENODEV,
		  vh_backend_set_vring_enable(s.vmm.backend, 2, true));
	VMM_OK(&s.vmm, vh_scsi_set_endpoint(s.vmm.backend, argv[1], TPGT));
	enable(&s.vmm, true);
	inquiry(&s);
	io(&s);
	workers(&s);
	requests(&s);
	stop_and_go(&s);
	read_sectors(&s, 509);
	enable(&s.vmm, false);
	enable(&s.vmm, true);
	read_sectors(&s, 1018);
	vh_backend_free(s.vmm.backend);
	vmm_done(&s.vmm);
	return 0;
}
