/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Every message of both directions and the bytes that it makes, worked out
 * by hand from the specification's layouts, as a little-endian machine has
 * them. Header first: id, flags, size. "00*7" stands for seven zeros.
 */
#include "support.h"

#define U64(value)     .payload = VH_PAYLOAD_U64, .u64 = (value)
#define STATE(at, n)   .payload = VH_PAYLOAD_VRING_STATE, .state = {at, n}
#define VRING_FD(i, f) .payload = VH_PAYLOAD_VRING_FD, .vring_fd = {i, f}
#define OBJECT                                                                 \
	.payload = VH_PAYLOAD_SHARED_OBJECT,                                   \
	.object.uuid = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,        \
			0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}

/* clang-format off */
static const uint8_t eight[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t fives[624] = { [0 ... 623] = 0x55 };

const struct vector vectors[] = {
	{ FRONT, .hex = "01000000 01000000 00000000",
	  .message = { 1, 1 } },
	{ FRONT, .reply = true,
	  .hex = "01000000 05000000 08000000 0000004001000000",
	  .message = { 1, 5, U64(0x140000000) } },
	{ FRONT, .hex = "02000000 09000000 08000000 0102030405060708",
	  .message = { 2, 9, U64(0x0807060504030201) } },
	{ FRONT, .reply = true, .acked = true,
	  .hex = "02000000 05000000 08000000 0100000000000000",
	  .message = { 2, 5, U64(1) } },
	{ FRONT, .hex = "03000000 01000000 00000000", .message = { 3, 1 } },
	{ FRONT, .hex = "04000000 01000000 00000000", .message = { 4, 1 } },
	{ FRONT, .fds = 2,
	  .hex = "05000000 09000000 48000000 02000000 00000000"
		 "0000000000000000 0000008000000000"
		 "0000563412 7f0000 0000000000000000"
		 "0000000001000000 0000004000000000"
		 "00005634127e0000 0000008000000000",
	  .message = { 5, 9, .payload = VH_PAYLOAD_MEM_TABLE, .mem_table = {
		2, { { 0, 0x80000000, 0x7f1234560000, 0, 0, 0 },
		     { 0x100000000, 0x40000000, 0x7e1234560000,
		       0x80000000, 0, 0 } } } } },
	{ FRONT, .hex = "05000000 01000000 08000000 00000000 00000000",
	  .message = { 5, 1, .payload = VH_PAYLOAD_MEM_TABLE } },
	{ FRONT, .fds = 1, .xen = true,
	  .hex = "05000000 01000000 30000000 01000000 00000000"
		 "0000000000000000 0000008000000000"
		 "0000563412 7f0000 0000000000000000 02010000 09000000",
	  .message = { 5, 1, .payload = VH_PAYLOAD_MEM_TABLE, .mem_table = {
		1, { { 0, 0x80000000, 0x7f1234560000, 0, 0x102, 9 } } } } },
	/* the answer during postcopy */
	{ FRONT, .reply = true,
	  .hex = "05000000 05000000 28000000 01000000 00000000"
		 "0000000000000000 0000008000000000"
		 "0000563412 7f0000 0000000000000000",
	  .message = { 5, 5, .payload = VH_PAYLOAD_MEM_TABLE, .mem_table = {
		1, { { 0, 0x80000000, 0x7f1234560000, 0, 0, 0 } } } } },
	{ FRONT, .fds = 1,
	  .hex = "06000000 01000000 10000000"
		 "0000100000000000 0010000000000000",
	  .message = { 6, 1, .payload = VH_PAYLOAD_LOG,
		       .log = { 0x100000, 0x1000 } } },
	{ FRONT, .reply = true, .hex = "06000000 05000000 00000000",
	  .message = { 6, 5 } },
	{ FRONT, .reply = true,
	  .hex = "06000000 05000000 08000000 0000000000000000",
	  .message = { 6, 5, U64(0) } },
	{ FRONT, .reply = true,
	  .hex = "06000000 05000000 10000000"
		 "0000100000000000 0010000000000000",
	  .message = { 6, 5, .payload = VH_PAYLOAD_LOG,
		       .log = { 0x100000, 0x1000 } } },
	{ FRONT, .fds = 1, .hex = "07000000 01000000 00000000",
	  .message = { 7, 1 } },
	{ FRONT, .hex = "08000000 01000000 08000000 01000000 00010000",
	  .message = { 8, 1, STATE(1, 256) } },
	{ FRONT,
	  .hex = "09000000 01000000 28000000 02000000 01000000"
		 "0010000000000000 0020000000000000"
		 "0030000000000000 0040000000000000",
	  .message = { 9, 1, .payload = VH_PAYLOAD_VRING_ADDR, .addr = {
		.index = 2, .flags = 1, .descriptors = 0x1000,
		.used = 0x2000, .available = 0x3000, .log = 0x4000 } } },
	{ FRONT, .hex = "0a000000 01000000 08000000 00000000 34120000",
	  .message = { 10, 1, STATE(0, 0x1234) } },
	{ FRONT, .hex = "0b000000 01000000 08000000 ffffffff 00000000",
	  .message = { 11, 1, STATE(0xffffffff, 0) } },
	{ FRONT, .reply = true,
	  .hex = "0b000000 05000000 08000000 03000000 ffff0000",
	  .message = { 11, 5, STATE(3, 0xffff) } },
	{ FRONT, .fds = 1,
	  .hex = "0c000000 01000000 08000000 03000000 00000000",
	  .message = { 12, 1, VRING_FD(3, false) } },
	{ FRONT, .hex = "0d000000 01000000 08000000 ff010000 00000000",
	  .message = { 13, 1, VRING_FD(255, true) } },
	{ FRONT, .fds = 1,
	  .hex = "0e000000 01000000 08000000 00000000 00000000",
	  .message = { 14, 1, VRING_FD(0, false) } },
	{ FRONT, .hex = "0f000000 01000000 00000000",
	  .message = { 15, 1 } },
	{ FRONT, .reply = true,
	  .hex = "0f000000 05000000 08000000 ffffff00 00000000",
	  .message = { 15, 5, U64(0xffffff) } },
	{ FRONT, .hex = "10000000 01000000 08000000 28820100 00000000",
	  .message = { 16, 1, U64(0x18228) } },
	{ FRONT, .hex = "11000000 01000000 00000000",
	  .message = { 17, 1 } },
	{ FRONT, .reply = true,
	  .hex = "11000000 05000000 08000000 04000000 00000000",
	  .message = { 17, 5, U64(4) } },
	{ FRONT, .hex = "12000000 01000000 08000000 00010000 01000000",
	  .message = { 18, 1, STATE(256, 1) } },
	{ FRONT, .hex = "13000000 01000000 08000000 525400123456 0000",
	  .message = { 19, 1, U64(0x563412005452) } },
	{ FRONT, .hex = "14000000 09000000 08000000 dc05000000000000",
	  .message = { 20, 9, U64(1500) } },
	{ FRONT, .fds = 1, .hex = "15000000 09000000 00000000",
	  .message = { 21, 9 } },
	{ FRONT,
	  .hex = "16000000 09000000 20000000"
		 "00f0ffff00000000 0010000000000000 0000563412 7f0000"
		 "03 02 00*6",
	  .message = { 22, 9, .payload = VH_PAYLOAD_IOTLB, .iotlb = {
		0xfffff000, 0x1000, 0x7f1234560000, 3, 2 } } },
	{ FRONT, .reply = true,
	  .hex = "16000000 05000000 08000000 0000000000000000",
	  .message = { 22, 5, U64(0) } },
	{ FRONT, .hex = "17000000 01000000 08000000 01000000 01000000",
	  .message = { 23, 1, STATE(1, 1) } },
	{ FRONT,
	  .hex = "18000000 01000000 14000000 10000000 08000000 01000000"
		 "0102030405060708",
	  .message = { 24, 1, .payload = VH_PAYLOAD_CONFIG,
		       .config = { 16, 8, 1, eight } } },
	{ FRONT, .reply = true,
	  .hex = "18000000 05000000 14000000 10000000 08000000 00000000"
		 "0102030405060708",
	  .message = { 24, 5, .payload = VH_PAYLOAD_CONFIG,
		       .config = { 16, 8, 0, eight } } },
	{ FRONT,
	  .hex = "19000000 09000000 0d000000 20000000 01000000 00000000 01",
	  .message = { 25, 9, .payload = VH_PAYLOAD_CONFIG,
		       .config = { 32, 1, 0, eight } } },
	{ FRONT, .hex = "1a000000 01000000 78020000 00*8 55*624",
	  .message = { 26, 1, .payload = VH_PAYLOAD_CRYPTO,
		       .crypto = { 0, fives } } },
	{ FRONT, .reply = true,
	  .hex = "1a000000 05000000 78020000 ff*8 55*624",
	  .message = { 26, 5, .payload = VH_PAYLOAD_CRYPTO,
		       .crypto = { -1, fives } } },
	{ FRONT, .hex = "1b000000 01000000 08000000 0700000000000000",
	  .message = { 27, 1, U64(7) } },
	{ FRONT, .hex = "1c000000 01000000 00000000",
	  .message = { 28, 1 } },
	{ FRONT, .reply = true, .fds = 1,
	  .hex = "1c000000 05000000 00000000", .message = { 28, 5 } },
	{ FRONT, .hex = "1d000000 09000000 00000000",
	  .message = { 29, 9 } },
	{ FRONT, .hex = "1e000000 01000000 00000000",
	  .message = { 30, 1 } },
	{ FRONT, .reply = true,
	  .hex = "1e000000 05000000 08000000 0000000000000000",
	  .message = { 30, 5, U64(0) } },
	{ FRONT,
	  .hex = "1f000000 01000000 18000000 00*8 00*8 0400 8000 00*4",
	  .message = { 31, 1, .payload = VH_PAYLOAD_INFLIGHT,
		       .inflight = { 0, 0, 4, 128 } } },
	{ FRONT, .reply = true, .fds = 1,
	  .hex = "1f000000 05000000 18000000"
		 "0020000000000000 0010000000000000 0400 8000 00*4",
	  .message = { 31, 5, .payload = VH_PAYLOAD_INFLIGHT,
		       .inflight = { 0x2000, 0x1000, 4, 128 } } },
	{ FRONT, .fds = 1,
	  .hex = "20000000 01000000 18000000"
		 "0020000000000000 0000000000000000 0400 0080 00*4",
	  .message = { 32, 1, .payload = VH_PAYLOAD_INFLIGHT,
		       .inflight = { 0x2000, 0, 4, 32768 } } },
	{ FRONT, .fds = 1, .hex = "21000000 01000000 00000000",
	  .message = { 33, 1 } },
	{ FRONT, .hex = "22000000 01000000 00000000",
	  .message = { 34, 1 } },
	{ FRONT, .hex = "23000000 01000000 08000000 02000000 00000000",
	  .message = { 35, 1, STATE(2, 0) } },
	{ FRONT, .hex = "24000000 01000000 00000000",
	  .message = { 36, 1 } },
	{ FRONT, .reply = true,
	  .hex = "24000000 05000000 08000000 fd01000000000000",
	  .message = { 36, 5, U64(509) } },
	{ FRONT, .fds = 1,
	  .hex = "25000000 09000000 28000000 00*8 "
		 "0000000001000000 0000004000000000"
		 "00005634127e0000 0000008000000000",
	  .message = { 37, 9, .payload = VH_PAYLOAD_MEM_REGION, .mem_region = {
		0x100000000, 0x40000000, 0x7e1234560000, 0x80000000, 0, 0 } } },
	{ FRONT, .fds = 1, .xen = true,
	  .hex = "25000000 09000000 30000000 00*8 "
		 "0000000001000000 0000004000000000"
		 "00005634127e0000 0000008000000000 01000000 0a000000",
	  .message = { 37, 9, .payload = VH_PAYLOAD_MEM_REGION, .mem_region = {
		0x100000000, 0x40000000, 0x7e1234560000, 0x80000000, 1, 10 } } },
	{ FRONT,
	  .hex = "26000000 09000000 28000000 00*8 "
		 "0000000001000000 0000004000000000"
		 "00005634127e0000 0000000000000000",
	  .message = { 38, 9, .payload = VH_PAYLOAD_MEM_REGION, .mem_region = {
		0x100000000, 0x40000000, 0x7e1234560000, 0, 0, 0 } } },
	{ FRONT, .hex = "27000000 01000000 08000000 0f00000000000000",
	  .message = { 39, 1, U64(15) } },
	{ FRONT, .hex = "28000000 01000000 00000000",
	  .message = { 40, 1 } },
	{ FRONT, .reply = true,
	  .hex = "28000000 05000000 08000000 0f00000000000000",
	  .message = { 40, 5, U64(15) } },
	{ FRONT,
	  .hex = "29000000 01000000 10000000 123456789abcdef0"
		 "0123456789abcdef",
	  .message = { 41, 1, OBJECT } },
	{ FRONT, .reply = true, .fds = 1,
	  .hex = "29000000 05000000 10000000 123456789abcdef0"
		 "0123456789abcdef",
	  .message = { 41, 5, OBJECT } },
	{ FRONT, .reply = true, .hex = "29000000 05000000 00000000",
	  .message = { 41, 5 } },
	{ FRONT, .fds = 1,
	  .hex = "2a000000 01000000 08000000 01000000 00000000",
	  .message = { 42, 1, .payload = VH_PAYLOAD_DEVICE_STATE,
		       .device_state = { 1, 0 } } },
	{ FRONT, .reply = true, .fds = 1,
	  .hex = "2a000000 05000000 08000000 0000000000000000",
	  .message = { 42, 5, U64(0) } },
	{ FRONT, .reply = true,
	  .hex = "2a000000 05000000 08000000 0001000000000000",
	  .message = { 42, 5, U64(0x100) } },
	{ FRONT, .hex = "2b000000 01000000 00000000",
	  .message = { 43, 1 } },
	{ FRONT, .reply = true,
	  .hex = "2b000000 05000000 08000000 0100000000000000",
	  .message = { 43, 5, U64(1) } },
	{ FRONT, .hex = "2c000000 01000000 00000000",
	  .message = { 44, 1 } },
	{ FRONT, .reply = true,
	  .hex = "2c000000 05000000 08080000 02000000 00*4 "
		 "0010000000000000 00*2032 0000004000000000",
	  .message = { 44, 5, .payload = VH_PAYLOAD_SHMEM_CONFIG, .shmem = {
		2, { [0] = 0x1000, [255] = 0x40000000 } } } },
	{ FRONT, .hex = "2d000000 01000000 08000000 01000000 00000000",
	  .message = { 45, 1, STATE(1, 0) } },
	{ FRONT, .reply = true,
	  .hex = "2d000000 05000000 08000000 01000000 07800900",
	  .message = { 45, 5, STATE(1, 0x98007) } },

	{ BACK,
	  .hex = "01000000 09000000 20000000"
		 "00f0ffff00000000 00*8 00*8 01 01 00*6",
	  .message = { 1, 9, .payload = VH_PAYLOAD_IOTLB,
		       .iotlb = { 0xfffff000, 0, 0, 1, 1 } } },
	{ BACK, .reply = true, .acked = true,
	  .hex = "01000000 05000000 08000000 0000000000000000",
	  .message = { 1, 5, U64(0) } },
	{ BACK, .hex = "02000000 01000000 00000000", .message = { 2, 1 } },
	{ BACK, .fds = 1,
	  .hex = "03000000 09000000 18000000 01000000 00000000"
		 "0010000000000000 0030000000000000",
	  .message = { 3, 9, .payload = VH_PAYLOAD_VRING_AREA,
		       .area = { 1, false, 0x1000, 0x3000 } } },
	{ BACK,
	  .hex = "03000000 09000000 18000000 02010000 00000000 00*16",
	  .message = { 3, 9, .payload = VH_PAYLOAD_VRING_AREA,
		       .area = { 2, true, 0, 0 } } },
	{ BACK, .hex = "04000000 09000000 08000000 05000000 00000000",
	  .message = { 4, 9, STATE(5, 0) } },
	{ BACK, .hex = "05000000 09000000 08000000 06000000 00000000",
	  .message = { 5, 9, STATE(6, 0) } },
	{ BACK,
	  .hex = "06000000 09000000 10000000 123456789abcdef0"
		 "0123456789abcdef",
	  .message = { 6, 9, OBJECT } },
	{ BACK,
	  .hex = "07000000 09000000 10000000 123456789abcdef0"
		 "0123456789abcdef",
	  .message = { 7, 9, OBJECT } },
	{ BACK,
	  .hex = "08000000 01000000 10000000 123456789abcdef0"
		 "0123456789abcdef",
	  .message = { 8, 1, OBJECT } },
	{ BACK, .reply = true, .fds = 1,
	  .hex = "08000000 05000000 08000000 0000000000000000",
	  .message = { 8, 5, U64(0) } },
	{ BACK, .fds = 1,
	  .hex = "09000000 09000000 28000000 05 00*7 0010000000000000"
		 "0020000000000000 0030000000000000 0100000000000000",
	  .message = { 9, 9, .payload = VH_PAYLOAD_MMAP,
		       .mmap = { 5, 0x1000, 0x2000, 0x3000, 1 } } },
	{ BACK,
	  .hex = "0a000000 09000000 28000000 ff 00*7 0000000000000000"
		 "0020000000000000 0030000000000000 0000000000000000",
	  .message = { 10, 9, .payload = VH_PAYLOAD_MMAP,
		       .mmap = { 255, 0, 0x2000, 0x3000, 0 } } },
};
/* clang-format on */

const size_t vector_count = COUNT(vectors);

const struct vector *vector_of(uint32_t direction, uint32_t id)
{
	for (size_t i = 0; i < vector_count; i++)
		if (vectors[i].direction == direction && !vectors[i].reply &&
		    vectors[i].message.id == id)
			return &vectors[i];
	return NULL;
}
