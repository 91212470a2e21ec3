/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Guest memory that changes while rings run. */
#include "fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE	    UINT64_C(4096)
#define EXTRA_GUEST UINT64_C(0x900000000)
#define EXTRA_USER  UINT64_C(0x510000000000)
#define MOMENT_MS   30

/* Region number index of a file of its own; they are adjacent. */
static struct fe_region extra(int fd, unsigned int index)
{
	return (struct fe_region){
	    .guest = EXTRA_GUEST + index * 4 * PAGE,
	    .size = 4 * PAGE,
	    .user = EXTRA_USER + index * 8 * PAGE,
	    .offset = PAGE,
	    .fd = fd,
	};
}

static int make_file(uint64_t size)
{
	int fd = memfd_create("extra", MFD_CLOEXEC);

	assert_true(fd >= 0);
	must(ftruncate(fd, (off_t)size));
	return fd;
}

struct reader {
	struct fixture *f;
	bool stop; /* atomic */
	unsigned int requests;
	int error;
};

/* Keeps queue 0 busy, with four requests in flight. */
static void *read_on(void *user)
{
	struct reader *reader = user;
	struct blk *blk = &reader->f->blk[0];
	unsigned int slot;
	int ret = 0;

	for (slot = 0; ret == 0 && slot < 4; slot++)
		ret = blk_submit(blk, slot, BLK_IN, slot, 512);
	while (ret == 0 && !__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE)) {
		ret = blk_wait(blk, &slot);
		reader->requests++;
		if (ret == 0)
			ret = blk_submit(blk, slot, BLK_IN, slot, 512);
	}
	for (slot = 0; ret == 0 && slot < 4;)
		if (blk_wait(blk, &(unsigned int){0}) == 0)
			slot++;
		else
			ret = -EIO;
	reader->error = ret;
	return NULL;
}

static void start_reader(struct reader *reader, struct fixture *f,
			 pthread_t *thread)
{
	*reader = (struct reader){.f = f};
	must(pthread_create(thread, NULL, read_on, reader));
}

static void stop_reader(struct reader *reader, pthread_t thread)
{
	__atomic_store_n(&reader->stop, true, __ATOMIC_RELEASE);
	must(pthread_join(thread, NULL));
	must(reader->error);
	assert_true(reader->requests > 0);
}

static void test_conformance_memory_regions_come_and_go_under_io(void **state)
{
	struct fixture *f = *state;
	struct reader reader;
	pthread_t thread;
	int fd = make_file(8 * PAGE);
	unsigned int i, round;

	open_blk(f, 1);
	start_reader(&reader, f, &thread);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 50; i++) {
			struct fe_region region = extra(fd, i);

			must(fe_add_region(&f->session.fe, &region));
		}
		for (i = 0; i < 50; i++) {
			struct fe_region region = extra(fd, i * 7 % 50);

			must(fe_remove_region(&f->session.fe, &region));
		}
	}
	stop_reader(&reader, thread);
	must_live(f);
	close(fd);
}

static void test_conformance_memory_table_is_replaced_under_io(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {.not_protocol_features = FE_PF_MEM_SLOTS};
	struct fe_region table[8];
	struct reader reader;
	pthread_t thread;
	int fd = make_file(8 * PAGE);
	unsigned int i;

	start_blk(f, 1);
	new_session(f, &opts);
	start_session(f);
	make_blks(f, 8192);
	start_reader(&reader, f, &thread);
	for (i = 0; i < 300; i++) {
		unsigned int more = i % 7, j;

		memcpy(table, f->session.guest.regions, 2 * sizeof(*table));
		for (j = 0; j < more; j++)
			table[2 + j] = extra(fd, j + i % 3);
		must(fe_set_mem_table(&f->session.fe, table,
				      more < 7 ? 2 + more : 8));
	}
	stop_reader(&reader, thread);
	must_live(f);
	close(fd);
}

/* The other way round: requests whose buffers are in a region to be removed */
static void hold_one(struct fixture *f, const struct fe_region *region, int fd)
{
	struct driver_buffer buffers[2] = {
	    {.gpa = region->guest, .length = 600},
	    {.gpa = region->guest + 1024, .length = 600, .write = true},
	};
	uint8_t bytes[600];

	blk_pattern(bytes, sizeof(bytes), 5);
	assert_int_equal(pwrite(fd, bytes, 600, (off_t)region->offset), 600);
	echo_hold(f->server.echo);
	assert_true(session_submit(&f->session, 0, buffers, 2, false) >= 0);
	must(echo_wait_held(f->server.echo, 1));
}

static void must_be_echoed(struct fixture *f, const struct fe_region *region,
			   int fd)
{
	uint8_t from[600], to[600];
	struct driver_used used;

	must(session_wait(&f->session, 0, &used));
	assert_int_equal(used.length, 600);
	assert_int_equal(pread(fd, from, 600, (off_t)region->offset), 600);
	assert_int_equal(pread(fd, to, 600, (off_t)region->offset + 1024), 600);
	assert_memory_equal(from, to, 600);
}

static void test_conformance_memory_removal_waits_for_requests(void **state)
{
	struct fixture *f = *state;
	struct fe_message message = {.id = FE_REM_MEM_REG,
				     .flags = FE_VERSION | FE_NEED_REPLY};
	int fd = make_file(8 * PAGE);
	struct fe_region region = extra(fd, 0);
	unsigned int mapped;
	struct fe_reply reply;
	uint8_t bytes[40];

	open_echo(f, 2);
	mapped = resources_now().memfds;
	must(fe_add_region(&f->session.fe, &region));
	hold_one(f, &region, fd);
	message.size = (uint32_t)fe_pack_single_region(bytes, &region);
	message.payload = bytes;
	message.length = message.size;
	must(fe_send(&f->session.fe, &message));
	assert_int_equal(fe_wait_readable(f->session.fe.sock, MOMENT_MS),
			 -ETIMEDOUT);
	echo_release(f->server.echo);
	must(fe_receive_for(&f->session.fe, FE_REM_MEM_REG, &reply));
	assert_int_equal(get64(reply.payload), 0);
	/* acknowledged means unmapped */
	assert_int_equal(resources_now().memfds, mapped);
	must_be_echoed(f, &region, fd);
	must_live(f);
	close(fd);
}

/* A new table doesn't take memory away from requests, either. */
static void test_conformance_memory_table_spares_requests(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {.not_protocol_features = FE_PF_MEM_SLOTS};
	struct fe_message message = {.id = FE_SET_MEM_TABLE,
				     .flags = FE_VERSION | FE_NEED_REPLY};
	uint8_t bytes[8 + 2 * 32];
	struct fe_region table[3];
	struct fe_reply reply;
	int fds[2], fd = make_file(8 * PAGE);

	start_echo(f, 1);
	new_session(f, &opts);
	start_session(f);
	memcpy(table, f->session.guest.regions, 2 * sizeof(*table));
	table[2] = extra(fd, 0);
	must(fe_set_mem_table(&f->session.fe, table, 3));
	hold_one(f, &table[2], fd);
	put64(bytes, 0, 2);
	fe_pack_region(bytes + 8, &table[0]);
	fe_pack_region(bytes + 40, &table[1]);
	fds[0] = table[0].fd;
	fds[1] = table[1].fd;
	message.payload = bytes;
	message.size = sizeof(bytes);
	message.length = sizeof(bytes);
	message.fds = fds;
	message.num_fds = 2;
	must(fe_send(&f->session.fe, &message));
	/* it may wait or not; the request is done either way */
	usleep(MOMENT_MS * 1000);
	echo_release(f->server.echo);
	must(fe_receive_for(&f->session.fe, FE_SET_MEM_TABLE, &reply));
	assert_int_equal(get64(reply.payload), 0);
	must_be_echoed(f, &table[2], fd);
	must_live(f);
	close(fd);
}

static void test_conformance_memory_of_a_ring_is_removed(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	const struct fe_region *region = &f->session.guest.regions[0];
	unsigned int i;

	open_echo(f, 1);
	for (i = 0; i < 5; i++) {
		must(fe_remove_region(fe, region));
		must(session_wait_err(&f->session, 0));
		must(fe_sync(fe));
		must(fe_add_region(fe, region));
		must(session_stop_queue(&f->session, 0));
		f->session.queues[0].base = 0;
		must(session_make_ring(&f->session, 0));
		must(session_start_queue(&f->session, 0));
		must_live(f);
	}
}

/* Same addresses, another file: what was mapped there won't do. */
static void test_conformance_memory_moves_to_another_file(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {.not_protocol_features = FE_PF_MEM_SLOTS,
				    .polled = true};
	struct guest *guest = &f->session.guest;
	unsigned int i, j;

	start_echo(f, 1);
	new_session(f, &opts);
	start_session(f);
	for (i = 0; i < 5; i++) {
		int fd = make_file(guest->file_size);

		must_live(f);
		must(session_stop_queue(&f->session, 0));
		assert_int_equal(pwrite(fd, guest->map, guest->file_size, 0),
				 guest->file_size);
		close(guest->fd);
		guest->fd = fd;
		assert_true(mmap(guest->map, guest->file_size,
				 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				 fd, 0) == guest->map);
		for (j = 0; j < guest->count; j++)
			guest->regions[j].fd = fd;
		must(session_share_memory(&f->session));
		must(session_start_queue(&f->session, 0));
	}
	must_live(f);
}

/* Neither size nor offset need be multiples of anything. */
static void test_conformance_memory_of_odd_sizes(void **state)
{
	static const uint64_t sizes[] = {2048, 2049, 4095, 4097, 10001};
	static const uint64_t offsets[] = {0, 1, 511, 4095, 4097, 12289};
	struct fixture *f = *state;
	int fd = make_file(64 * PAGE);
	unsigned int i;

	open_echo(f, 1);
	for (i = 0; i < 5 * 6; i++) {
		struct fe_region region = extra(fd, 0);

		region.size = sizes[i % 5];
		region.offset = offsets[i / 5];
		must(fe_add_region(&f->session.fe, &region));
		hold_one(f, &region, fd);
		echo_release(f->server.echo);
		must_be_echoed(f, &region, fd);
		must(fe_remove_region(&f->session.fe, &region));
	}
	must_live(f);
	close(fd);
}

/* One buffer over a hundred regions that lie side by side in the guest. */
static void test_conformance_memory_of_many_regions(void **state)
{
	enum { REGIONS = 100, LENGTH = 400 };
	struct fixture *f = *state;
	int fds[REGIONS];
	struct driver_buffer buffers[2] = {{.length = REGIONS / 2 * LENGTH},
					   {.length = REGIONS / 2 * LENGTH}};
	struct driver_used used;
	uint8_t from[LENGTH], to[LENGTH];
	unsigned int i;

	open_echo(f, 1);
	for (i = 0; i < REGIONS; i++) {
		struct fe_region region = extra(0, 0);

		fds[i] = make_file(PAGE);
		region.fd = fds[i];
		region.guest += (uint64_t)i * LENGTH;
		region.user += i * PAGE;
		region.size = LENGTH;
		region.offset = i;
		must(fe_add_region(&f->session.fe, &region));
		blk_pattern(from, LENGTH, i);
		if (i < REGIONS / 2)
			assert_int_equal(pwrite(fds[i], from, LENGTH, i),
					 LENGTH);
	}
	buffers[0].gpa = EXTRA_GUEST;
	buffers[1].gpa = EXTRA_GUEST + REGIONS / 2 * LENGTH;
	buffers[1].write = true;
	assert_true(session_submit(&f->session, 0, buffers, 2, false) >= 0);
	must(session_wait(&f->session, 0, &used));
	assert_int_equal(used.length, REGIONS / 2 * LENGTH);
	for (i = 0; i < REGIONS / 2; i++) {
		blk_pattern(from, LENGTH, i);
		assert_int_equal(
		    pread(fds[i + REGIONS / 2], to, LENGTH, i + REGIONS / 2),
		    LENGTH);
		assert_memory_equal(from, to, LENGTH);
	}
	for (i = 0; i < REGIONS; i++)
		close(fds[i]);
	must_live(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_memory_regions_come_and_go_under_io),
	    fixture_test(test_conformance_memory_table_is_replaced_under_io),
	    fixture_test(test_conformance_memory_removal_waits_for_requests),
	    fixture_test(test_conformance_memory_table_spares_requests),
	    fixture_test(test_conformance_memory_of_a_ring_is_removed),
	    fixture_test(test_conformance_memory_moves_to_another_file),
	    fixture_test(test_conformance_memory_of_odd_sizes),
	    fixture_test(test_conformance_memory_of_many_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
