/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What goes out and what doesn't: negotiation, addresses, memory by slots and
 * by tables, and calls that are wrong before anything is sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "scripted.h"

#include <bytes.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#define PAGEFAULT  FE_BIT(8)
#define INBAND	   FE_BIT(14)
#define SKIP_DRAIN FE_BIT(23)
#define DRAIN_BITS (FE_BIT(20) | SKIP_DRAIN)
#define XEN	   FE_BIT(17)
#define GPA	   FE_BIT(21)

static void open_script(struct script *script, uint64_t protocol_features,
			struct vh_backend **ret)
{
	struct vh_fault fault;

	script_init(script);
	script->protocol_features = protocol_features;
	assert_int_equal(script_connect(script, NULL, &fault, ret), 0);
}

static void close_script(struct script *script, struct vh_backend *b)
{
	vh_backend_free(b);
	script_end(script);
}

#define REFUSES(b, call, error, fault_code)                                    \
	do {                                                                   \
		assert_int_equal(call, error);                                 \
		assert_int_equal(vh_backend_fault(b)->code, fault_code);       \
		assert_true(vh_backend_fault(b)->text[0]);                     \
	} while (0)

static uint64_t agreed(uint64_t offered, uint64_t mask)
{
	VH_OPTS(vh_user_connect_opts, opts);
	VH_OPTS(vh_user_client_info, info);
	struct script script;
	struct vh_backend *b;
	uint64_t sent;

	script_init(&script);
	script.protocol_features = offered;
	opts.protocol_features = mask;
	assert_int_equal(script_connect(&script, &opts, NULL, &b), 0);
	assert_int_equal(vh_backend_get_features(b, &sent), 0);
	sent =
	    get64(script_last(&script, FE_GET_PROTOCOL_FEATURES + 1)->payload);
	assert_int_equal(vh_user_client_get_info(b, &info), 0);
	assert_int_equal(info.protocol_features, sent);
	close_script(&script, b);
	return sent;
}

static void test_user_client_rules_of_negotiation(void **state)
{
	(void)state;
	assert_int_equal(agreed(UINT64_MAX, 0) & (XEN | GPA | PAGEFAULT), 0);
	/* One that must be named, and needs two others. */
	assert_int_equal(agreed(UINT64_MAX, 0) & INBAND, 0);
	assert_int_equal(agreed(UINT64_MAX, UINT64_MAX) & INBAND, INBAND);
	assert_int_equal(agreed(~FE_PF_REPLY_ACK, UINT64_MAX) & INBAND, 0);
	/* One alone would allow stops that lose requests. */
	assert_int_equal(agreed(UINT64_MAX, 0) & DRAIN_BITS, DRAIN_BITS);
	assert_int_equal(agreed(~SKIP_DRAIN, 0) & DRAIN_BITS, 0);
	assert_int_equal(agreed(~FE_PF_INFLIGHT, 0) & DRAIN_BITS, 0);
	/* Postcopy and slots exclude each other. */
	assert_int_equal(agreed(~FE_PF_MEM_SLOTS, 0) & PAGEFAULT, PAGEFAULT);
	assert_int_equal(agreed(UINT64_MAX, FE_PF_MQ | FE_PF_STATUS),
			 FE_PF_MQ | FE_PF_STATUS);
	assert_int_equal(agreed(0, 0), 0);
}

/* QEMU's order. */
static void test_user_client_rules_of_first_steps(void **state)
{
	static const uint32_t order[] = {FE_GET_FEATURES,
					 FE_GET_PROTOCOL_FEATURES,
					 FE_GET_PROTOCOL_FEATURES + 1,
					 FE_GET_QUEUE_NUM,
					 FE_GET_MAX_MEM_SLOTS,
					 FE_SET_BACKEND_REQ_FD,
					 FE_SET_OWNER};
	struct script script;
	struct vh_backend *b;

	(void)state;
	open_script(&script, 0x1ffff, &b);
	assert_int_equal(vh_backend_set_owner(b), 0);
	assert_int_equal(vh_backend_set_owner(b), 0);
	assert_int_equal(script.count, 7);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(script.log[i].id, order[i]);
	/* Asked for from the moment on in which it is known. */
	assert_int_equal(script.log[2].flags, FE_VERSION);
	assert_int_equal(script.log[5].flags, FE_VERSION | FE_NEED_REPLY);
	assert_int_equal(script.log[5].fds, 1);
	close_script(&script, b);
}

/* A back-end of the first days knows nothing of enabling, or of answers. */
static void test_user_client_rules_without_protocol_features(void **state)
{
	const struct vh_region region = memory_region(memory_file(), 0);
	struct script script;
	struct vh_backend *b;
	uint32_t number;

	(void)state;
	script_init(&script);
	script.features = FE_F_VERSION_1;
	assert_int_equal(script_connect(&script, NULL, NULL, &b), 0);
	assert_int_equal(script.count, 1);
	assert_int_equal(vh_backend_set_features(b, VH_F_VERSION_1), 0);
	assert_int_equal(get64(script_last(&script, FE_SET_FEATURES)->payload),
			 VH_F_VERSION_1);
	assert_int_equal(vh_backend_set_vring_enable(b, 0, true), 0);
	assert_null(script_last(&script, FE_SET_VRING_ENABLE));
	assert_int_equal(vh_backend_set_mem_table(b, &region, 1), 0);
	/* That it was done shows by the answer to what came behind. */
	assert_int_equal(script.log[script.count - 1].id, FE_GET_FEATURES);
	assert_int_equal(vh_backend_get_max_mem_slots(b, &number), 0);
	assert_int_equal(number, 8);
	assert_int_equal(vh_backend_get_queue_num(b, &number), 0);
	assert_int_equal(number, 1);
	REFUSES(b, vh_backend_reset_device(b), -EOPNOTSUPP,
		VH_FAULT_UNSUPPORTED);
	REFUSES(b, vh_backend_set_status(b, 1), -EOPNOTSUPP,
		VH_FAULT_UNSUPPORTED);
	close_script(&script, b);
	close(region.fd);
}

/* Guest addresses here, front-end addresses there. */
static void test_user_client_rules_of_ring_addresses(void **state)
{
	const uint64_t middle = REGION_GUEST + REGION_SIZE;
	const struct vh_vring_addr good = {REGION_GUEST + 0x1000,
					   middle + 0x2000, middle + 0x3000,
					   middle + 0x3000, VH_VRING_F_LOG};
	struct vh_vring_addr bad = good;
	struct vh_region regions[2];
	const uint8_t *sent;
	struct script script;
	struct vh_backend *b;
	int fd = memory_file();

	(void)state;
	open_script(&script, 0x1ffff, &b);
	assert_int_equal(vh_backend_set_features(b, VH_F_VERSION_1), 0);
	assert_int_equal(vh_backend_set_vring_num(b, 2, 256), 0);
	REFUSES(b, vh_backend_set_vring_addr(b, 2, &good), -EFAULT,
		VH_FAULT_RING_ADDR);
	regions[0] = memory_region(fd, 0);
	regions[1] = memory_region(fd, 1);
	assert_int_equal(vh_backend_set_mem_table(b, regions, 2), 0);
	/* The last byte of a part decides. */
	bad.descriptors = middle - 16 * 256 + 16;
	REFUSES(b, vh_backend_set_vring_addr(b, 2, &bad), -EFAULT,
		VH_FAULT_RING_ADDR);
	assert_int_equal(vh_backend_fault(b)->queue, 2);
	bad.descriptors = REGION_GUEST + 8;
	REFUSES(b, vh_backend_set_vring_addr(b, 2, &bad), -EFAULT,
		VH_FAULT_RING_ADDR);
	assert_null(script_last(&script, FE_SET_VRING_ADDR));
	assert_int_equal(vh_backend_set_vring_addr(b, 2, &good), 0);
	sent = script_last(&script, FE_SET_VRING_ADDR)->payload;
	assert_int_equal(get32(sent), 2);
	assert_int_equal(get32(sent + 4), 1);
	assert_int_equal(get64(sent + 8), REGION_USER + 0x1000);
	assert_int_equal(get64(sent + 16),
			 REGION_USER + 2 * REGION_SIZE + 0x3000);
	assert_int_equal(get64(sent + 24),
			 REGION_USER + 2 * REGION_SIZE + 0x2000);
	/* where the log has its bits, which is in guest addresses */
	assert_int_equal(get64(sent + 32), middle + 0x3000);
	close_script(&script, b);
	close(fd);
}

static void test_user_client_rules_of_iovas(void **state)
{
	const struct vh_vring_addr addr = {0x10, 0x20, 0x30, 0, 0};
	struct vh_iotlb_entry entry = {
	    .iova = 0x5000,
	    .size = REGION_SIZE,
	    .guest = REGION_GUEST + REGION_SIZE / 2,
	    .access = VH_ACCESS_WRITE,
	};
	struct vh_region regions[2];
	const uint8_t *sent;
	struct script script;
	struct vh_backend *b;
	int fd = memory_file();

	(void)state;
	open_script(&script, 0x1ffff, &b);
	REFUSES(b, vh_backend_iotlb_invalidate(b, 0, 1), -EOPNOTSUPP,
		VH_FAULT_UNSUPPORTED);
	assert_int_equal(vh_backend_set_features(b, VH_F_ACCESS_PLATFORM), 0);
	assert_int_equal(vh_backend_set_vring_addr(b, 0, &addr), 0);
	sent = script_last(&script, FE_SET_VRING_ADDR)->payload;
	assert_int_equal(get64(sent + 8), 0x10);
	REFUSES(b, vh_backend_iotlb_update(b, &entry), -EFAULT,
		VH_FAULT_MEM_IOTLB);
	regions[0] = memory_region(fd, 0);
	regions[1] = memory_region(fd, 1);
	assert_int_equal(vh_backend_set_mem_table(b, regions, 2), 0);
	/* Over two regions, which are no neighbours for the back-end. */
	assert_int_equal(vh_backend_iotlb_update(b, &entry), 0);
	assert_int_equal(script_times(&script, FE_IOTLB_MSG), 2);
	sent = script_last(&script, FE_IOTLB_MSG)->payload;
	assert_int_equal(get64(sent), 0x5000 + REGION_SIZE / 2);
	assert_int_equal(get64(sent + 8), REGION_SIZE / 2);
	assert_int_equal(get64(sent + 16), REGION_USER + 2 * REGION_SIZE);
	assert_int_equal(sent[24], 2);
	assert_int_equal(sent[25], FE_IOTLB_UPDATE);
	entry.access = 0;
	REFUSES(b, vh_backend_iotlb_update(b, &entry), -EINVAL,
		VH_FAULT_MEM_IOTLB);
	REFUSES(b, vh_backend_iotlb_invalidate(b, 0, 0), -EINVAL,
		VH_FAULT_MEM_IOTLB);
	assert_int_equal(script_times(&script, FE_IOTLB_MSG), 2);
	close_script(&script, b);
	close(fd);
}

/*
 * A part of an entry is refused: the one before it goes, too. And a range
 * doesn't wrap on the wire.
 */
static void test_user_client_rules_of_iovas_half_way(void **state)
{
	const struct vh_iotlb_entry entry = {
	    .iova = 0x5000,
	    .size = REGION_SIZE,
	    .guest = REGION_GUEST + REGION_SIZE / 2,
	    .access = VH_ACCESS_WRITE,
	};
	struct vh_region regions[2];
	const uint8_t *sent;
	struct script script;
	struct vh_backend *b;
	int fd = memory_file();

	(void)state;
	script_init(&script);
	script.id = FE_IOTLB_MSG;
	script.how = SCRIPT_REFUSE;
	script.after = 1;
	script.once = true;
	assert_int_equal(script_connect(&script, NULL, NULL, &b), 0);
	assert_int_equal(vh_backend_set_features(b, VH_F_ACCESS_PLATFORM), 0);
	regions[0] = memory_region(fd, 0);
	regions[1] = memory_region(fd, 1);
	assert_int_equal(vh_backend_set_mem_table(b, regions, 2), 0);
	REFUSES(b, vh_backend_iotlb_update(b, &entry), -EBUSY,
		VH_FAULT_MSG_REFUSED);
	assert_int_equal(script_times(&script, FE_IOTLB_MSG), 3);
	sent = script_last(&script, FE_IOTLB_MSG)->payload;
	assert_int_equal(get64(sent), 0x5000);
	assert_int_equal(get64(sent + 8), REGION_SIZE / 2);
	assert_int_equal(sent[25], FE_IOTLB_INVALIDATE);
	assert_int_equal(
	    vh_backend_iotlb_invalidate(b, UINT64_MAX - 0xfff, 0x2000), 0);
	sent = script_last(&script, FE_IOTLB_MSG)->payload;
	assert_int_equal(get64(sent), UINT64_MAX - 0xfff);
	assert_int_equal(get64(sent + 8), 0x1000);
	/* Neither this nor that: nobody knows what it has, so it is left. */
	script.after = script_times(&script, FE_IOTLB_MSG) + 1;
	script.once = false;
	REFUSES(b, vh_backend_iotlb_update(b, &entry), -EBUSY,
		VH_FAULT_MSG_REFUSED);
	assert_int_equal(vh_backend_iotlb_update(b, &entry), -ENODEV);
	close_script(&script, b);
	close(fd);
}

/* Slots: one message for one region. No slots: the whole table again. */
static void change_memory(bool slots)
{
	const uint64_t bits = 0x1ffff & ~(slots ? 0 : FE_PF_MEM_SLOTS);
	struct vh_region region;
	struct script script;
	struct vh_backend *b;
	int fd = memory_file();

	open_script(&script, bits, &b);
	for (unsigned int i = 0; i < 8; i++) {
		region = memory_region(fd, i);
		assert_int_equal(vh_backend_add_region(b, &region), 0);
	}
	region = memory_region(fd, 8);
	if (slots)
		assert_int_equal(vh_backend_add_region(b, &region), 0);
	else
		REFUSES(b, vh_backend_add_region(b, &region), -ENOSPC,
			VH_FAULT_MEM_SLOTS);
	region = memory_region(fd, 3);
	REFUSES(b, vh_backend_add_region(b, &region), slots ? -EEXIST : -ENOSPC,
		slots ? VH_FAULT_MEM_OVERLAP : VH_FAULT_MEM_SLOTS);
	assert_int_equal(vh_backend_remove_region(b, &region), 0);
	REFUSES(b, vh_backend_remove_region(b, &region), -ENOENT,
		VH_FAULT_MEM_UNKNOWN);
	assert_int_equal(script_times(&script, FE_ADD_MEM_REG), slots ? 9 : 0);
	assert_int_equal(script_times(&script, FE_REM_MEM_REG), slots);
	assert_int_equal(script_times(&script, FE_SET_MEM_TABLE),
			 slots ? 0 : 9);
	if (slots) {
		assert_int_equal(script_last(&script, FE_ADD_MEM_REG)->fds, 1);
		assert_int_equal(script_last(&script, FE_REM_MEM_REG)->fds, 0);
	} else {
		const struct script_entry *table =
		    script_last(&script, FE_SET_MEM_TABLE);

		assert_int_equal(get32(table->payload), 7);
		assert_int_equal(table->fds, 7);
		assert_int_equal(get64(table->payload + 8), REGION_GUEST);
		assert_int_equal(get64(table->payload + 24), REGION_USER);
		assert_int_equal(get64(table->payload + 32), 15 * REGION_SIZE);
	}
	close_script(&script, b);
	close(fd);
}

static void test_user_client_rules_of_slots(void **state)
{
	(void)state;
	change_memory(true);
}

static void test_user_client_rules_of_tables(void **state)
{
	(void)state;
	change_memory(false);
}

/* More than a table holds goes by slots, and only what is new. */
static void test_user_client_rules_of_large_tables(void **state)
{
	struct vh_region regions[REGIONS_MAX + 1];
	struct script script;
	struct vh_backend *b;
	int fd = memory_file();

	(void)state;
	for (unsigned int i = 0; i <= REGIONS_MAX; i++)
		regions[i] = memory_region(fd, i % REGIONS_MAX);
	open_script(&script, 0x1ffff, &b);
	assert_int_equal(vh_backend_set_mem_table(b, regions, 8), 0);
	assert_int_equal(script_times(&script, FE_SET_MEM_TABLE), 1);
	assert_int_equal(vh_backend_set_mem_table(b, regions + 2, 12), 0);
	assert_int_equal(script_times(&script, FE_SET_MEM_TABLE), 1);
	assert_int_equal(script_times(&script, FE_REM_MEM_REG), 2);
	assert_int_equal(script_times(&script, FE_ADD_MEM_REG), 6);
	/* What can't be isn't begun. */
	REFUSES(b, vh_backend_set_mem_table(b, regions, REGIONS_MAX + 1),
		-ENOSPC, VH_FAULT_MEM_SLOTS);
	regions[5] = regions[6];
	REFUSES(b, vh_backend_set_mem_table(b, regions, 10), -EEXIST,
		VH_FAULT_MEM_OVERLAP);
	assert_int_equal(script_times(&script, FE_REM_MEM_REG), 2);
	/* A refusal in the middle is undone. */
	regions[5] = memory_region(fd, 5);
	script.after = script_times(&script, FE_ADD_MEM_REG) + 1;
	script.once = true;
	script_set(&script, FE_ADD_MEM_REG, SCRIPT_REFUSE);
	REFUSES(b, vh_backend_set_mem_table(b, regions, 12), -EBUSY,
		VH_FAULT_MSG_REFUSED);
	script_set(&script, 0, SCRIPT_GOOD);
	assert_int_equal(script_times(&script, FE_REM_MEM_REG), 2 + 2 + 1);
	assert_int_equal(vh_backend_set_mem_table(b, regions, 0), 0);
	close_script(&script, b);
	close(fd);
}

/* Regions that it doesn't give back are its own affair from then on. */
static void test_user_client_rules_of_release(void **state)
{
	struct script script;
	struct vh_backend *b;
	struct vh_region regions[2];
	int fd = memory_file();

	(void)state;
	open_script(&script, 0x1ffff, &b);
	for (unsigned int i = 0; i < 2; i++) {
		regions[i] = memory_region(fd, i);
		assert_int_equal(vh_backend_add_region(b, &regions[i]), 0);
	}
	script_set(&script, FE_REM_MEM_REG, SCRIPT_REFUSE);
	REFUSES(b, vh_backend_release(b), -EBUSY, VH_FAULT_MSG_REFUSED);
	script_set(&script, 0, SCRIPT_GOOD);
	assert_int_equal(vh_backend_add_region(b, &regions[1]), 0);
	assert_int_equal(vh_backend_remove_region(b, &regions[1]), 0);
	assert_int_equal(vh_backend_release(b), 0);
	close_script(&script, b);
	close(fd);
}

/* Before anything is sent. */
static void test_user_client_rules_of_order(void **state)
{
	const struct vh_vring_addr addr = {REGION_GUEST, REGION_GUEST,
					   REGION_GUEST, 0, 0};
	const struct vh_inflight area = {8192, 1 << 24, 1, 64};
	const struct vh_log_area log = {.size = 1 << 30};
	struct vh_region region = memory_region(memory_file(), 0);
	struct script script;
	struct vh_backend *b;
	unsigned int sent;
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint8_t byte = 0;

	(void)state;
	open_script(&script, 0x1ffff, &b);
	sent = script.count;
	REFUSES(b, vh_backend_set_features(b, VH_F_IN_ORDER), -EINVAL,
		VH_FAULT_FEATURES);
	REFUSES(b, vh_backend_set_vring_num(b, 8, 64), -ERANGE,
		VH_FAULT_MSG_FIELD);
	REFUSES(b, vh_backend_set_vring_num(b, 0, 48), -EINVAL,
		VH_FAULT_RING_SIZE);
	REFUSES(b, vh_backend_set_vring_num(b, 0, 65536), -EINVAL,
		VH_FAULT_RING_SIZE);
	REFUSES(b, vh_backend_set_vring_base(b, 0, 65536), -EINVAL,
		VH_FAULT_CALLER);
	REFUSES(b, vh_backend_set_vring_kick(b, 0, event), -EINVAL,
		VH_FAULT_MSG_STATE);
	REFUSES(b, vh_backend_set_vring_call(b, 0, region.fd), -EINVAL,
		VH_FAULT_MSG_FDS);
	REFUSES(b, vh_backend_set_inflight(b, &area, region.fd), -EINVAL,
		VH_FAULT_MEM_FILE);
	REFUSES(b, vh_backend_set_log_base(b, &log, region.fd), -EINVAL,
		VH_FAULT_MEM_FILE);
	REFUSES(b, vh_backend_set_config(b, 0, &byte, 1, 2), -EINVAL,
		VH_FAULT_CALLER);
	REFUSES(b, vh_backend_get_config(b, UINT32_MAX, &byte, 1), -EINVAL,
		VH_FAULT_CONFIG);
	assert_int_equal(script.count, sent);

	assert_int_equal(vh_backend_add_region(b, &region), 0);
	assert_int_equal(vh_backend_set_vring_num(b, 0, 64), 0);
	REFUSES(b, vh_backend_set_vring_kick(b, 0, event), -EINVAL,
		VH_FAULT_MSG_STATE);
	assert_int_equal(vh_backend_set_vring_addr(b, 0, &addr), 0);
	assert_int_equal(vh_backend_remove_region(b, &region), 0);
	/* after its memory is gone */
	sent = script.count;
	REFUSES(b, vh_backend_set_vring_kick(b, 0, event), -EFAULT,
		VH_FAULT_RING_ADDR);
	assert_int_equal(script.count, sent);
	assert_int_equal(vh_backend_add_region(b, &region), 0);
	assert_int_equal(vh_backend_set_vring_kick(b, 0, event), 0);
	/* while it runs */
	REFUSES(b, vh_backend_set_vring_num(b, 0, 64), -EBUSY,
		VH_FAULT_MSG_STATE);
	REFUSES(b, vh_backend_set_vring_base(b, 0, 0), -EBUSY,
		VH_FAULT_MSG_STATE);
	REFUSES(b, vh_backend_set_features(b, VH_F_EVENT_IDX), -EBUSY,
		VH_FAULT_MSG_STATE);
	REFUSES(b, vh_backend_set_inflight(b, &area, region.fd), -EBUSY,
		VH_FAULT_MSG_STATE);
	assert_int_equal(vh_backend_set_features(b, VH_F_LOG_ALL), 0);
	REFUSES(b, vh_backend_set_log_base(b, &log, -1), -EBUSY,
		VH_FAULT_MSG_STATE);
	close_script(&script, b);
	close(region.fd);
	close(event);
}

/* Packed rings of back-ends that tell half of where they are. */
static void test_user_client_rules_of_packed_bases(void **state)
{
	static const uint32_t bases[][2] = {
	    {0x8005, 0x80058005}, {0x80058005, 0x80058005}, {0, 0}};
	struct script script;
	struct vh_backend *b;
	uint32_t base;

	(void)state;
	open_script(&script, 0x1ffff, &b);
	assert_int_equal(vh_backend_set_features(b, VH_F_RING_PACKED), 0);
	for (unsigned int i = 0; i < 3; i++) {
		script.base = bases[i][0];
		assert_int_equal(vh_backend_get_vring_base(b, 0, &base), 0);
		assert_int_equal(base, bases[i][1]);
	}
	close_script(&script, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_client_rules_of_negotiation),
	    cmocka_unit_test(test_user_client_rules_of_first_steps),
	    cmocka_unit_test(test_user_client_rules_without_protocol_features),
	    cmocka_unit_test(test_user_client_rules_of_ring_addresses),
	    cmocka_unit_test(test_user_client_rules_of_iovas),
	    cmocka_unit_test(test_user_client_rules_of_iovas_half_way),
	    cmocka_unit_test(test_user_client_rules_of_slots),
	    cmocka_unit_test(test_user_client_rules_of_tables),
	    cmocka_unit_test(test_user_client_rules_of_large_tables),
	    cmocka_unit_test(test_user_client_rules_of_release),
	    cmocka_unit_test(test_user_client_rules_of_order),
	    cmocka_unit_test(test_user_client_rules_of_packed_bases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
