/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "driver_pair.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST	 UINT64_C(0x10000000)

#define INDIRECT VH_F_INDIRECT_DESC
#define EVENT	 VH_F_EVENT_IDX
#define ORDER	 VH_F_IN_ORDER
#define PACKED	 VH_F_RING_PACKED

const uint64_t pair_features[] = {
    0,
    INDIRECT,
    EVENT,
    ORDER,
    INDIRECT | EVENT | ORDER,
    PACKED,
    PACKED | INDIRECT,
    PACKED | EVENT,
    PACKED | ORDER,
    PACKED | INDIRECT | EVENT | ORDER,
    UINT64_MAX,
};

static void make_memory(struct pair *pair)
{
	int fd = memfd_create("pair", MFD_CLOEXEC);
	struct vh_memory *empty;
	struct vh_region region;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)pair->size), 0);
	pair->host =
	    mmap(NULL, pair->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(pair->host != MAP_FAILED);
	region = (struct vh_region){
	    .guest = GUEST,
	    .size = pair->size,
	    .user = {(uintptr_t)pair->host},
	    .fd = fd,
	};
	assert_int_equal(vh_memory_new(&empty), 0);
	assert_int_equal(vh_memory_add(empty, &region, NULL, &pair->memory), 0);
	vh_memory_unref(empty);
	close(fd);
}

static void start_device(struct pair *pair, uint32_t base)
{
	VH_OPTS(vh_virtqueue_opts, opts);
	opts.num = pair->num;
	opts.features = pair->features;
	opts.base = base;
	vh_driver_queue_addresses(pair->driver, &opts.descriptors,
				  &opts.available, &opts.used);
	assert_int_equal(
	    vh_virtqueue_new(&opts, pair->memory, NULL, &pair->device), 0);
}

void pair_open(struct pair *pair, uint32_t num, uint64_t features,
	       size_t data_size)
{
	size_t ring = vh_driver_queue_size(num, features, PAIR_TABLE_ENTRIES);

	VH_OPTS(vh_driver_queue_opts, opts);
	memset(pair, 0, sizeof(*pair));
	pair->num = num;
	pair->features = features;
	ring = (ring + 63) / 64 * 64;
	pair->size = (ring + data_size + 4095) / 4096 * 4096;
	make_memory(pair);
	pair->data = pair->host + ring;
	opts.num = num;
	opts.features = features;
	opts.ring = pair->host;
	opts.ring_at = GUEST;
	opts.table_entries = PAIR_TABLE_ENTRIES;
	opts.memory = pair->memory;
	opts.base = 65000;
	assert_int_equal(vh_driver_queue_new(&opts, NULL, &pair->driver), 0);
	start_device(pair, vh_driver_queue_base(pair->driver));
}

void pair_close(struct pair *pair)
{
	vh_virtqueue_free(pair->device);
	vh_driver_queue_free(pair->driver);
	vh_memory_unref(pair->memory);
	munmap(pair->host, pair->size);
}

void pair_restart_device(struct pair *pair)
{
	uint32_t base = vh_driver_queue_base(pair->driver);

	assert_int_equal(vh_virtqueue_inflight(pair->device), 0);
	assert_int_equal(vh_virtqueue_base(pair->device), base);
	vh_virtqueue_free(pair->device);
	start_device(pair, base);
}

char *pair_device_data(const struct pair *pair)
{
	char *host = vh_memory_at(pair->memory, GUEST, pair->size);

	assert_non_null(host);
	return host + (pair->data - pair->host);
}
