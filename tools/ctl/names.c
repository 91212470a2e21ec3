/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ctl/names.h"
#include <stddef.h>
#include <string.h>

struct bit_name {
	unsigned char bit;
	const char *name;
};

/* virtio, "Reserved Feature Bits", and those of vhost itself. */
static const struct bit_name common[] = {
    {24, "NOTIFY_ON_EMPTY"},   {26, "LOG_ALL"},
    {27, "ANY_LAYOUT"},	       {28, "INDIRECT_DESC"},
    {29, "EVENT_IDX"},	       {30, "PROTOCOL_FEATURES"},
    {32, "VERSION_1"},	       {33, "ACCESS_PLATFORM"},
    {34, "RING_PACKED"},       {35, "IN_ORDER"},
    {36, "ORDER_PLATFORM"},    {37, "SR_IOV"},
    {38, "NOTIFICATION_DATA"}, {39, "NOTIF_CONFIG_DATA"},
    {40, "RING_RESET"},	       {41, "ADMIN_VQ"},
    {43, "SUSPEND"},	       {0, NULL},
};

static const struct bit_name net[] = {
    {0, "CSUM"},
    {1, "GUEST_CSUM"},
    {3, "MTU"},
    {2, "CTRL_GUEST_OFFLOADS"},
    {5, "MAC"},
    {6, "GSO"},
    {7, "GUEST_TSO4"},
    {8, "GUEST_TSO6"},
    {9, "GUEST_ECN"},
    {10, "GUEST_UFO"},
    {11, "HOST_TSO4"},
    {12, "HOST_TSO6"},
    {13, "HOST_ECN"},
    {14, "HOST_UFO"},
    {15, "MRG_RXBUF"},
    {16, "STATUS"},
    {17, "CTRL_VQ"},
    {18, "CTRL_RX"},
    {19, "CTRL_VLAN"},
    {20, "CTRL_RX_EXTRA"},
    {21, "GUEST_ANNOUNCE"},
    {22, "MQ"},
    {23, "CTRL_MAC_ADDR"},
    {50, "DEVICE_STATS"},
    {51, "HASH_TUNNEL"},
    {52, "VQ_NOTF_COAL"},
    {53, "NOTF_COAL"},
    {54, "GUEST_USO4"},
    {55, "GUEST_USO6"},
    {56, "HOST_USO"},
    {57, "HASH_REPORT"},
    {59, "GUEST_HDRLEN"},
    {60, "RSS"},
    {61, "RSC_EXT"},
    {62, "STANDBY"},
    {63, "SPEED_DUPLEX"},
    {0, NULL},
};

static const struct bit_name blk[] = {
    {0, "BARRIER"},	  {1, "SIZE_MAX"},  {2, "SEG_MAX"},
    {4, "GEOMETRY"},	  {5, "RO"},	    {6, "BLK_SIZE"},
    {7, "SCSI"},	  {9, "FLUSH"},	    {10, "TOPOLOGY"},
    {11, "CONFIG_WCE"},	  {12, "MQ"},	    {13, "DISCARD"},
    {14, "WRITE_ZEROES"}, {15, "LIFETIME"}, {16, "SECURE_ERASE"},
    {17, "ZONED"},	  {0, NULL},
};

static const struct bit_name console[] = {
    {0, "SIZE"}, {1, "MULTIPORT"}, {2, "EMERG_WRITE"}, {0, NULL}};
static const struct bit_name balloon[] = {
    {0, "MUST_TELL_HOST"},
    {1, "STATS_VQ"},
    {2, "DEFLATE_ON_OOM"},
    {3, "FREE_PAGE_HINT"},
    {4, "PAGE_POISON"},
    {5, "PAGE_REPORTING"},
    {0, NULL},
};
static const struct bit_name scsi[] = {
    {0, "INOUT"}, {1, "HOTPLUG"}, {2, "CHANGE"}, {3, "T10_PI"}, {0, NULL}};
static const struct bit_name gpu[] = {
    {0, "VIRGL"},
    {1, "EDID"},
    {2, "RESOURCE_UUID"},
    {3, "RESOURCE_BLOB"},
    {4, "CONTEXT_INIT"},
    {5, "BLOB_ALIGNMENT"},
    {0, NULL},
};
static const struct bit_name vsock[] = {
    {0, "STREAM"}, {1, "SEQPACKET"}, {2, "NO_IMPLIED_STREAM"}, {0, NULL}};
static const struct bit_name crypto[] = {
    {0, "REVISION_1"},
    {1, "CIPHER_STATELESS_MODE"},
    {2, "HASH_STATELESS_MODE"},
    {3, "MAC_STATELESS_MODE"},
    {4, "AEAD_STATELESS_MODE"},
    {5, "AKCIPHER_STATELESS_MODE"},
    {0, NULL},
};
static const struct bit_name iommu[] = {
    {0, "INPUT_RANGE"},	  {1, "DOMAIN_RANGE"}, {2, "MAP_UNMAP"},
    {3, "BYPASS"},	  {4, "PROBE"},	       {5, "MMIO"},
    {6, "BYPASS_CONFIG"}, {0, NULL},
};
static const struct bit_name snd[] = {{0, "CTLS"}, {0, NULL}};
static const struct bit_name fs[] = {{0, "NOTIFICATION"}, {0, NULL}};
static const struct bit_name pmem[] = {{0, "SHMEM_REGION"}, {0, NULL}};
static const struct bit_name i2c[] = {{0, "ZERO_LENGTH_REQUEST"}, {0, NULL}};
static const struct bit_name gpio[] = {{0, "IRQ"}, {0, NULL}};

/* By virtio's number of the device type ("Device Types"). */
static const struct {
	const char *name;
	const struct bit_name *bits;
} types[] = {
    [1] = {"net", net},		[2] = {"blk", blk},
    [3] = {"console", console}, [4] = {"rng", NULL},
    [5] = {"balloon", balloon}, [8] = {"scsi", scsi},
    [16] = {"gpu", gpu},	[18] = {"input", NULL},
    [19] = {"vsock", vsock},	[20] = {"crypto", crypto},
    [23] = {"iommu", iommu},	[25] = {"snd", snd},
    [26] = {"fs", fs},		[27] = {"pmem", pmem},
    [34] = {"i2c", i2c},	[41] = {"gpio", gpio},
};

#define TYPES (sizeof(types) / sizeof(types[0]))

const char *device_name(uint32_t id)
{
	return id < TYPES ? types[id].name : NULL;
}

uint32_t device_id(const char *name)
{
	for (uint32_t id = 1; id < TYPES; id++)
		if (types[id].name && strcmp(types[id].name, name) == 0)
			return id;
	return DEVICE_UNKNOWN;
}

static const char *find(const struct bit_name *list, unsigned int bit)
{
	for (; list && list->name; list++)
		if (list->bit == bit)
			return list->name;
	return NULL;
}

const char *feature_name(uint32_t device, unsigned int bit)
{
	const char *name = find(common, bit);

	if (!name && device < TYPES)
		name = find(types[device].bits, bit);
	return name;
}

const char *backend_feature_name(unsigned int bit)
{
	static const char *const names[] = {
	    [1] = "IOTLB_MSG_V2", [2] = "IOTLB_BATCH",
	    [3] = "IOTLB_ASID",	  [4] = "SUSPEND",
	    [5] = "RESUME",	  [6] = "ENABLE_AFTER_DRIVER_OK",
	    [7] = "DESC_ASID",	  [8] = "IOTLB_PERSIST",
	};

	return bit < sizeof(names) / sizeof(names[0]) ? names[bit] : NULL;
}
