/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Config spaces, by device type. */
#ifndef TOOLS_CTL_CONFIG_H
#define TOOLS_CTL_CONFIG_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

/* How large the config space of a device type can be; 0: it has none. */
uint32_t config_size(uint32_t device);

/*
 * The fields that are there, as far as size bytes and the offered features
 * go. NULL: the layout isn't known, or there are none.
 */
struct json_object *config_fields(uint32_t device, uint64_t features,
				  const uint8_t *bytes, uint32_t size);

#endif
