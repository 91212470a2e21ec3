/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The wire's numbers, one after the other: host byte order, no alignment,
 * and never a byte beyond the end.
 */
#ifndef PROTOCOL_WIRE_H
#define PROTOCOL_WIRE_H

#include <libvhost/protocol.h>
#include <string.h>

/* In the first 64 bits of a vring's descriptor messages. */
#define VHI_VRING_INDEX_MASK   UINT64_C(0xff)
#define VHI_VRING_NOFD	       (UINT64_C(1) << 8)

#define VHI_REGION_SIZE	       32
#define VHI_REGION_SIZE_XEN    40
#define VHI_CONFIG_HEADER_SIZE 12
#define VHI_CRYPTO_DATA_SIZE   624

struct vhi_reader {
	const uint8_t *at;
	size_t left;
	bool overrun; /* somebody asked for more than there was, and got 0 */
};

struct vhi_writer {
	uint8_t *at;
	size_t left;
	bool overrun; /* it didn't fit */
};

/* The next size bytes, or NULL. */
static inline const uint8_t *vhi_read_bytes(struct vhi_reader *reader,
					    size_t size)
{
	const uint8_t *bytes = reader->at;

	if (size > reader->left) {
		reader->overrun = true;
		reader->left = 0;
		return NULL;
	}
	reader->left -= size;
	if (size)
		reader->at += size;
	return bytes;
}

static inline void vhi_read(struct vhi_reader *reader, void *value, size_t size)
{
	const uint8_t *bytes = vhi_read_bytes(reader, size);

	if (bytes)
		memcpy(value, bytes, size);
	else
		memset(value, 0, size);
}

static inline uint8_t vhi_read_u8(struct vhi_reader *reader)
{
	uint8_t value;

	vhi_read(reader, &value, sizeof(value));
	return value;
}

static inline uint16_t vhi_read_u16(struct vhi_reader *reader)
{
	uint16_t value;

	vhi_read(reader, &value, sizeof(value));
	return value;
}

static inline uint32_t vhi_read_u32(struct vhi_reader *reader)
{
	uint32_t value;

	vhi_read(reader, &value, sizeof(value));
	return value;
}

static inline uint64_t vhi_read_u64(struct vhi_reader *reader)
{
	uint64_t value;

	vhi_read(reader, &value, sizeof(value));
	return value;
}

/* bytes may be NULL: zeros. */
static inline void vhi_write(struct vhi_writer *writer, const void *bytes,
			     size_t size)
{
	if (size > writer->left) {
		writer->overrun = true;
		writer->left = 0;
		return;
	}
	if (bytes)
		memcpy(writer->at, bytes, size);
	else
		memset(writer->at, 0, size);
	writer->at += size;
	writer->left -= size;
}

static inline void vhi_write_u8(struct vhi_writer *writer, uint8_t value)
{
	vhi_write(writer, &value, sizeof(value));
}

static inline void vhi_write_u16(struct vhi_writer *writer, uint16_t value)
{
	vhi_write(writer, &value, sizeof(value));
}

static inline void vhi_write_u32(struct vhi_writer *writer, uint32_t value)
{
	vhi_write(writer, &value, sizeof(value));
}

static inline void vhi_write_u64(struct vhi_writer *writer, uint64_t value)
{
	vhi_write(writer, &value, sizeof(value));
}

static inline bool vhi_negotiated(const struct vh_message_context *context,
				  unsigned int protocol_feature)
{
	return context->protocol_features >> protocol_feature & 1;
}

/* Bytes of a memory region. */
static inline uint32_t vhi_region_size(const struct vh_message_context *context)
{
	return vhi_negotiated(context, VH_USER_PROTOCOL_F_XEN_MMAP)
		   ? VHI_REGION_SIZE_XEN
		   : VHI_REGION_SIZE;
}

#endif
