/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A disk: vdpa_sim_blk, or one by VDUSE whose file we know. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lab-vdpa.h"

#define DEVICE_ID  2
#define NUM	   64
#define SECTOR	   512
#define COUNT	   8 /* sectors in a request */
#define SIZE	   ((size_t)COUNT * SECTOR)
#define F_FLUSH	   (UINT64_C(1) << VIRTIO_BLK_F_FLUSH)
#define IOVA_SHIFT UINT64_C(0x100000000)

/* A second region of memory, which comes and goes. */
#define MORE_GUEST UINT64_C(0x80000000)
#define MORE_SIZE  UINT64_C(0x100000)

struct disk {
	struct vmm *vmm;
	const char *file; /* NULL: a simulator */
	struct virtio_blk_outhdr *header;
	uint8_t *status;
	char *data;
	uint64_t sectors;
	struct vh_region more;
};

static void request(struct disk *d, uint32_t type, uint64_t sector, void *data)
{
	struct vmm_ring *ring = &d->vmm->rings[0];
	bool write = type == VIRTIO_BLK_T_OUT;
	bool read = type == VIRTIO_BLK_T_IN;
	struct iovec out[2] = {{d->header, sizeof(*d->header)}, {data, SIZE}};
	struct iovec in[2] = {{data, SIZE}, {d->status, 1}};

	*d->header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	*d->status = 0xff;
	VMM_CHECK(vh_driver_queue_add(ring->queue, out, write ? 2 : 1,
				      read ? in : &in[1], read ? 2 : 1, d) == 0,
		  "a request can't be added");
	vmm_publish(ring);
	VMM_CHECK(vmm_wait(d->vmm, ring).token == d, "another request");
	VMM_CHECK(*d->status == VIRTIO_BLK_S_OK, "type %u, sector %ju: %u",
		  type, (uintmax_t)sector, *d->status);
}

static char pattern(uint64_t sector, size_t i)
{
	return (char)(sector * 11 + i * 5 + i / SECTOR + 1);
}

static void write_sectors(struct disk *d, uint64_t sector)
{
	for (size_t i = 0; i < SIZE; i++)
		d->data[i] = pattern(sector, i);
	request(d, VIRTIO_BLK_T_OUT, sector, d->data);
}

static void read_sectors(struct disk *d, uint64_t sector)
{
	memset(d->data, 0xee, SIZE);
	request(d, VIRTIO_BLK_T_IN, sector, d->data);
	for (size_t i = 0; i < SIZE; i++)
		VMM_CHECK(d->data[i] == pattern(sector, i),
			  "byte %zu of sector %ju is another", i,
			  (uintmax_t)sector);
}

/* What the disk had before anybody wrote to it. */
static void read_fresh(struct disk *d, uint64_t sector)
{
	char line[32];

	memset(d->data, 0xee, SIZE);
	request(d, VIRTIO_BLK_T_IN, sector, d->data);
	for (size_t i = 0; i < SIZE; i += 8) {
		uint64_t number = 1000000 + (sector * SECTOR + i) / 8;

		memset(line, 0, sizeof(line));
		if (d->file)
			snprintf(line, sizeof(line), "%ju\n",
				 (uintmax_t)number);
		VMM_CHECK(memcmp(d->data + i, line, 8) == 0,
			  "byte %zu of sector %ju isn't as it was made", i,
			  (uintmax_t)sector);
	}
}

static void check_file(const struct disk *d, uint64_t sector)
{
	int fd = d->file ? open(d->file, O_RDONLY | O_CLOEXEC) : -1;
	char data[SIZE];

	if (!d->file)
		return;
	VMM_CHECK(fd >= 0 && pread(fd, data, SIZE, (off_t)sector * SECTOR) ==
				 (ssize_t)SIZE,
		  "%s: %s", d->file, strerror(errno));
	for (size_t i = 0; i < SIZE; i++)
		VMM_CHECK(data[i] == pattern(sector, i),
			  "byte %zu at sector %ju of the file", i,
			  (uintmax_t)sector);
	close(fd);
}

/* Reads and writes all over the disk. */
static void io(struct disk *d, uint64_t from)
{
	uint64_t step = d->sectors / 16;

	for (uint64_t s = from; s + COUNT <= d->sectors; s += step) {
		write_sectors(d, s);
		read_sectors(d, s);
	}
	if (d->vmm->features & F_FLUSH)
		request(d, VIRTIO_BLK_T_FLUSH, 0, NULL);
	for (uint64_t s = from; s + COUNT <= d->sectors; s += step)
		check_file(d, s);
}

static void set_up(struct disk *d, uint64_t more_features)
{
	struct vmm *vmm = d->vmm;
	uint64_t offered = 0;

	VMM_OK(vmm, vh_backend_get_features(vmm->backend, &offered));
	vdpa_negotiate(
	    vmm, (offered & (VH_F_VERSION_1 | F_FLUSH | VH_F_INDIRECT_DESC)) |
		     more_features);
	d->header = vmm_alloc(vmm, sizeof(*d->header));
	d->status = vmm_alloc(vmm, 1);
	d->data = vmm_alloc(vmm, SIZE);
}

static void start(struct disk *d)
{
	struct vmm_ring *ring = vmm_ring(d->vmm, 0, NUM);

	vmm_start_ring(d->vmm, ring, vh_driver_queue_base(ring->queue));
	VMM_OK(d->vmm, vh_backend_set_vring_enable(d->vmm->backend, 0, true));
	vdpa_start(d->vmm);
}

/* A machine of its own for another session of the same device. */
static void renew(struct disk *d, uint64_t shift)
{
	struct vh_backend *b = d->vmm->backend;

	vmm_done(d->vmm);
	vmm_init(d->vmm, shift);
	d->vmm->backend = b;
}

static void ask(struct disk *d)
{
	struct vh_backend *b = d->vmm->backend;
	uint32_t value = 0, size = 0;
	uint64_t capacity = 0;
	vh_gpa first, last;

	VMM_OK(d->vmm, vh_backend_get_config_size(b, &size));
	VMM_CHECK(size >= 8, "%u bytes of config space", size);
	VMM_OK(d->vmm, vh_backend_get_config(b, 0, &capacity, 8));
	VMM_CHECK(capacity >= 2048, "capacity %ju", (uintmax_t)capacity);
	d->sectors = capacity;
	VMM_FAILS(d->vmm, -EINVAL,
		  vh_backend_get_config(b, size - 4, &capacity, 8));
	VMM_OK(d->vmm, vh_backend_get_queue_num(b, &value));
	VMM_CHECK(value == (d->file ? 2 : 1), "%u queues", value);
	VMM_OK(d->vmm, vh_vdpa_get_max_vring_num(b, &value));
	VMM_CHECK(value >= NUM, "rings of %u at most", value);
	VMM_OK(d->vmm, vh_vdpa_get_iova_range(b, &first, &last));
	VMM_CHECK(first == 0 && last > VMM_RAM_GUEST, "IOVAs to 0x%jx",
		  (uintmax_t)last);
}

static void ask_the_owner(struct disk *d)
{
	struct vh_backend *b = d->vmm->backend;
	volatile void *page;
	uint64_t features = 0;
	uint32_t value = 7;

	VMM_OK(d->vmm, vh_backend_get_backend_features(b, &features));
	VMM_CHECK(features & VH_BACKEND_F_IOTLB_MSG_V2 &&
		      features & VH_BACKEND_F_IOTLB_BATCH,
		  "back-end features 0x%jx", (uintmax_t)features);
	/* The simulators don't tell that. */
	if (d->file)
		VMM_OK(d->vmm, vh_vdpa_get_vring_size(b, 0, &value));
	else
		VMM_FAILS(d->vmm, -EOPNOTSUPP,
			  vh_vdpa_get_vring_size(b, 0, &value));
	VMM_CHECK(!d->file || value >= NUM, "the ring takes %u", value);
	VMM_FAILS(d->vmm, -EOPNOTSUPP,
		  vh_vdpa_get_vring_desc_group(b, 0, &value));
	VMM_FAILS(d->vmm, -EOPNOTSUPP, vh_vdpa_get_doorbell(b, 0, &page));
	VMM_FAILS(d->vmm, -EOPNOTSUPP, vh_backend_set_log_fd(b, -1));
	VMM_FAILS(d->vmm, -EINVAL, vh_vdpa_set_group_asid(b, 0, 12345));
}

static void mistakes(struct disk *d)
{
	struct vh_backend *b = d->vmm->backend;
	struct vh_region private = {.guest = MORE_GUEST,
				    .size = MORE_SIZE,
				    .user.raw = 0x10000,
				    .fd = -1};
	struct vh_vring_addr addr = {.descriptors = 0x1000};

	VMM_FAILS(d->vmm, -EINVAL, vh_backend_add_region(b, &private));
	VMM_FAILS(d->vmm, -EBUSY, vh_backend_set_vring_num(b, 0, NUM));
	VMM_FAILS(d->vmm, -EBUSY, vh_backend_set_vring_addr(b, 0, &addr));
	VMM_FAILS(d->vmm, -EINVAL, vh_backend_set_status(b, STATUS_DRIVER));
}

/*
 * Memory is added while the device runs, used for a buffer, and taken away
 * again. The driver's map has had it from the beginning.
 */
static void more_memory(struct disk *d)
{
	struct vh_backend *b = d->vmm->backend;
	char *usual = d->data;

	VMM_OK(d->vmm, vh_backend_add_region(b, &d->more));
	VMM_FAILS(d->vmm, -EEXIST, vh_backend_add_region(b, &d->more));
	d->data = (char *)(uintptr_t)d->more.user.raw + 0x3000;
	read_sectors(d, 0);
	write_sectors(d, COUNT);
	check_file(d, COUNT);
	d->data = usual;
	VMM_OK(d->vmm, vh_backend_remove_region(b, &d->more));
	VMM_FAILS(d->vmm, -ENOENT, vh_backend_remove_region(b, &d->more));
	read_sectors(d, COUNT);
}

static void make_more(struct disk *d)
{
	struct vh_memory *both;
	void *at;

	d->more = (struct vh_region){.guest = MORE_GUEST, .size = MORE_SIZE};
	d->more.fd = memfd_create("more", MFD_CLOEXEC);
	VMM_CHECK(d->more.fd >= 0 && ftruncate(d->more.fd, MORE_SIZE) == 0,
		  "memfd: %s", strerror(errno));
	at = mmap(NULL, MORE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		  d->more.fd, 0);
	VMM_CHECK(at != MAP_FAILED, "mmap: %s", strerror(errno));
	d->more.user.raw = (uintptr_t)at;
	VMM_CHECK(vh_memory_add(d->vmm->map, &d->more, NULL, &both) == 0,
		  "the map can't have more memory");
	vh_memory_unref(d->vmm->map);
	d->vmm->map = both;
}

static void suspend(struct disk *d)
{
	struct vh_backend *b = d->vmm->backend;
	struct vmm_ring *ring = &d->vmm->rings[0];
	uint32_t base = 0;

	if (d->file) {
		/* VDUSE can't, and so no ring of it stops but by a reset. */
		VMM_FAILS(d->vmm, -EOPNOTSUPP, vh_vdpa_suspend(b));
		VMM_FAILS(d->vmm, -EOPNOTSUPP,
			  vh_backend_get_vring_base(b, 0, &base));
		return;
	}
	VMM_OK(d->vmm, vh_vdpa_suspend(b));
	VMM_OK(d->vmm, vh_vdpa_resume(b));
	read_sectors(d, 0);
	VMM_OK(d->vmm, vh_backend_get_vring_base(b, 0, &base));
	VMM_CHECK(base == vh_driver_queue_base(ring->queue),
		  "the ring is at %u, not %u", base,
		  vh_driver_queue_base(ring->queue));
	vmm_start_ring(d->vmm, ring, base);
	read_sectors(d, 0);
}

/* A machine with an IOMMU, whose IOVAs are other numbers. */
static void iommu(struct disk *d)
{
	struct vh_backend *b = d->vmm->backend;
	struct vh_region region;
	struct vh_iotlb_entry entry = {
	    .iova = VMM_RAM_GUEST + IOVA_SHIFT,
	    .size = VMM_RAM_SIZE / 2,
	    .guest = VMM_RAM_GUEST,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};

	renew(d, IOVA_SHIFT);
	VMM_OK(d->vmm, vh_backend_release(b));
	set_up(d, VH_F_ACCESS_PLATFORM);
	region = vmm_region(d->vmm);
	VMM_OK(d->vmm, vh_backend_add_region(b, &region));
	VMM_OK(d->vmm, vh_backend_iotlb_update(b, &entry));
	/* Once more: it takes the place of itself. */
	VMM_OK(d->vmm, vh_backend_iotlb_update(b, &entry));
	entry.iova += entry.size;
	entry.guest += entry.size;
	VMM_OK(d->vmm, vh_backend_iotlb_update(b, &entry));
	entry.guest += entry.size;
	VMM_FAILS(d->vmm, -EFAULT, vh_backend_iotlb_update(b, &entry));
	/* A page in the middle goes and comes back; all else stays. */
	entry.iova = VMM_RAM_GUEST + IOVA_SHIFT + 0x8000;
	entry.guest = VMM_RAM_GUEST + 0x8000;
	entry.size = 0x1000;
	VMM_OK(d->vmm, vh_backend_iotlb_invalidate(b, entry.iova, entry.size));
	VMM_OK(d->vmm, vh_backend_iotlb_update(b, &entry));
	start(d);
	read_sectors(d, 0);
	io(d, 5);
}

void vdpa_block(const char *node, const char *file)
{
	struct disk d = {.file = file};
	struct vh_region region;

	d.vmm = vdpa_open(node, DEVICE_ID);
	make_more(&d);
	ask(&d);
	region = vmm_region(d.vmm);
	VMM_FAILS(d.vmm, -EPERM,
		  vh_backend_add_region(d.vmm->backend, &region));
	set_up(&d, 0);
	ask_the_owner(&d);
	VMM_OK(d.vmm, vh_backend_set_mem_table(d.vmm->backend, &region, 1));
	start(&d);
	read_fresh(&d, 0);
	read_fresh(&d, d.sectors - COUNT);
	io(&d, 0);
	mistakes(&d);
	more_memory(&d);
	read_sectors(&d, 0);
	suspend(&d);
	iommu(&d);
	/* And without one once more, as another front-end would. */
	VMM_OK(d.vmm, vh_backend_reset_device(d.vmm->backend));
	renew(&d, 0);
	region = vmm_region(d.vmm);
	set_up(&d, 0);
	VMM_OK(d.vmm, vh_backend_set_mem_table(d.vmm->backend, &region, 1));
	start(&d);
	read_sectors(&d, 5);
	vh_backend_free(d.vmm->backend);
	vmm_done(d.vmm);
}
