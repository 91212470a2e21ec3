/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Each table is a "Device configuration layout" of the virtio text. */
#include "ctl/config.h"
#include "ctl/names.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ALWAYS 0xff
#define BITMAP 1 /* told in hexadecimal */
#define MAC    2
#define TEXT   3

struct field {
	const char *name;
	uint16_t offset;
	uint8_t size;
	uint8_t feature; /* bit that it depends on */
	uint8_t form;
};

static const struct field net[] = {
    {"mac", 0, 6, 5, MAC},
    {"status", 6, 2, 16, BITMAP},
    {"max_virtqueue_pairs", 8, 2, 22},
    {"mtu", 10, 2, 3},
    {"speed", 12, 4, 63},
    {"duplex", 16, 1, 63},
    {"rss_max_key_size", 17, 1, 60},
    {"rss_max_indirection_table_length", 18, 2, 60},
    {"supported_hash_types", 20, 4, 60, BITMAP},
    {"supported_tunnel_types", 24, 4, 51, BITMAP},
    {NULL, 28},
};

static const struct field blk[] = {
    {"capacity", 0, 8, ALWAYS},
    {"size_max", 8, 4, 1},
    {"seg_max", 12, 4, 2},
    {"cylinders", 16, 2, 4},
    {"heads", 18, 1, 4},
    {"sectors", 19, 1, 4},
    {"blk_size", 20, 4, 6},
    {"physical_block_exp", 24, 1, 10},
    {"alignment_offset", 25, 1, 10},
    {"min_io_size", 26, 2, 10},
    {"opt_io_size", 28, 4, 10},
    {"writeback", 32, 1, 11},
    {"num_queues", 34, 2, 12},
    {"max_discard_sectors", 36, 4, 13},
    {"max_discard_seg", 40, 4, 13},
    {"discard_sector_alignment", 44, 4, 13},
    {"max_write_zeroes_sectors", 48, 4, 14},
    {"max_write_zeroes_seg", 52, 4, 14},
    {"write_zeroes_may_unmap", 56, 1, 14},
    {"max_secure_erase_sectors", 60, 4, 16},
    {"max_secure_erase_seg", 64, 4, 16},
    {"secure_erase_sector_alignment", 68, 4, 16},
    {"zone_sectors", 72, 4, 17},
    {"max_open_zones", 76, 4, 17},
    {"max_active_zones", 80, 4, 17},
    {"max_append_sectors", 84, 4, 17},
    {"write_granularity", 88, 4, 17},
    {"zoned_model", 92, 1, 17},
    {NULL, 96},
};

static const struct field console[] = {{"cols", 0, 2, 0},
				       {"rows", 2, 2, 0},
				       {"max_nr_ports", 4, 4, 1},
				       {NULL, 12}};

static const struct field balloon[] = {
    {"num_pages", 0, 4, ALWAYS},
    {"actual", 4, 4, ALWAYS},
    {"free_page_hint_cmd_id", 8, 4, 3},
    {"poison_val", 12, 4, 4},
    {NULL, 16},
};

static const struct field scsi[] = {
    {"num_queues", 0, 4, ALWAYS},
    {"seg_max", 4, 4, ALWAYS},
    {"max_sectors", 8, 4, ALWAYS},
    {"cmd_per_lun", 12, 4, ALWAYS},
    {"event_info_size", 16, 4, ALWAYS},
    {"sense_size", 20, 4, ALWAYS},
    {"cdb_size", 24, 4, ALWAYS},
    {"max_channel", 28, 2, ALWAYS},
    {"max_target", 30, 2, ALWAYS},
    {"max_lun", 32, 4, ALWAYS},
    {NULL, 36},
};

static const struct field gpu[] = {
    {"events_read", 0, 4, ALWAYS, BITMAP},
    {"num_scanouts", 8, 4, ALWAYS},
    {"num_capsets", 12, 4, ALWAYS},
    {NULL, 16},
};

/* What select and subsel chose; to choose something would be a change. */
static const struct field input[] = {
    {"select", 0, 1, ALWAYS},
    {"subsel", 1, 1, ALWAYS},
    {"size", 2, 1, ALWAYS},
    {NULL, 136},
};

static const struct field vsock[] = {{"guest_cid", 0, 8, ALWAYS}, {NULL, 8}};

static const struct field crypto[] = {
    {"status", 0, 4, ALWAYS, BITMAP},
    {"max_dataqueues", 4, 4, ALWAYS},
    {"crypto_services", 8, 4, ALWAYS, BITMAP},
    {"cipher_algo_l", 12, 4, ALWAYS, BITMAP},
    {"cipher_algo_h", 16, 4, ALWAYS, BITMAP},
    {"hash_algo", 20, 4, ALWAYS, BITMAP},
    {"mac_algo_l", 24, 4, ALWAYS, BITMAP},
    {"mac_algo_h", 28, 4, ALWAYS, BITMAP},
    {"aead_algo", 32, 4, ALWAYS, BITMAP},
    {"max_cipher_key_len", 36, 4, ALWAYS},
    {"max_auth_key_len", 40, 4, ALWAYS},
    {"akcipher_algo", 44, 4, ALWAYS, BITMAP},
    {"max_size", 48, 8, ALWAYS},
    {NULL, 56},
};

static const struct field iommu[] = {
    {"page_size_mask", 0, 8, ALWAYS, BITMAP},
    {"input_range_start", 8, 8, 0, BITMAP},
    {"input_range_end", 16, 8, 0, BITMAP},
    {"domain_range_start", 24, 4, 1},
    {"domain_range_end", 28, 4, 1},
    {"probe_size", 32, 4, 4},
    {"bypass", 36, 1, 6},
    {NULL, 40},
};

static const struct field snd[] = {
    {"jacks", 0, 4, ALWAYS},
    {"streams", 4, 4, ALWAYS},
    {"chmaps", 8, 4, ALWAYS},
    {"controls", 12, 4, 0},
    {NULL, 16},
};

static const struct field fs[] = {
    {"tag", 0, 36, ALWAYS, TEXT},
    {"num_request_queues", 36, 4, ALWAYS},
    {"notify_buf_size", 40, 4, 0},
    {NULL, 44},
};

static const struct field pmem[] = {
    {"start", 0, 8, ALWAYS, BITMAP}, {"size", 8, 8, ALWAYS}, {NULL, 16}};

static const struct field gpio[] = {
    {"ngpio", 0, 2, ALWAYS}, {"gpio_names_size", 4, 4, ALWAYS}, {NULL, 8}};

static const struct field *const layouts[] = {
    [1] = net,	[2] = blk,    [3] = console, [5] = balloon, [8] = scsi,
    [16] = gpu, [18] = input, [19] = vsock,  [20] = crypto, [23] = iommu,
    [25] = snd, [26] = fs,    [27] = pmem,   [41] = gpio,
};

static const struct field *layout_of(uint32_t device)
{
	return device < sizeof(layouts) / sizeof(layouts[0]) ? layouts[device]
							     : NULL;
}

uint32_t config_size(uint32_t device)
{
	const struct field *field = layout_of(device);

	while (field && field->name)
		field++;
	return field ? field->offset : 0;
}

/* Little-endian, as VERSION_1 has it. */
static uint64_t number(const uint8_t *bytes, unsigned int size)
{
	uint64_t value = 0;

	while (size-- > 0)
		value = value << 8 | bytes[size];
	return value;
}

/* What isn't plain text would be an order to somebody's terminal. */
static struct json_object *text_of(const uint8_t *bytes, unsigned int size)
{
	char text[4 * UINT8_MAX + 1];
	size_t at = 0;

	for (unsigned int i = 0; i < size && bytes[i]; i++) {
		bool plain = bytes[i] >= ' ' && bytes[i] <= '~';

		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       plain ? "%c" : "\\x%02x", bytes[i]);
	}
	return json_object_new_string_len(text, (int)at);
}

static struct json_object *value_of(const struct field *field,
				    const uint8_t *bytes)
{
	char text[64];

	switch (field->form) {
	case MAC:
		snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x",
			 bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
			 bytes[5]);
		return json_object_new_string(text);
	case TEXT:
		return text_of(bytes, field->size);
	case BITMAP:
		snprintf(text, sizeof(text), "0x%llx",
			 (unsigned long long)number(bytes, field->size));
		return json_object_new_string(text);
	default:
		return json_object_new_uint64(number(bytes, field->size));
	}
}

struct json_object *config_fields(uint32_t device, uint64_t features,
				  const uint8_t *bytes, uint32_t size)
{
	const struct field *field = layout_of(device);
	struct json_object *all = NULL;

	for (; field && field->name; field++) {
		if (field->offset + field->size > size ||
		    (field->feature != ALWAYS &&
		     !(features >> field->feature & 1)))
			continue;
		if (!all)
			all = json_object_new_object();
		json_object_object_add(all, field->name,
				       value_of(field, bytes + field->offset));
	}
	return all;
}
