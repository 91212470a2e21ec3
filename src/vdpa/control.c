/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a handle, its features and its status. */
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vdpa.h"

#define MAX_RING_SIZE	32768
#define MAX_CONFIG_SIZE (1u << 20)
#define MAX_QUEUES	65536
#define MAX_SLOTS	509

/* What this library can make use of. */
#define KNOWN_BACKEND_FEATURES                                                 \
	(VH_BACKEND_F_IOTLB_MSG_V2 | VH_BACKEND_F_IOTLB_BATCH |                \
	 VH_BACKEND_F_IOTLB_ASID | VH_BACKEND_F_SUSPEND |                      \
	 VH_BACKEND_F_RESUME | VH_BACKEND_F_ENABLE_AFTER_DRIVER_OK |           \
	 VH_BACKEND_F_DESC_ASID | VH_BACKEND_F_IOTLB_PERSIST)

static int get_backend_features(struct vh_backend *b, uint64_t *ret)
{
	return vhi_node_get_backend_features(&vdpa_of(b)->node, ret);
}

static int set_backend_features(struct vh_backend *b, uint64_t features)
{
	struct vdpa *v = vdpa_of(b);
	int r = vhi_node_set_backend_features(&v->node, features);

	if (r >= 0)
		v->chose_features = true;
	return r;
}

static int choose_backend_features(struct vdpa *v)
{
	uint64_t features = 0;
	int r = vhi_node_get_backend_features(&v->node, &features);

	if (r == -EOPNOTSUPP) {
		vhi_fault_clear(&v->backend.fault);
		return 0;
	}
	if (r < 0)
		return r;
	features &= KNOWN_BACKEND_FEATURES;
	if (!(features & VH_BACKEND_F_IOTLB_ASID))
		features &= ~VH_BACKEND_F_DESC_ASID;
	return vhi_node_set_backend_features(&v->node, features);
}

int vdpa_send_config_call(struct vdpa *v)
{
	int fd = v->config_call >= 0 ? v->config_call : v->config_event;
	int r = vhi_node_call(&v->node, VHI_VDPA_SET_CONFIG_CALL, &fd);

	return r < 0 ? r : 0;
}

static int set_owner(struct vh_backend *b)
{
	struct vdpa *v = vdpa_of(b);
	int r;

	if (v->agreed)
		return 0;
	r = vhi_node_set_owner(&v->node);
	if (r >= 0 && !v->chose_features)
		r = choose_backend_features(v);
	if (r >= 0) {
		r = vdpa_send_config_call(v);
		/* A device whose config space never changes. */
		if (r == -EOPNOTSUPP) {
			vhi_fault_clear(&b->fault);
			r = 0;
		}
	}
	v->agreed = r >= 0;
	return r;
}

static int get_features(struct vh_backend *b, uint64_t *ret)
{
	return vhi_node_get_features(&vdpa_of(b)->node, ret);
}

static int set_features(struct vh_backend *b, uint64_t features)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_first first = {.fault = &b->fault};
	bool turns = (features ^ v->features) & VH_F_ACCESS_PLATFORM;
	uint64_t offered, all;
	int r = vhi_node_check_features(&v->node, features, &offered);

	if (r >= 0 && turns)
		r = vdpa_check_no_batch(v);
	if (r < 0)
		return r;
	if (v->status & VDPA_S_FEATURES_OK)
		return vhi_fault(&b->fault, VH_FAULT_CALLER, -EBUSY, NULL,
				 "features are settled since FEATURES_OK");
	/* To the device, what vhost-vdpa maps is always an IOMMU. */
	all = features | (offered & VH_F_ACCESS_PLATFORM);
	r = vhi_node_call(&v->node, VHI_SET_FEATURES, &all);
	if (r < 0)
		return r;
	v->features = features;
	if (!turns && !v->stale)
		return 0;
	vhi_first_note(&first, vdpa_drop_entries(v, NULL));
	vhi_first_note(&first, vdpa_remap(v));
	return vhi_first_end(&first);
}

static int get_queue_num(struct vh_backend *b, uint32_t *ret)
{
	*ret = vdpa_of(b)->num_queues;
	return 0;
}

static int get_max_mem_slots(struct vh_backend *b, uint32_t *ret)
{
	*ret = vdpa_of(b)->rules.max;
	return 0;
}

static int get_status(struct vh_backend *b, uint8_t *ret)
{
	uint8_t status = 0;
	int r = vhi_node_call(&vdpa_of(b)->node, VHI_VDPA_GET_STATUS, &status);

	if (r < 0)
		return r;
	*ret = status;
	return 0;
}

static int send_status(struct vdpa *v, uint8_t status)
{
	int r = vhi_node_call(&v->node, VHI_VDPA_SET_STATUS, &status);

	return r < 0 ? r : 0;
}

/* A reset takes the callbacks away with the rest. */
static void send_calls(struct vdpa *v, struct vhi_first *first)
{
	int r;

	for (uint32_t i = 0; i < v->num_queues; i++)
		if (v->queues[i].call >= 0)
			vhi_first_note(
			    first, vhi_ring_set_fd(&v->node, VHI_SET_VRING_CALL,
						   i, v->queues[i].call));
	r = vdpa_send_config_call(v);
	if (r != -EOPNOTSUPP)
		vhi_first_note(first, r);
}

static int reset_device(struct vh_backend *b)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_first first = {.fault = &b->fault};
	bool had_iommu = vdpa_has_iommu(v);
	int r;

	/* The kernel's batch is none of the device's, and would stay. */
	if (v->in_batch)
		vhi_first_note(&first, vdpa_batch(v, v->batch_asid, false));
	r = send_status(v, 0);
	if (r < 0)
		return r;
	v->status = 0;
	v->suspended = false;
	v->spaces_used = false;
	v->features = 0;
	vdpa_forget_vrings(v);
	if (!v->node.owned)
		return 0;
	send_calls(v, &first);
	vhi_first_note(&first, vdpa_drop_entries(v, NULL));
	/* Without PERSIST some devices have lost what was mapped. */
	if (had_iommu || v->stale ||
	    !(v->node.backend_features & VH_BACKEND_F_IOTLB_PERSIST))
		vhi_first_note(&first, vdpa_remap(v));
	return vhi_first_end(&first);
}

static int set_status(struct vh_backend *b, uint8_t status)
{
	struct vdpa *v = vdpa_of(b);
	uint8_t now;
	int r;

	status &= (uint8_t)~VDPA_S_NEEDS_RESET;
	if (status == 0)
		return reset_device(b);
	r = get_status(b, &now);
	if (r >= 0)
		r = send_status(v, status | (now & VDPA_S_NEEDS_RESET));
	if (r < 0)
		return r;
	/* Until the device tells otherwise. */
	v->status = status;
	r = get_status(b, &now);
	if (r < 0)
		return r;
	v->status = now;
	if ((now & status) == status)
		return 0;
	return vhi_fault(&b->fault, VH_FAULT_FEATURES, -EINVAL,
			 "virtio, Device Initialization",
			 "status 0x%02x was refused: the device has 0x%02x",
			 status, now);
}

static int release(struct vh_backend *b)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_first first = {.fault = &b->fault};

	if (!v->node.owned)
		return 0;
	for (uint32_t i = 0; i < v->num_queues; i++)
		vhi_fd_close(&v->queues[i].call);
	vhi_fd_close(&v->config_call);
	vhi_first_note(&first, reset_device(b));
	for (uint32_t i = 0; i < v->num_queues; i++) {
		vhi_first_note(
		    &first,
		    vhi_ring_set_fd(&v->node, VHI_SET_VRING_CALL, i, -1));
		vhi_first_note(&first, vhi_ring_set_fd(
					   &v->node, VHI_SET_VRING_ERR, i, -1));
	}
	vhi_ram_done(&v->ram);
	vhi_first_note(&first, vdpa_remap(v));
	return vhi_first_end(&first);
}

static int fd(struct vh_backend *b)
{
	return vdpa_of(b)->config_event;
}

static int dispatch(struct vh_backend *b)
{
	if (vhi_eventfd_drain(vdpa_of(b)->config_event))
		vhi_backend_config_changed(b);
	return 0;
}

static void vdpa_free(struct vh_backend *b)
{
	struct vdpa *v = vdpa_of(b);

	/*
	 * The kernel resets a device when its last descriptor is closed. The
	 * program may have another one, and guest memory goes now.
	 */
	if (v->status)
		(void)send_status(v, 0);
	vhi_node_close(&v->node);
	for (uint32_t i = 0; i < v->num_queues; i++) {
		vhi_fd_close(&v->vrings[i].kick);
		vhi_fd_close(&v->queues[i].call);
		if (v->queues[i].doorbell)
			munmap(v->queues[i].doorbell,
			       (size_t)sysconf(_SC_PAGESIZE));
	}
	vhi_fd_close(&v->config_event);
	vhi_fd_close(&v->config_call);
	vhi_ram_done(&v->ram);
	free(v->entries);
	free(v->vrings);
	free(v->queues);
	vhi_backend_done(b);
	free(v);
}

static const struct vhi_backend_ops ops = {
    .free = vdpa_free,
    .set_owner = set_owner,
    .release = release,
    .get_features = get_features,
    .set_features = set_features,
    .get_queue_num = get_queue_num,
    .get_max_mem_slots = get_max_mem_slots,
    .set_mem_table = vdpa_set_mem_table,
    .add_region = vdpa_add_region,
    .remove_region = vdpa_remove_region,
    .set_vring_num = vdpa_set_vring_num,
    .set_vring_addr = vdpa_set_vring_addr,
    .set_vring_base = vdpa_set_vring_base,
    .get_vring_base = vdpa_get_vring_base,
    .set_vring_kick = vdpa_set_vring_kick,
    .set_vring_call = vdpa_set_vring_call,
    .set_vring_err = vdpa_set_vring_err,
    .set_vring_enable = vdpa_set_vring_enable,
    .get_config_size = vdpa_get_config_size,
    .get_config = vdpa_get_config,
    .set_config = vdpa_set_config,
    .get_status = get_status,
    .set_status = set_status,
    .reset_device = reset_device,
    .iotlb_update = vdpa_iotlb_update,
    .iotlb_invalidate = vdpa_iotlb_invalidate,
    .get_backend_features = get_backend_features,
    .set_backend_features = set_backend_features,
    .fd = fd,
    .dispatch = dispatch,
};

int vdpa_check(struct vh_backend *b)
{
	vhi_fault_clear(&b->fault);
	if (b->ops == &ops)
		return 0;
	return vhi_fault(&b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP, NULL,
			 "this back-end isn't a vDPA device");
}

/* A number that older kernels don't tell, which is then what *ret was. */
static int ask(struct vdpa *v, enum vhi_call call, uint32_t min, uint32_t max,
	       uint32_t *ret)
{
	uint32_t value = 0;
	int r = vhi_node_call(&v->node, call, &value);

	if (r == -EOPNOTSUPP) {
		vhi_fault_clear(&v->backend.fault);
		return 0;
	}
	if (r < 0)
		return r;
	if (value < min || value > max)
		return vhi_node_nonsense(&v->node, call, "number", value);
	*ret = value;
	return 1;
}

static int ask_range(struct vdpa *v)
{
	struct vhi_vdpa_range range = {0, UINT64_MAX};
	int r = vhi_node_call(&v->node, VHI_VDPA_GET_IOVA_RANGE, &range);

	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	if (range.first > range.last)
		return vhi_node_nonsense(&v->node, VHI_VDPA_GET_IOVA_RANGE,
					 "first address", range.first);
	v->rules = (struct vhi_ram_rules){
	    .max = MAX_SLOTS,
	    .align = (uint64_t)sysconf(_SC_PAGESIZE),
	    .shared = true,
	    .first = range.first,
	    .last = range.last,
	};
	return 0;
}

static int ask_ring_size(struct vdpa *v)
{
	uint16_t num = 0;
	int r = vhi_node_call(&v->node, VHI_VDPA_GET_VRING_NUM, &num);

	if (r < 0)
		return r;
	v->max_num = num;
	if (v->max_num == 0 || v->max_num > MAX_RING_SIZE)
		return vhi_node_nonsense(&v->node, VHI_VDPA_GET_VRING_NUM,
					 "ring size", v->max_num);
	return 0;
}

/* All that a device says of itself, none of which changes. */
static int ask_all(struct vdpa *v, uint32_t num_queues)
{
	int r = vhi_node_call(&v->node, VHI_VDPA_GET_DEVICE_ID, &v->device_id);

	if (r < 0)
		return vhi_fault(&v->backend.fault, VH_FAULT_CALLER, -ENOTTY,
				 NULL, "this isn't a vhost-vdpa device");
	v->num_queues = 0;
	v->num_groups = v->num_spaces = 1;
	r = ask_range(v);
	if (r >= 0)
		r = ask_ring_size(v);
	if (r >= 0)
		r = ask(v, VHI_VDPA_GET_CONFIG_SIZE, 0, MAX_CONFIG_SIZE,
			&v->config_size);
	v->knows_config_size = r > 0;
	if (r >= 0)
		r = ask(v, VHI_VDPA_GET_GROUP_NUM, 1, MAX_QUEUES,
			&v->num_groups);
	if (r >= 0)
		r = ask(v, VHI_VDPA_GET_AS_NUM, 1, MAX_QUEUES, &v->num_spaces);
	if (r >= 0)
		r = ask(v, VHI_VDPA_GET_VQS_COUNT, 1, MAX_QUEUES, &num_queues);
	if (r < 0)
		return r;
	if (num_queues == 0 || num_queues > MAX_QUEUES)
		return vhi_fault(&v->backend.fault, VH_FAULT_CALLER, -EINVAL,
				 NULL,
				 "this kernel doesn't tell how many "
				 "queues there are: set num_queues");
	v->num_queues = num_queues;
	return 0;
}

static int make_queues(struct vdpa *v)
{
	uint32_t num = v->num_queues;

	v->num_queues = 0;
	v->vrings = vhi_rings_new(num);
	v->queues = calloc(num, sizeof(*v->queues));
	v->config_event = vhi_eventfd();
	if (!v->vrings || !v->queues)
		return vhi_fault(&v->backend.fault, VH_FAULT_SYSTEM, -ENOMEM,
				 NULL, "no memory for %" PRIu32 " rings", num);
	if (v->config_event < 0)
		return vhi_fault(&v->backend.fault, VH_FAULT_SYSTEM,
				 v->config_event, NULL, "no eventfd");
	for (uint32_t i = 0; i < num; i++)
		v->queues[i].call = -1;
	v->num_queues = num;
	return 0;
}

int vh_vdpa_open(const struct vh_vdpa_opts *opts, struct vh_fault *fault,
		 struct vh_backend **ret_backend)
{
	struct vh_vdpa_opts copy;
	struct vdpa *v;
	int r = vhi_node_opts(&copy, sizeof(copy), opts, fault);

	if (r < 0)
		return r;
	v = calloc(1, sizeof(*v));
	if (!v)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a handle");
	vhi_backend_init(&v->backend, &ops,
			 VH_CAP_CONFIG | VH_CAP_STATUS | VH_CAP_RESET |
			     VH_CAP_REGIONS | VH_CAP_IOTLB);
	v->node.fd = v->config_event = v->config_call = -1;
	r = vhi_node_open(&v->node, copy.path, copy.fd, &v->backend.fault);
	if (r >= 0)
		r = ask_all(v, copy.num_queues);
	if (r >= 0)
		r = make_queues(v);
	if (r < 0) {
		if (fault)
			*fault = v->backend.fault;
		v->num_queues = v->vrings && v->queues ? v->num_queues : 0;
		vdpa_free(&v->backend);
		return r;
	}
	vhi_fault_clear(&v->backend.fault);
	*ret_backend = &v->backend;
	return 0;
}
