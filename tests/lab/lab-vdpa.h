/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#ifndef TESTS_LAB_VDPA_H
#define TESTS_LAB_VDPA_H

#include "vmm.h"

/* The status in the steps of virtio, "Device Initialization". */
#define STATUS_DRIVER	   0x03
#define STATUS_FEATURES_OK 0x0b
#define STATUS_DRIVER_OK   0x0f

/* Opens the device, which must be of that kind. */
struct vmm *vdpa_open(const char *node, uint32_t device_id);

/* From a reset to FEATURES_OK. */
void vdpa_negotiate(struct vmm *vmm, uint64_t features);

/* DRIVER_OK. */
void vdpa_start(struct vmm *vmm);

void vdpa_block(const char *node, const char *file);
void vdpa_network(const char *node);

#endif
