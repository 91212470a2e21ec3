/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A prime period, so that an offset wrong by a page or a block shows. */
unsigned char byte_at(uint64_t offset)
{
	return (unsigned char)(offset % 251);
}

int file_of(uint64_t size)
{
	int fd = memfd_create("libvhost-test", MFD_CLOEXEC);
	unsigned char *bytes = malloc(size ? size : 1);

	assert_true(fd >= 0);
	assert_non_null(bytes);
	for (uint64_t i = 0; i < size; i++)
		bytes[i] = byte_at(i);
	assert_int_equal(write(fd, bytes, size), size);
	free(bytes);
	return fd;
}

struct vh_region region_of(vh_gpa guest, uint64_t size, uint64_t user,
			   uint64_t fd_offset, int fd)
{
	return (struct vh_region){
	    .guest = guest,
	    .size = size,
	    .user.raw = user,
	    .fd_offset = fd_offset,
	    .fd = fd,
	};
}

struct vh_memory *empty_map(void)
{
	struct vh_memory *memory = NULL;

	assert_int_equal(vh_memory_new(&memory), 0);
	assert_non_null(memory);
	return memory;
}

void must_add(struct vh_memory **memory, const struct vh_region *region)
{
	struct vh_fault fault = {.text = ""};
	struct vh_memory *next = NULL;
	int err = vh_memory_add(*memory, region, &fault, &next);

	if (err != 0)
		fail_msg("%d: %s", err, fault.text);
	vh_memory_unref(*memory);
	*memory = next;
}

void must_remove(struct vh_memory **memory, const struct vh_region *region)
{
	struct vh_fault fault = {.text = ""};
	struct vh_memory *next = NULL;
	int err = vh_memory_remove(*memory, region, &fault, &next);

	if (err != 0)
		fail_msg("%d: %s", err, fault.text);
	vh_memory_unref(*memory);
	*memory = next;
}

void must_update(struct vh_memory **iotlb, vh_gpa iova, uint64_t size,
		 vh_gpa guest, uint32_t access)
{
	struct vh_iotlb_entry entry = {iova, size, guest, access};
	struct vh_fault fault = {.text = ""};
	struct vh_memory *next = NULL;
	int err = vh_iotlb_update(*iotlb, &entry, &fault, &next);

	if (err != 0)
		fail_msg("%d: %s", err, fault.text);
	vh_memory_unref(*iotlb);
	*iotlb = next;
}

void must_invalidate(struct vh_memory **iotlb, vh_gpa iova, uint64_t size)
{
	struct vh_fault fault = {.text = ""};
	struct vh_memory *next = NULL;
	int err = vh_iotlb_invalidate(*iotlb, iova, size, &fault, &next);

	if (err != 0)
		fail_msg("%d: %s", err, fault.text);
	vh_memory_unref(*iotlb);
	*iotlb = next;
}

void refuses_add(const struct vh_memory *memory, const struct vh_region *region,
		 int error, uint32_t code, const char *words)
{
	struct vh_memory *untouched = (struct vh_memory *)&error, *next;
	unsigned int count = vh_memory_count(memory);
	struct vh_fault fault = {0};

	next = untouched;
	assert_int_equal(vh_memory_add(memory, region, &fault, &next), error);
	assert_ptr_equal(next, untouched);
	assert_int_equal(vh_memory_count(memory), count);
	assert_int_equal(fault.error, error);
	assert_int_equal(fault.code, code);
	assert_int_equal(fault.queue, VH_FAULT_NO_QUEUE);
	assert_non_null(fault.section);
	if (!strstr(fault.text, words))
		fail_msg("no \"%s\" in \"%s\"", words, fault.text);
	assert_int_equal(vh_memory_add(memory, region, NULL, &next), error);
	assert_ptr_equal(next, untouched);
}

static bool parse_span(const char *line, struct span *span)
{
	span->name[0] = '\0';
	return sscanf(line,
		      "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %63[^\n]",
		      &span->start, &span->end, span->name) >= 2;
}

bool find_span(const void *address, struct span *ret_span)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	bool found = false;
	struct span span;
	char line[512];

	assert_non_null(maps);
	while (!found && fgets(line, sizeof(line), maps)) {
		assert_true(parse_span(line, &span));
		found = (uintptr_t)address >= span.start &&
			(uintptr_t)address < span.end;
	}
	fclose(maps);
	if (found)
		*ret_span = span;
	return found;
}
