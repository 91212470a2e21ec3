/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Device types and what their feature bits are called. */
#ifndef TOOLS_CTL_NAMES_H
#define TOOLS_CTL_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#define DEVICE_UNKNOWN 0u

/* "blk" for 2; NULL for what isn't known. Static. */
const char *device_name(uint32_t id);
/* The converse; DEVICE_UNKNOWN if there is none. */
uint32_t device_id(const char *name);
/* All names, NULL at the end. */
const char *const *device_names(void);

/* A name of a feature of a device type; NULL: none that is known. Static. */
const char *feature_name(uint32_t device, unsigned int bit);
/* Of the interface to the kernel (VH_BACKEND_F_...). */
const char *backend_feature_name(unsigned int bit);

#endif
