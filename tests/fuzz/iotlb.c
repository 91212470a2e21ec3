/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Changes IOTLBs and the guest memory under them as the input says, five bytes
 * a change, beside a model that is too simple to be wrong. Where the two
 * differ, it aborts. Some IOTLBs are kept, and must stay as they are.
 */
#include <iotlb_model.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEPT 4

static int file = -1;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *words)
{
	if (!words)
		return;
	fprintf(stderr, "%s\n", words);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct iotlb_model now, kept[KEPT];
	unsigned int keep = 0;

	if (file < 0) {
		file = memfd_create("fuzz", MFD_CLOEXEC);
		if (file < 0 || ftruncate(file, MODEL_FILE) < 0)
			check("no file to map");
	}
	model_init(&now);
	for (; size >= MODEL_STEP_BYTES; size -= MODEL_STEP_BYTES) {
		check(model_step(&now, file, data));
		if (data[0] & 0x40 && keep < KEPT)
			model_keep(&kept[keep++], &now);
		data += MODEL_STEP_BYTES;
	}
	model_free(&now);
	for (unsigned int i = 0; i < keep; i++) {
		check(model_compare(&kept[i]));
		model_free(&kept[i]);
	}
	return 0;
}
