/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "support.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

const struct vh_message_context everything = {BIT(F_ACCESS), EVERY_PROTOCOL};
const struct vh_message_context with_xen = {BIT(F_ACCESS), ALL_PROTOCOL};
const struct vh_message_context nothing = {0, 0};

static unsigned int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = strchr(digits, c);

	assert_true(c != 0 && found);
	return (unsigned int)(found - digits);
}

size_t from_hex(const char *hex, uint8_t *bytes, size_t size)
{
	size_t count = 0;

	while (*hex) {
		unsigned long times = 1;
		uint8_t byte;
		char *end;

		if (*hex == ' ') {
			hex++;
			continue;
		}
		byte = (uint8_t)(digit(hex[0]) << 4 | digit(hex[1]));
		hex += 2;
		if (*hex == '*') {
			times = strtoul(hex + 1, &end, 10);
			hex = end;
		}
		assert_true(times <= size - count);
		memset(bytes + count, byte, times);
		count += times;
	}
	return count;
}

const uint8_t *at_the_edge(const uint8_t *bytes, size_t size)
{
	static uint8_t *page;
	size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

	if (!page) {
		page = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_ptr_not_equal(page, MAP_FAILED);
		assert_int_equal(
		    mprotect(page + page_size, page_size, PROT_NONE), 0);
	}
	assert_true(size <= page_size);
	if (size)
		memcpy(page + page_size - size, bytes, size);
	return page + page_size - size;
}

static void check_refusal(int ret, const struct vh_fault *fault, uint32_t id,
			  const struct vh_message *message,
			  const struct refusal *refusal)
{
	struct vh_message untouched;

	memset(&untouched, 0xa5, sizeof(untouched));
	assert_int_equal(ret, refusal->error);
	assert_int_equal(fault->error, refusal->error);
	assert_int_equal(fault->code, refusal->code);
	assert_int_equal(fault->message, id);
	if (!strstr(fault->text, refusal->words))
		assert_string_equal(fault->text, refusal->words);
	assert_true(strlen(fault->section) > 0);
	assert_memory_equal(message, &untouched, sizeof(untouched));
}

void refuses(uint32_t direction, const struct vh_message_context *context,
	     const uint8_t *frame, size_t size, unsigned int fds,
	     const struct refusal *refusal)
{
	const uint8_t *payload = at_the_edge(frame + 12, size - 12);
	struct vh_message_header header;
	struct vh_message message;
	struct vh_fault fault;
	int ret;

	memset(&message, 0xa5, sizeof(message));
	vh_message_header_decode(frame, &header);
	ret = vh_message_decode(direction, context, &header, payload, fds,
				&fault, &message);
	check_refusal(ret, &fault, header.id, &message, refusal);
	/* nobody has to want to know why */
	assert_int_equal(vh_message_decode(direction, context, &header, payload,
					   fds, NULL, &message),
			 refusal->error);
}

void refuses_reply(uint32_t direction, uint32_t id, bool acked,
		   const uint8_t *frame, size_t size, unsigned int fds,
		   const struct refusal *refusal)
{
	const uint8_t *payload = at_the_edge(frame + 12, size - 12);
	struct vh_message_header header;
	struct vh_message message;
	struct vh_fault fault;
	int ret;

	memset(&message, 0xa5, sizeof(message));
	vh_message_header_decode(frame, &header);
	ret = vh_message_decode_reply(direction, &everything, id, acked,
				      &header, payload, fds, &fault, &message);
	check_refusal(ret, &fault, header.id, &message, refusal);
	assert_int_equal(vh_message_decode_reply(direction, &everything, id,
						 acked, &header, payload, fds,
						 NULL, &message),
			 refusal->error);
}

static void same_region(const struct vh_message_region *one,
			const struct vh_message_region *other)
{
	assert_int_equal(one->guest, other->guest);
	assert_int_equal(one->size, other->size);
	assert_int_equal(one->user, other->user);
	assert_int_equal(one->mmap_offset, other->mmap_offset);
	assert_int_equal(one->xen_flags, other->xen_flags);
	assert_int_equal(one->xen_domid, other->xen_domid);
}

#define SAME(member) assert_int_equal(one->member, other->member)

static void same_ring(const struct vh_message *one,
		      const struct vh_message *other)
{
	switch (one->payload) {
	case VH_PAYLOAD_VRING_STATE:
		SAME(state.index);
		SAME(state.num);
		break;
	case VH_PAYLOAD_VRING_ADDR:
		SAME(addr.index);
		SAME(addr.flags);
		SAME(addr.descriptors);
		SAME(addr.used);
		SAME(addr.available);
		SAME(addr.log);
		break;
	case VH_PAYLOAD_VRING_FD:
		SAME(vring_fd.index);
		SAME(vring_fd.nofd);
		break;
	case VH_PAYLOAD_VRING_AREA:
		SAME(area.index);
		SAME(area.nofd);
		SAME(area.size);
		SAME(area.offset);
		break;
	default:
		fail_msg("payload %u has no comparison", one->payload);
	}
}

static void same_memory(const struct vh_message *one,
			const struct vh_message *other)
{
	switch (one->payload) {
	case VH_PAYLOAD_MEM_TABLE:
		SAME(mem_table.count);
		for (uint32_t i = 0; i < one->mem_table.count; i++)
			same_region(&one->mem_table.regions[i],
				    &other->mem_table.regions[i]);
		break;
	case VH_PAYLOAD_MEM_REGION:
		same_region(&one->mem_region, &other->mem_region);
		break;
	case VH_PAYLOAD_LOG:
		SAME(log.size);
		SAME(log.offset);
		break;
	case VH_PAYLOAD_IOTLB:
		SAME(iotlb.iova);
		SAME(iotlb.size);
		SAME(iotlb.user);
		SAME(iotlb.perm);
		SAME(iotlb.type);
		break;
	case VH_PAYLOAD_MMAP:
		SAME(mmap.shmid);
		SAME(mmap.fd_offset);
		SAME(mmap.shm_offset);
		SAME(mmap.len);
		SAME(mmap.flags);
		break;
	case VH_PAYLOAD_SHMEM_CONFIG:
		SAME(shmem.count);
		for (uint32_t i = 0; i < 256; i++)
			SAME(shmem.sizes[i]);
		break;
	default:
		same_ring(one, other);
	}
}

void assert_same_message(const struct vh_message *one,
			 const struct vh_message *other)
{
	SAME(id);
	SAME(flags);
	SAME(payload);
	switch (one->payload) {
	case VH_PAYLOAD_NONE:
		break;
	case VH_PAYLOAD_U64:
		SAME(u64);
		break;
	case VH_PAYLOAD_CONFIG:
		SAME(config.offset);
		SAME(config.size);
		SAME(config.flags);
		assert_memory_equal(one->config.data, other->config.data,
				    one->config.size);
		break;
	case VH_PAYLOAD_INFLIGHT:
		SAME(inflight.mmap_size);
		SAME(inflight.mmap_offset);
		SAME(inflight.num_queues);
		SAME(inflight.queue_size);
		break;
	case VH_PAYLOAD_CRYPTO:
		SAME(crypto.session_id);
		assert_memory_equal(one->crypto.data, other->crypto.data, 624);
		break;
	case VH_PAYLOAD_SHARED_OBJECT:
		assert_memory_equal(one->object.uuid, other->object.uuid, 16);
		break;
	case VH_PAYLOAD_DEVICE_STATE:
		SAME(device_state.direction);
		SAME(device_state.phase);
		break;
	default:
		same_memory(one, other);
	}
}
