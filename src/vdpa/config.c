/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The config space. */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vdpa.h"

int vdpa_get_config_size(struct vh_backend *b, uint32_t *ret)
{
	struct vdpa *v = vdpa_of(b);

	if (!v->knows_config_size)
		return vhi_fault(&b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
				 NULL,
				 "this kernel doesn't tell the size of "
				 "the config space");
	*ret = v->config_size;
	return 0;
}

/* The kernel's argument for a part of the config space, or NULL with words. */
static struct vhi_vdpa_config *make(struct vdpa *v, uint32_t offset,
				    uint32_t size, int *error)
{
	struct vhi_vdpa_config *config;

	if (size == 0 || size > UINT16_MAX ||
	    (v->knows_config_size &&
	     !vhi_range_inside(offset, size, 0, v->config_size))) {
		*error =
		    vhi_fault(&v->backend.fault, VH_FAULT_CONFIG, -EINVAL, NULL,
			      "%" PRIu32 " bytes at %" PRIu32
			      " of a config space of %" PRIu32,
			      size, offset, v->config_size);
		return NULL;
	}
	config = calloc(1, sizeof(*config) + size);
	if (!config) {
		*error =
		    vhi_fault(&v->backend.fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
			      "no memory for %" PRIu32 " bytes", size);
		return NULL;
	}
	config->offset = offset;
	config->size = size;
	return config;
}

int vdpa_get_config(struct vh_backend *b, uint32_t offset, void *buffer,
		    uint32_t size)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_vdpa_config *config;
	int r = 0;

	config = make(v, offset, size, &r);
	if (!config)
		return r;
	r = vhi_node_call(&v->node, VHI_VDPA_GET_CONFIG, config);
	if (r >= 0)
		memcpy(buffer, config->bytes, size);
	free(config);
	return r < 0 ? r : 0;
}

int vdpa_set_config(struct vh_backend *b, uint32_t offset, const void *buffer,
		    uint32_t size, uint32_t by)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_vdpa_config *config;
	int r = 0;

	(void)by;
	config = make(v, offset, size, &r);
	if (!config)
		return r;
	memcpy(config->bytes, buffer, size);
	r = vhi_node_call(&v->node, VHI_VDPA_SET_CONFIG, config);
	free(config);
	return r < 0 ? r : 0;
}
