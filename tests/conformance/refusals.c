/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests that are well-formed and wrong. With REPLY_ACK each gets a
 * negative acknowledgement, changes nothing, and the connection goes on.
 * CVE numbers name the defects of others that a test looks for.
 */
#include "fixture.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

#define PAGE  UINT64_C(4096)
#define FAR_G UINT64_C(0x20000000000)
#define FAR_U UINT64_C(0x500000000000)

/* A queue that is set up but for the message in question. */
static void prepare(struct fixture *f)
{
	open_blk(f, 2);
	must(session_stop_queue(&f->session, 1));
	assert_true(f->session.fe.acks);
}

static void restart(struct fixture *f)
{
	must(session_start_queue(&f->session, 1));
	must_live(f);
}

static void test_conformance_refuses_ring_sizes(void **state)
{
	static const uint32_t sizes[] = {0,	   3,	       32769, 65536,
					 1u << 31, UINT32_MAX, 127};
	struct fixture *f = *state;
	unsigned int i;

	prepare(f);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		must_refuse(fe_set_vring(&f->session.fe, FE_SET_VRING_NUM, 1,
					 sizes[i]));
	/* the good size that was set first still holds */
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 1,
			     f->session.queues[1].kick));
	must_live(f);
}

/* CVE-2020-10723: an index that is cut to 16 or 8 bits seems valid. */
static void test_conformance_refuses_queue_indices(void **state)
{
	static const uint32_t indices[] = {
	    2, 255, 256, 0x10000, 0x10001, 1u << 31, UINT32_MAX};
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	struct fe_vring_addr addr = {.desc = 0};
	unsigned int i;

	prepare(f);
	for (i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		uint32_t index = indices[i];

		addr.index = index;
		must_refuse(fe_set_vring(fe, FE_SET_VRING_NUM, index, 128));
		must_refuse(fe_set_vring(fe, FE_SET_VRING_BASE, index, 0));
		must_refuse(fe_set_vring(fe, FE_SET_VRING_ENABLE, index, 1));
		must_refuse(fe_set_vring_addr(fe, &addr));
	}
	restart(f);
}

static void
test_conformance_refuses_queue_indices_with_descriptors(void **state)
{
	static const uint32_t ids[] = {FE_SET_VRING_KICK, FE_SET_VRING_CALL,
				       FE_SET_VRING_ERR};
	struct fixture *f = *state;
	unsigned int i;

	prepare(f);
	for (i = 0; i < 3; i++) {
		struct frontend *fe = &f->session.fe;
		int fd = f->session.queues[1].kick;

		must_refuse(fe_set_vring_fd(fe, ids[i], 2, fd));
		must_refuse(fe_set_vring_fd(fe, ids[i], 255, fd));
		must_refuse(fe_set_vring_fd(fe, ids[i], 2, -1));
	}
	restart(f);
}

/* A reply of its own is all that GET_VRING_BASE has; so it closes. */
static void test_conformance_closes_for_the_base_of_no_queue(void **state)
{
	static const uint32_t indices[] = {2, 0x10000, UINT32_MAX};
	struct fixture *f = *state;
	unsigned int i;

	open_blk(f, 2);
	for (i = 0; i < 3; i++) {
		uint32_t base;

		assert_int_equal(
		    fe_get_vring_base(&f->session.fe, indices[i], &base),
		    -EPIPE);
		must_serve_another(f);
	}
}

static void good_addr(const struct fixture *f, struct fe_vring_addr *addr)
{
	const struct guest *guest = &f->session.guest;
	const struct driver_ring *ring = f->session.queues[1].ring;

	*addr = (struct fe_vring_addr){
	    .index = 1,
	    .desc = guest_user(guest, driver_ring_descriptors(ring)),
	    .avail = guest_user(guest, driver_ring_avail(ring)),
	    .used = guest_user(guest, driver_ring_used(ring)),
	};
}

static void test_conformance_refuses_misaligned_rings(void **state)
{
	struct fixture *f = *state;
	struct fe_vring_addr addr;
	uint64_t i;

	prepare(f);
	for (i = 1; i < 16; i++) {
		good_addr(f, &addr);
		addr.desc += i;
		must_refuse(fe_set_vring_addr(&f->session.fe, &addr));
	}
	good_addr(f, &addr);
	addr.avail += 1;
	must_refuse(fe_set_vring_addr(&f->session.fe, &addr));
	for (i = 1; i < 4; i++) {
		good_addr(f, &addr);
		addr.used += i;
		must_refuse(fe_set_vring_addr(&f->session.fe, &addr));
	}
	/* a good one was never replaced */
	must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, 1,
			     f->session.queues[1].kick));
	must_live(f);
}

/* Each part of the ring in turn is moved to an address that won't do. */
static void refuse_parts_at(struct fixture *f, uint64_t user)
{
	struct fe_vring_addr addr;

	good_addr(f, &addr);
	addr.desc = user;
	must_refuse(fe_set_vring_addr(&f->session.fe, &addr));
	good_addr(f, &addr);
	addr.avail = user;
	must_refuse(fe_set_vring_addr(&f->session.fe, &addr));
	good_addr(f, &addr);
	addr.used = user;
	must_refuse(fe_set_vring_addr(&f->session.fe, &addr));
}

/* CVE-2018-1059: only the first byte of a ring was translated. */
static void test_conformance_refuses_unmapped_rings(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	prepare(f);
	for (i = 0; i < 2; i++) {
		const struct fe_region *region = &f->session.guest.regions[i];

		refuse_parts_at(f, region->user + region->size);
		refuse_parts_at(f, region->user + region->size - 16);
		refuse_parts_at(f, region->user + region->size - 256);
		refuse_parts_at(f, region->user - 16);
		refuse_parts_at(f, region->guest);
	}
	refuse_parts_at(f, 0);
	refuse_parts_at(f, UINT64_MAX - 15);
	restart(f);
}

/* The last ring that fits does, the next one doesn't. */
static void test_conformance_takes_rings_up_to_the_last_byte(void **state)
{
	struct fixture *f = *state;
	const struct fe_region *region;
	struct fe_vring_addr addr;
	uint64_t end;

	prepare(f);
	region = &f->session.guest.regions[1];
	end = region->user + region->size;
	must(fe_set_vring(&f->session.fe, FE_SET_VRING_NUM, 1, 128));
	good_addr(f, &addr);
	addr.desc = end - 128 * 16;
	must(fe_set_vring_addr(&f->session.fe, &addr));
	addr.desc += 16;
	must_refuse(fe_set_vring_addr(&f->session.fe, &addr));
	good_addr(f, &addr);
	addr.avail = end - (6 + 128 * 2); /* with used_event */
	must(fe_set_vring_addr(&f->session.fe, &addr));
	good_addr(f, &addr);
	addr.used = (end - (6 + 128 * 8)) & ~UINT64_C(3);
	must(fe_set_vring_addr(&f->session.fe, &addr));
	restart(f);
}

static void test_conformance_refuses_features_not_offered(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint64_t offered;
	unsigned int bit, refused = 0;

	start_blk(f, 1);
	new_session(f, NULL);
	connect_session(f);
	must(session_negotiate(&f->session));
	must(fe_get_u64(fe, FE_GET_FEATURES, &offered));
	for (bit = 0; bit < 64; bit++) {
		if (offered & FE_BIT(bit))
			continue;
		must_refuse(fe_set_u64(fe, FE_SET_FEATURES,
				       f->session.features | FE_BIT(bit)));
		refused++;
	}
	assert_true(refused > 0);
	must(session_start(&f->session));
	make_blks(f, 8192);
	must_live(f);
}

static void test_conformance_refuses_protocol_features_not_offered(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint64_t offered;
	unsigned int bit;

	start_blk(f, 1);
	new_session(f, NULL);
	connect_session(f);
	must(session_negotiate(&f->session));
	must(fe_get_u64(fe, FE_GET_PROTOCOL_FEATURES, &offered));
	for (bit = 0; bit < 64; bit++)
		if (!(offered & FE_BIT(bit)))
			must_refuse(fe_set_u64(fe, FE_SET_PROTOCOL_FEATURES,
					       offered | FE_BIT(bit)));
	must(session_start(&f->session));
	make_blks(f, 8192);
	must_live(f);
}

static struct fe_region far_region(const struct fixture *f)
{
	return (struct fe_region){
	    .guest = FAR_G,
	    .user = FAR_U,
	    .size = 16 * PAGE,
	    .offset = 0,
	    .fd = f->session.guest.fd,
	};
}

static void test_conformance_refuses_overlapping_regions(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	struct fe_region region;
	unsigned int i;

	open_blk(f, 1);
	for (i = 0; i < 2; i++) {
		const struct fe_region *there = &f->session.guest.regions[i];

		region = far_region(f);
		region.guest = there->guest + there->size - PAGE;
		must_refuse(fe_add_region(fe, &region));
		region = far_region(f);
		region.guest = there->guest - region.size + 1;
		must_refuse(fe_add_region(fe, &region));
		region = far_region(f);
		region.user = there->user + there->size - 1;
		must_refuse(fe_add_region(fe, &region));
		region = far_region(f);
		region.user = there->user - PAGE;
		must_refuse(fe_add_region(fe, &region));
		must_refuse(fe_add_region(fe, there));
	}
	region = far_region(f);
	must(fe_add_region(fe, &region));
	must_live(f);
}

/* CVE-2026-86561: more than the file has, or arithmetic that wraps. */
static void test_conformance_refuses_regions_beyond_their_file(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	uint64_t file, i;
	uint64_t huge[] = {UINT64_MAX, UINT64_C(1) << 63, UINT64_MAX - PAGE + 1,
			   UINT64_C(1) << 62};
	struct fe_region region;

	open_blk(f, 1);
	file = f->session.guest.file_size;
	region = far_region(f);
	region.size = file + 1;
	must_refuse(fe_add_region(fe, &region));
	region.size = file;
	region.offset = PAGE;
	must_refuse(fe_add_region(fe, &region));
	region.size = 0;
	region.offset = 0;
	must_refuse(fe_add_region(fe, &region));
	for (i = 0; i < 4; i++) {
		region = far_region(f);
		region.size = huge[i];
		must_refuse(fe_add_region(fe, &region));
		region = far_region(f);
		region.offset = huge[i];
		must_refuse(fe_add_region(fe, &region));
		region = far_region(f);
		region.guest = UINT64_MAX - PAGE * 8;
		region.size = PAGE * 16;
		must_refuse(fe_add_region(fe, &region));
		region = far_region(f);
		region.user = UINT64_MAX - PAGE * 8;
		must_refuse(fe_add_region(fe, &region));
	}
	must_live(f);
}

static void test_conformance_refuses_regions_of_no_file(void **state)
{
	struct fixture *f = *state;
	struct fe_region region;
	int fds[2];

	open_blk(f, 1);
	region = far_region(f);
	must(pipe(fds));
	region.fd = fds[0];
	must_refuse(fe_add_region(&f->session.fe, &region));
	close(fds[0]);
	close(fds[1]);
	region.fd = eventfd(0, EFD_CLOEXEC);
	must_refuse(fe_add_region(&f->session.fe, &region));
	close(region.fd);
	must_live(f);
}

/* A table with one bad region among good ones changes nothing. */
static void test_conformance_refuses_whole_tables(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {.not_protocol_features = FE_PF_MEM_SLOTS};
	struct fe_region table[8];
	unsigned int i;

	start_blk(f, 1);
	new_session(f, &opts);
	start_session(f);
	make_blks(f, 8192);
	for (i = 0; i < 8; i++) {
		table[i] = far_region(f);
		table[i].guest += i * 64 * PAGE;
		table[i].user += i * 64 * PAGE;
	}
	table[7].guest = table[0].guest;
	must_refuse(fe_set_mem_table(&f->session.fe, table, 8));
	table[7].guest += 7 * 64 * PAGE;
	table[7].size = UINT64_C(1) << 40;
	must_refuse(fe_set_mem_table(&f->session.fe, table, 8));
	must_live(f);
}

static void test_conformance_has_509_slots(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	struct fe_region region;
	uint64_t slots;
	unsigned int i;

	open_blk(f, 1);
	must(fe_get_u64(fe, FE_GET_MAX_MEM_SLOTS, &slots));
	assert_int_equal(slots, 509);
	region = far_region(f);
	for (i = f->session.guest.count; i < slots; i++) {
		region.guest += region.size;
		region.user += region.size;
		must(fe_add_region(fe, &region));
	}
	region.guest += region.size;
	region.user += region.size;
	must_refuse(fe_add_region(fe, &region));
	must_live(f);
	region.guest -= region.size;
	region.user -= region.size;
	must(fe_remove_region(fe, &region));
	must(fe_add_region(fe, &region));
	for (; i > f->session.guest.count; i--) {
		must(fe_remove_region(fe, &region));
		region.guest -= region.size;
		region.user -= region.size;
	}
	must_live(f);
}

static void test_conformance_refuses_to_remove_unknown_regions(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	struct fe_region region;

	open_blk(f, 1);
	region = f->session.guest.regions[0];
	region.guest += PAGE;
	must_refuse(fe_remove_region(fe, &region));
	region = f->session.guest.regions[0];
	region.user -= PAGE;
	must_refuse(fe_remove_region(fe, &region));
	region = f->session.guest.regions[0];
	region.size -= PAGE;
	must_refuse(fe_remove_region(fe, &region));
	region = far_region(f);
	must_refuse(fe_remove_region(fe, &region));
	must_live(f);
}

/* The offset is ignored; a descriptor may come and is closed. */
static void test_conformance_removes_what_is_known(void **state)
{
	struct fixture *f = *state;
	struct frontend *fe = &f->session.fe;
	struct fe_region region;
	uint8_t bytes[40];

	open_blk(f, 1);
	region = far_region(f);
	must(fe_add_region(fe, &region));
	region.offset = 12345;
	must(fe_remove_region(fe, &region));
	must_refuse(fe_remove_region(fe, &region));
	region.offset = 0;
	must(fe_add_region(fe, &region));
	fe_pack_single_region(bytes, &region);
	must(fe_request(fe, FE_REM_MEM_REG, bytes, sizeof(bytes), &region.fd,
			1));
	must_live(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_refuses_ring_sizes),
	    fixture_test(test_conformance_refuses_queue_indices),
	    fixture_test(
		test_conformance_refuses_queue_indices_with_descriptors),
	    fixture_test(test_conformance_closes_for_the_base_of_no_queue),
	    fixture_test(test_conformance_refuses_misaligned_rings),
	    fixture_test(test_conformance_refuses_unmapped_rings),
	    fixture_test(test_conformance_takes_rings_up_to_the_last_byte),
	    fixture_test(test_conformance_refuses_features_not_offered),
	    fixture_test(
		test_conformance_refuses_protocol_features_not_offered),
	    fixture_test(test_conformance_refuses_overlapping_regions),
	    fixture_test(test_conformance_refuses_regions_beyond_their_file),
	    fixture_test(test_conformance_refuses_regions_of_no_file),
	    fixture_test(test_conformance_refuses_whole_tables),
	    fixture_test(test_conformance_has_509_slots),
	    fixture_test(test_conformance_refuses_to_remove_unknown_regions),
	    fixture_test(test_conformance_removes_what_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
