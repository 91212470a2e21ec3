/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The disk as the engine sees it: in this process, in the test's own loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libvhost-devices/blk.h>
#include <libvhost/libvhost.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY	  UINT64_C(0x800000)
#define PAGE	  4096
#define NUM	  256
#define HEADER	  UINT64_C(0x10000)
#define STATUS	  UINT64_C(0x20000)
#define DATA	  UINT64_C(0x400000)
#define DATA_SIZE 0x20000u
#define DISK_SIZE 0x1000000

struct disk {
	struct vh_backend *backend;
	struct vh_driver_queue *driver;
	char *memory;
	int fd;
	int kick;
};

static void make_disk(struct disk *disk, uint64_t features)
{
	VH_OPTS(vh_blk_opts, opts);
	struct vh_region region = {.size = MEMORY};

	opts.null_size = DISK_SIZE;
	assert_int_equal(vh_blk_new(&opts, NULL, &disk->backend), 0);
	disk->fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(disk->fd, (off_t)MEMORY), 0);
	disk->memory =
	    mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, disk->fd, 0);
	assert_true(disk->memory != MAP_FAILED);
	region.user.raw = (uintptr_t)disk->memory;
	region.fd = disk->fd;
	disk->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(
	    vh_backend_set_features(disk->backend, features | VH_F_VERSION_1),
	    0);
	assert_int_equal(vh_backend_set_mem_table(disk->backend, &region, 1),
			 0);
}

static void open_disk(struct disk *disk, uint64_t features)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	struct vh_vring_addr addr = {.flags = 0};
	struct vh_backend *b;

	make_disk(disk, features);
	b = disk->backend;
	opts.num = NUM;
	opts.features = VH_F_VERSION_1;
	opts.ring = disk->memory;
	assert_int_equal(vh_driver_queue_new(&opts, NULL, &disk->driver), 0);
	vh_driver_queue_addresses(disk->driver, &addr.descriptors,
				  &addr.available, &addr.used);
	assert_int_equal(vh_backend_set_vring_num(b, 0, NUM), 0);
	assert_int_equal(vh_backend_set_vring_addr(b, 0, &addr), 0);
	assert_int_equal(vh_backend_set_vring_enable(b, 0, true), 0);
	assert_int_equal(vh_backend_set_vring_kick(b, 0, disk->kick), 0);
}

static void close_disk(struct disk *disk)
{
	vh_backend_free(disk->backend);
	vh_driver_queue_free(disk->driver);
	munmap(disk->memory, MEMORY);
	close(disk->fd);
	close(disk->kick);
}

static void put_header(struct disk *disk, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr header = {.type = type, .sector = sector};

	memcpy(disk->memory + HEADER, &header, sizeof(header));
}

static void offer(struct disk *disk, uint32_t size)
{
	const struct iovec header = {(void *)(uintptr_t)HEADER,
				     sizeof(struct virtio_blk_outhdr)};
	const struct iovec writable[] = {
	    {(void *)(uintptr_t)DATA, size},
	    {(void *)(uintptr_t)STATUS, 1},
	};

	assert_int_equal(
	    vh_driver_queue_add(disk->driver, &header, 1, writable, 2, disk),
	    0);
}

static void kick(struct disk *disk)
{
	if (vh_driver_queue_publish(disk->driver))
		assert_int_equal(eventfd_write(disk->kick, 1), 0);
}

static unsigned int collect(struct disk *disk)
{
	struct vh_driver_used used[NUM];
	int n = vh_driver_queue_collect(disk->driver, used, NUM);

	assert_true(n >= 0);
	return (unsigned int)n;
}

/* Does a request of the log's disk; true if the status' page is marked. */
static bool marks_status(struct disk *disk, uint8_t *log, uint8_t status)
{
	memset(log, 0, MEMORY / PAGE / 8);
	disk->memory[STATUS] = (char)0xee;
	offer(disk, DATA_SIZE);
	kick(disk);
	while (!collect(disk))
		assert_int_equal(vh_device_dispatch(disk->backend), 0);
	assert_int_equal((uint8_t)disk->memory[STATUS], status);
	return log[STATUS / PAGE / 8] >> STATUS / PAGE % 8 & 1;
}

/* A guest that has moved must not take the page's old content for good. */
static void test_device_blk_every_status_is_logged(void **state)
{
	struct vh_log_area area = {.size = MEMORY / PAGE / 8};
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct disk disk;
	uint8_t *log;

	(void)state;
	assert_int_equal(ftruncate(fd, PAGE), 0);
	log = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(log != MAP_FAILED);
	open_disk(&disk, VH_F_LOG_ALL);
	assert_int_equal(vh_backend_set_log_base(disk.backend, &area, fd), 0);

	put_header(&disk, VIRTIO_BLK_T_IN, 0);
	assert_true(marks_status(&disk, log, VIRTIO_BLK_S_OK));
	put_header(&disk, VIRTIO_BLK_T_IN, DISK_SIZE / 512);
	assert_true(marks_status(&disk, log, VIRTIO_BLK_S_IOERR));
	put_header(&disk, 0x7777, 0);
	assert_true(marks_status(&disk, log, VIRTIO_BLK_S_UNSUPP));
	/* The name is shorter than the room for it. */
	put_header(&disk, VIRTIO_BLK_T_GET_ID, 0);
	assert_true(marks_status(&disk, log, VIRTIO_BLK_S_OK));

	close_disk(&disk);
	munmap(log, PAGE);
	close(fd);
}

/* 4 MiB, and what belongs to the burst that reached that. */
static void test_device_blk_others_have_their_turn(void **state)
{
	const unsigned int all = 80, burst = VH_VIRTQUEUE_BURST;
	struct disk disk;
	unsigned int n;

	(void)state;
	open_disk(&disk, 0);
	put_header(&disk, VIRTIO_BLK_T_IN, 0);
	for (unsigned int i = 0; i < all; i++)
		offer(&disk, DATA_SIZE);
	kick(&disk);
	for (unsigned int done = 0; done < all; done += n) {
		assert_int_equal(vh_device_dispatch(disk.backend), 0);
		n = collect(&disk);
		assert_in_range(n, 1, burst);
	}
	close_disk(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_device_blk_every_status_is_logged),
	    cmocka_unit_test(test_device_blk_others_have_their_turn),
	};

	return cmocka_run_group_tests_name("device-blk", tests, NULL, NULL);
}
