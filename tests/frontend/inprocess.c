/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A device of our own process as a back-end of our own guest memory: no
 * socket, no message, nothing but public headers. Each request is checked in
 * the disk's file, while memory comes and goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <libvhost-devices/blk.h>
#include <libvhost/libvhost.h>
#include <linux/virtio_blk.h>

#define QUEUES	    2
#define QUEUE_SIZE  64
#define REGIONS	    4
#define REGION_SIZE UINT64_C(0x100000)
#define GUEST(i)    (UINT64_C(0x80000000) * (i) + 0x1000)
#define SECTOR	    512
#define SECTORS	    1024

struct request {
	struct virtio_blk_outhdr header;
	uint8_t data[SECTOR];
	uint8_t status;
};

struct rig {
	int image;
	int fd;
	uint8_t *memory;
	struct vh_region regions[REGIONS];
	struct vh_backend *backend;
	struct vh_driver_queue *driver[QUEUES];
	int kick[QUEUES];
	int call[QUEUES];
};

static bool any_socket(void)
{
	struct stat st;

	for (int fd = 0; fd < 1024; fd++)
		if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			return true;
	return false;
}

static void make_memory(struct rig *rig)
{
	rig->fd = memfd_create("guest", MFD_CLOEXEC);
	assert_return_code(rig->fd, errno);
	assert_return_code(ftruncate(rig->fd, REGIONS * REGION_SIZE), errno);
	rig->memory = mmap(NULL, REGIONS * REGION_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED, rig->fd, 0);
	assert_ptr_not_equal(rig->memory, MAP_FAILED);
	for (unsigned int i = 0; i < REGIONS; i++)
		rig->regions[i] = (struct vh_region){
		    .guest = GUEST(i),
		    .size = REGION_SIZE,
		    .user.raw = (uintptr_t)rig->memory + i * REGION_SIZE,
		    .fd_offset = i * REGION_SIZE,
		    .fd = rig->fd,
		};
}

static void make_queue(struct rig *rig, uint32_t q, uint64_t features)
{
	VH_OPTS(vh_driver_queue_opts, opts);

	opts.index = q;
	opts.num = QUEUE_SIZE;
	opts.features = features;
	opts.ring = rig->memory + q * 0x8000;
	opts.ring_at = GUEST(0) + q * 0x8000;
	assert_int_equal(vh_driver_queue_new(&opts, NULL, &rig->driver[q]), 0);
}

static struct iovec part(vh_gpa at, size_t offset, size_t size)
{
	return (struct iovec){(void *)(uintptr_t)(at + offset), size};
}

static void *here(const struct rig *rig, vh_gpa at)
{
	for (unsigned int i = 0; i < REGIONS; i++)
		if (at >= GUEST(i) && at - GUEST(i) < REGION_SIZE)
			return rig->memory + i * REGION_SIZE + (at - GUEST(i));
	return NULL;
}

static void do_request(struct rig *rig, uint32_t q, vh_gpa at, uint32_t type,
		       uint64_t sector)
{
	struct request *request = here(rig, at);
	struct iovec parts[] = {
	    part(at, 0, sizeof(request->header)),
	    part(at, offsetof(struct request, data), SECTOR),
	    part(at, offsetof(struct request, status), 1),
	};
	unsigned int readable = type == VIRTIO_BLK_T_OUT ? 2 : 1;
	struct vh_driver_used used;
	eventfd_t count;
	int n;

	request->header.type = type;
	request->header.sector = sector;
	request->status = 0xee;
	assert_int_equal(vh_driver_queue_add(rig->driver[q], parts, readable,
					     &parts[readable], 3 - readable,
					     request),
			 0);
	if (vh_driver_queue_publish(rig->driver[q]))
		assert_int_equal(eventfd_write(rig->kick[q], 1), 0);
	while ((n = vh_driver_queue_collect(rig->driver[q], &used, 1)) == 0)
		if (!vh_driver_queue_enable_calls(rig->driver[q]))
			assert_int_equal(eventfd_read(rig->call[q], &count), 0);
	assert_int_equal(n, 1);
	assert_ptr_equal(used.token, request);
	assert_int_equal(request->status, VIRTIO_BLK_S_OK);
}

/* Writes a sector, looks for it in the file, and reads it. */
static void use(struct rig *rig, uint32_t q, vh_gpa at, unsigned int seed)
{
	struct request *request = here(rig, at);
	uint64_t sector = seed * 37 % SECTORS / QUEUES * QUEUES + q;
	uint8_t wanted[SECTOR], found[SECTOR];

	for (unsigned int i = 0; i < SECTOR; i++)
		wanted[i] = (uint8_t)(seed * 13 + i * 3 + i / 256);
	memcpy(request->data, wanted, SECTOR);
	do_request(rig, q, at, VIRTIO_BLK_T_OUT, sector);
	assert_int_equal(
	    pread(rig->image, found, SECTOR, (off_t)(sector * SECTOR)), SECTOR);
	assert_memory_equal(found, wanted, SECTOR);
	memset(request->data, 0, SECTOR);
	do_request(rig, q, at, VIRTIO_BLK_T_IN, sector);
	assert_memory_equal(request->data, wanted, SECTOR);
}

/* One to one with the protocol, without vh_frontend. */
static void start_by_hand(struct rig *rig, uint64_t features)
{
	struct vh_backend *b = rig->backend;
	uint64_t offered;

	assert_int_equal(vh_backend_set_owner(b), 0);
	assert_int_equal(vh_backend_get_features(b, &offered), 0);
	assert_int_equal(features & ~offered, 0);
	assert_int_equal(vh_backend_set_features(b, features), 0);
	assert_int_equal(vh_backend_set_mem_table(b, rig->regions, 1), 0);
	for (uint32_t q = 0; q < QUEUES; q++) {
		struct vh_vring_addr addr = {0};

		make_queue(rig, q, features);
		vh_driver_queue_addresses(rig->driver[q], &addr.descriptors,
					  &addr.available, &addr.used);
		rig->kick[q] = eventfd(0, EFD_CLOEXEC);
		assert_int_equal(vh_backend_set_vring_num(b, q, QUEUE_SIZE), 0);
		assert_int_equal(
		    vh_backend_set_vring_base(
			b, q, vh_driver_queue_base(rig->driver[q])),
		    0);
		assert_int_equal(vh_backend_set_vring_addr(b, q, &addr), 0);
		assert_int_equal(vh_backend_set_vring_call(b, q, rig->call[q]),
				 0);
		assert_int_equal(vh_backend_set_vring_kick(b, q, rig->kick[q]),
				 0);
		assert_int_equal(vh_backend_set_vring_enable(b, q, true), 0);
	}
}

static void test_frontend_inprocess_by_hand(void **state)
{
	struct rig *rig = *state;
	uint64_t capacity;
	uint32_t base;

	start_by_hand(rig, VH_F_VERSION_1 | VH_F_EVENT_IDX);
	assert_int_equal(vh_backend_get_config(rig->backend, 0, &capacity, 8),
			 0);
	assert_int_equal(capacity, SECTORS);
	for (unsigned int i = 0; i < 200; i++)
		use(rig, i % QUEUES, GUEST(0) + 0x20000, i);
	assert_int_equal(vh_backend_add_region(rig->backend, &rig->regions[1]),
			 0);
	use(rig, 0, GUEST(1), 1000);
	assert_int_equal(
	    vh_backend_remove_region(rig->backend, &rig->regions[1]), 0);
	for (uint32_t q = 0; q < QUEUES; q++) {
		assert_int_equal(
		    vh_backend_get_vring_base(rig->backend, q, &base), 0);
		assert_int_equal(base, vh_driver_queue_base(rig->driver[q]));
		close(rig->kick[q]);
	}
	assert_false(any_socket());
}

static void test_frontend_inprocess_by_hand_packed(void **state)
{
	struct rig *rig = *state;

	start_by_hand(rig, VH_F_VERSION_1 | VH_F_RING_PACKED);
	for (unsigned int i = 0; i < 200; i++)
		use(rig, i % QUEUES, GUEST(0) + 0x20000, i);
	for (uint32_t q = 0; q < QUEUES; q++)
		close(rig->kick[q]);
}

struct guest {
	struct rig *rig;
	uint32_t queue;
	unsigned int done;
	bool stop;
};

static void *run_guest(void *arg)
{
	struct guest *g = arg;

	do {
		use(g->rig, g->queue, GUEST(0) + 0x20000 + g->queue * 0x1000,
		    g->done);
		__atomic_fetch_add(&g->done, 1, __ATOMIC_RELEASE);
	} while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

static void set_rings(struct rig *rig, struct vh_frontend *f, uint64_t features)
{
	assert_int_equal(vh_frontend_negotiate(f, features), 0);
	for (uint32_t q = 0; q < QUEUES; q++) {
		VH_OPTS(vh_frontend_ring, ring);

		make_queue(rig, q, features);
		ring.num = QUEUE_SIZE;
		vh_driver_queue_addresses(rig->driver[q], &ring.descriptors,
					  &ring.available, &ring.used);
		assert_int_equal(vh_frontend_set_ring(f, q, &ring), 0);
		assert_int_equal(vh_frontend_set_call(f, q, rig->call[q]), 0);
		rig->kick[q] = vh_frontend_kick_fd(f, q);
	}
}

/* Memory and the machine's pauses change under requests of two guests. */
static void run(struct rig *rig, uint64_t features)
{
	VH_OPTS(vh_frontend_opts, opts);
	struct guest guests[QUEUES];
	pthread_t threads[QUEUES];
	struct vh_frontend *f;

	opts.num_queues = QUEUES;
	opts.features = features;
	assert_int_equal(vh_frontend_new(rig->backend, &opts, NULL, &f), 0);
	assert_int_equal(vh_frontend_set_memory(f, rig->regions, 1), 0);
	set_rings(rig, f, features);
	assert_int_equal(vh_frontend_start(f), 0);
	for (uint32_t q = 0; q < QUEUES; q++) {
		guests[q] = (struct guest){.rig = rig, .queue = q};
		assert_int_equal(
		    pthread_create(&threads[q], NULL, run_guest, &guests[q]),
		    0);
	}
	for (unsigned int i = 0; i < 100; i++) {
		struct guest *g = &guests[i % QUEUES];
		unsigned int before =
		    __atomic_load_n(&g->done, __ATOMIC_ACQUIRE);

		assert_int_equal(
		    vh_frontend_set_memory(f, rig->regions, 1 + i % REGIONS),
		    0);
		if (i % 5 == 0) {
			assert_int_equal(vh_frontend_pause(f), 0);
			assert_int_equal(vh_frontend_resume(f), 0);
		}
		while (__atomic_load_n(&g->done, __ATOMIC_ACQUIRE) == before)
			usleep(10);
	}
	for (uint32_t q = 0; q < QUEUES; q++) {
		__atomic_store_n(&guests[q].stop, true, __ATOMIC_RELEASE);
		pthread_join(threads[q], NULL);
	}
	assert_false(any_socket());
	vh_frontend_free(f);
}

static void test_frontend_inprocess_under_changes(void **state)
{
	run(*state, VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_INDIRECT_DESC);
}

static void test_frontend_inprocess_under_changes_packed(void **state)
{
	run(*state, VH_F_VERSION_1 | VH_F_RING_PACKED);
}

static int set_up(void **state)
{
	static struct rig rig;
	char path[] = "/tmp/vhost-inprocess-XXXXXX";
	VH_OPTS(vh_blk_opts, opts);

	rig = (struct rig){.image = mkstemp(path)};
	assert_return_code(rig.image, errno);
	assert_return_code(ftruncate(rig.image, SECTORS * SECTOR), errno);
	opts.path = path;
	opts.num_queues = QUEUES;
	opts.workers = QUEUES;
	assert_int_equal(vh_blk_new(&opts, NULL, &rig.backend), 0);
	unlink(path);
	make_memory(&rig);
	for (uint32_t q = 0; q < QUEUES; q++) {
		rig.call[q] = eventfd(0, EFD_CLOEXEC);
		assert_return_code(rig.call[q], errno);
	}
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	vh_backend_free(rig->backend);
	for (uint32_t q = 0; q < QUEUES; q++) {
		vh_driver_queue_free(rig->driver[q]);
		close(rig->call[q]);
	}
	munmap(rig->memory, REGIONS * REGION_SIZE);
	close(rig->fd);
	close(rig->image);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_inprocess_by_hand),
	    TEST(test_frontend_inprocess_by_hand_packed),
	    TEST(test_frontend_inprocess_under_changes),
	    TEST(test_frontend_inprocess_under_changes_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
