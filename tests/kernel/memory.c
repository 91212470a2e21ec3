/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Guest memory and the dirty log of a driver of the kernel. */
#include "box.h"

#include <fcntl.h>
#include <sys/mman.h>

static const struct vh_vring_addr good = {
    .descriptors = DESCRIPTORS,
    .available = AVAILABLE,
    .used = USED,
};

static int memfd(size_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void test_kernel_memory_add_remove(void **state)
{
	struct box *box = *state;
	struct vh_region low = box_region(box, false);
	struct vh_region high = box_region(box, true);
	uint64_t host = (uintptr_t)box->ram;
	const uint64_t both[9] = {2,	LOW,	  RAM_SIZE,	   host, 0,
				  HIGH, RAM_SIZE, host + RAM_SIZE, 0};
	const uint64_t one[5] = {1, HIGH, RAM_SIZE, host + RAM_SIZE, 0};
	const uint64_t none = 0;

	OK(vh_backend_set_owner(box->backend));
	OK(vh_backend_set_mem_table(box->backend, &low, 1));
	shim_forget();
	OK(vh_backend_add_region(box->backend, &high));
	shim_expect(N_SET_MEM_TABLE, both, sizeof(both));
	box_fails(box, vh_backend_add_region(box->backend, &high), -EEXIST);
	OK(vh_backend_remove_region(box->backend, &low));
	shim_expect(N_SET_MEM_TABLE, one, sizeof(one));
	box_fails(box, vh_backend_remove_region(box->backend, &low), -ENOENT);
	OK(vh_backend_set_mem_table(box->backend, NULL, 0));
	shim_expect(N_SET_MEM_TABLE, &none, 8);
	shim_expect_nothing();
}

/* The kernel refuses a table: the old one counts. */
static void test_kernel_memory_refused(void **state)
{
	struct box *box = *state;
	struct vh_region low = box_region(box, false);
	struct vh_region high = box_region(box, true);

	box_prepare(box, 0, 0);
	shim_fail(N_SET_MEM_TABLE, EFAULT);
	box_fails(box, vh_backend_remove_region(box->backend, &low), -EFAULT);
	box_fails(box, vh_backend_set_mem_table(box->backend, &high, 1),
		  -EFAULT);
	shim_fail(N_SET_MEM_TABLE, 0);
	OK(vh_backend_set_vring_addr(box->backend, 0, &good));
	OK(vh_backend_remove_region(box->backend, &low));
}

static void test_kernel_memory_file(void **state)
{
	struct box *box = *state;
	int fd = memfd(2 * RAM_SIZE);
	struct vh_region region = {
	    .guest = LOW,
	    .size = RAM_SIZE,
	    /* Somebody else's address: it isn't used. */
	    .user.raw = 0x7000,
	    .fd_offset = RAM_SIZE,
	    .fd = fd,
	};
	uint64_t table[5];
	char *host;

	region.user.raw = 0x70000;
	OK(vh_backend_set_owner(box->backend));
	shim_forget();
	assert_int_equal(pwrite(fd, "guest", 5, (off_t)RAM_SIZE + 0x100), 5);
	OK(vh_backend_add_region(box->backend, &region));
	memcpy(table, shim_expect_any(N_SET_MEM_TABLE), sizeof(table));
	assert_int_equal(table[1], LOW);
	assert_int_equal(table[2], RAM_SIZE);
	assert_int_not_equal(table[3], 0x70000);
	host = (char *)(uintptr_t)table[3];
	assert_memory_equal(host + 0x100, "guest", 5);
	/* It ends behind its file. */
	region.guest = HIGH;
	region.user.raw = 0x170000;
	region.fd_offset = RAM_SIZE + 0x1000;
	box_fails(box, vh_backend_add_region(box->backend, &region), -ERANGE);
	close(fd);
}

static void test_kernel_memory_rules(void **state)
{
	struct box *box = *state;
	struct vh_region bad[9];
	struct vh_region low = box_region(box, false);

	OK(vh_backend_set_owner(box->backend));
	for (size_t i = 0; i < 9; i++)
		bad[i] = box_region(box, true);
	bad[0].guest += 0x800;
	bad[1].size -= 0x10;
	bad[2].user.raw += 1;
	bad[3].size = 0;
	bad[4].guest = UINT64_MAX - 0xfff;
	bad[4].size = 0x2000;
	bad[5].user.raw = UINT64_MAX - 0xfff;
	bad[6].user.raw = 0;
	bad[7].fd = 100000;
	bad[7].fd_offset = 0x10;
	bad[8].size = UINT64_MAX - 0xfff;
	shim_forget();
	for (size_t i = 0; i < 9; i++)
		box_fails(box, vh_backend_add_region(box->backend, &bad[i]),
			  -EINVAL);
	bad[0] = low;
	bad[0].guest = 0xf000;
	bad[1] = low;
	box_fails(box, vh_backend_set_mem_table(box->backend, bad, 2), -EEXIST);
	shim_expect_nothing();
	OK(vh_backend_add_region(box->backend, &low));
}

static void test_kernel_memory_slots(void **state)
{
	struct box *box = *state;
	struct vh_region *regions;
	uint32_t slots;

	OK(vh_backend_set_owner(box->backend));
	OK(vh_backend_get_max_mem_slots(box->backend, &slots));
	regions = calloc(slots + 1, sizeof(*regions));
	for (uint32_t i = 0; i <= slots; i++)
		regions[i] = (struct vh_region){
		    .guest = i * UINT64_C(0x2000),
		    .size = 0x1000,
		    .user.raw = 0x10000000 + i * UINT64_C(0x1000),
		    .fd = -1,
		};
	box_fails(box,
		  vh_backend_set_mem_table(box->backend, regions, slots + 1),
		  -ENOSPC);
	OK(vh_backend_set_mem_table(box->backend, regions, slots));
	box_fails(box, vh_backend_add_region(box->backend, &regions[slots]),
		  -ENOSPC);
	free(regions);
}

struct faults {
	int count;
	struct vh_fault last;
};

static void vring_fault(void *user, const struct vh_fault *fault)
{
	struct faults *faults = user;

	faults->count++;
	faults->last = *fault;
}

/* The memory under a running ring goes: it stops, and its owner hears of it. */
static void test_kernel_memory_under_a_ring(void **state)
{
	struct box *box = *state;
	struct vh_region low = box_region(box, false);
	struct faults faults = {0};
	VH_OPTS(vh_backend_events, events);

	events.vring_fault = vring_fault;
	OK(vh_backend_set_events(box->backend, &events, &faults));
	box_start(box, 0, 1);
	OK(vh_backend_remove_region(box->backend, &low));
	shim_expect_any(N_SET_MEM_TABLE);
	shim_expect_2(N_NET_SET_BACKEND, 0, UINT32_MAX);
	shim_expect_nothing();
	assert_int_equal(faults.count, 1);
	assert_int_equal(faults.last.code, VH_FAULT_RING_ADDR);
	assert_int_equal(faults.last.queue, 0);
	assert_int_equal(vh_backend_fault(box->backend)->code, VH_FAULT_NONE);
}

/* It moves to another address of this process: the ring goes along. */
static void test_kernel_memory_moves(void **state)
{
	struct box *box = *state;
	struct vh_region low = box_region(box, false);
	uint64_t host = (uintptr_t)box->ram + RAM_SIZE;
	const uint64_t places[5] = {0, host + DESCRIPTORS, host + USED,
				    host + AVAILABLE, 0};

	box_start(box, 0, 1);
	low.user.raw = host;
	OK(vh_backend_set_mem_table(box->backend, &low, 1));
	shim_expect_any(N_SET_MEM_TABLE);
	shim_expect(N_SET_VRING_ADDR, places, sizeof(places));
	shim_expect_nothing();
}

static void test_kernel_memory_log(void **state)
{
	struct box *box = *state;
	struct vh_log_area area = {.size = 2, .offset = 5};
	struct vh_region high = box_region(box, true);
	struct vh_vring_addr addr = good;
	int fd = memfd(4096);
	uint64_t at;

	box_prepare(box, 0, 0);
	box_fails(box, vh_backend_set_features(box->backend, VH_F_LOG_ALL),
		  -EINVAL);
	addr.flags = VH_VRING_F_LOG;
	box_fails(box, vh_backend_set_vring_addr(box->backend, 0, &addr),
		  -EFAULT);
	shim_forget();
	/* 16 pages of memory are two bytes. One is too little. */
	area.size = 1;
	box_fails(box, vh_backend_set_log_base(box->backend, &area, fd),
		  -EINVAL);
	shim_expect_nothing();
	area.size = 2;
	OK(vh_backend_set_log_base(box->backend, &area, fd));
	memcpy(&at, shim_expect_any(N_SET_LOG_BASE), sizeof(at));
	*(char *)(uintptr_t)at = 'x';
	assert_int_equal(pread(fd, &area, 1, 5), 1);
	assert_int_equal(*(char *)&area, 'x');
	OK(vh_backend_set_features(box->backend, VH_F_LOG_ALL));
	shim_forget();
	/* No room for the marks of more memory, or of a ring behind it. */
	box_fails(box, vh_backend_add_region(box->backend, &high), -EINVAL);
	addr.log = 0x10000;
	box_fails(box, vh_backend_set_vring_addr(box->backend, 0, &addr),
		  -EFAULT);
	shim_expect_nothing();
	addr.log = USED;
	OK(vh_backend_set_vring_addr(box->backend, 0, &addr));
	memcpy(&at, (const char *)shim_expect_any(N_SET_VRING_ADDR) + 32, 8);
	assert_int_equal(at, USED);
	box_fails(box, vh_backend_set_log_base(box->backend, &area, -1),
		  -EBUSY);
	OK(vh_backend_set_features(box->backend, 0));
	shim_forget();
	OK(vh_backend_set_log_base(box->backend, &area, -1));
	shim_expect_u64(N_SET_LOG_BASE, 0);
	OK(vh_backend_set_log_fd(box->backend, box->kick[0]));
	shim_expect_u32(N_SET_LOG_FD, (uint32_t)box->kick[0]);
	OK(vh_backend_set_log_fd(box->backend, -1));
	shim_expect_u32(N_SET_LOG_FD, UINT32_MAX);
	shim_expect_nothing();
	close(fd);
}

/* A used ring's marks have room, whatever changes after its address. */
static void test_kernel_memory_log_of_a_ring(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	struct vh_log_area area = {.size = 4};
	struct vh_vring_addr addr = good;
	int fd = memfd(4096);
	uint64_t at;

	box_prepare(box, 0, 0);
	addr.log = 3; /* of no use: nothing is logged */
	OK(vh_backend_set_vring_addr(b, 0, &addr));
	memcpy(&at, (const char *)shim_expect_any(N_SET_VRING_ADDR) + 32, 8);
	assert_int_equal(at, 0);
	OK(vh_backend_set_log_base(b, &area, fd));
	addr.flags = VH_VRING_F_LOG;
	addr.log = 0x1f000;
	OK(vh_backend_set_vring_addr(b, 0, &addr));
	shim_forget();
	/* A log that is long enough for memory, and not for the ring. */
	area.size = 2;
	box_fails(box, vh_backend_set_log_base(b, &area, fd), -EFAULT);
	assert_int_equal(vh_backend_fault(b)->queue, 0);
	shim_expect_nothing();
	/* A ring of 64 ends where the log does; it is one of 256 then. */
	OK(vh_backend_set_vring_num(b, 0, 64));
	addr.log = 0x20000 - 520;
	OK(vh_backend_set_vring_addr(b, 0, &addr));
	OK(vh_backend_set_vring_num(b, 0, 256));
	OK(vh_backend_set_vring_enable(b, 0, true));
	shim_forget();
	box_fails(box, vh_backend_set_vring_kick(b, 0, box->kick[0]), -EFAULT);
	assert_int_equal(shim_count(N_NET_SET_BACKEND), 0);
	OK(vh_backend_set_vring_num(b, 0, 64));
	OK(vh_backend_set_vring_kick(b, 0, box->kick[0]));
	close(fd);
}

/* Some rings may have the new log already, which isn't there any more. */
static void test_kernel_memory_log_refused(void **state)
{
	struct box *box = *state;
	struct vh_backend *b = box->backend;
	const struct vh_log_area area = {.size = 4};
	int fd = memfd(4096);
	uint64_t at[3];

	box_prepare(box, 0, 0);
	OK(vh_backend_set_log_base(b, &area, fd));
	memcpy(&at[0], shim_expect_any(N_SET_LOG_BASE), 8);
	shim_fail(N_SET_LOG_BASE, EFAULT);
	box_fails(box, vh_backend_set_log_base(b, &area, fd), -EFAULT);
	memcpy(&at[1], shim_expect_any(N_SET_LOG_BASE), 8);
	memcpy(&at[2], shim_expect_any(N_SET_LOG_BASE), 8);
	assert_int_not_equal(at[0], at[1]);
	assert_int_equal(at[0], at[2]);
	shim_expect_nothing();
	close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, box_net, box_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_kernel_memory_add_remove),
	    CASE(test_kernel_memory_refused),
	    CASE(test_kernel_memory_file),
	    CASE(test_kernel_memory_rules),
	    CASE(test_kernel_memory_slots),
	    CASE(test_kernel_memory_under_a_ring),
	    CASE(test_kernel_memory_moves),
	    CASE(test_kernel_memory_log),
	    CASE(test_kernel_memory_log_of_a_ring),
	    CASE(test_kernel_memory_log_refused),
	};

	return cmocka_run_group_tests_name("kernel-memory", tests, NULL, NULL);
}
