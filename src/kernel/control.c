/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a handle, its owner and its features. */
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel.h"

#define MAX_MEM_REGIONS "/sys/module/vhost/parameters/max_mem_regions"
#define DEFAULT_REGIONS 64
#define PAGE		4096
#define HOST_IS_BIG	(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

static int set_owner(struct vh_backend *b)
{
	return vhi_node_set_owner(&kernel_of(b)->node);
}

static int get_features(struct vh_backend *b, uint64_t *ret)
{
	return vhi_node_get_features(&kernel_of(b)->node, ret);
}

bool kernel_is_active(const struct kernel *k)
{
	for (uint32_t i = 0; i < k->num_queues; i++)
		if (k->vrings[i].active)
			return true;
	return false;
}

static bool is_started(const struct kernel *k)
{
	for (uint32_t i = 0; i < k->num_queues; i++)
		if (k->vrings[i].started)
			return true;
	return false;
}

int kernel_check_features(struct kernel *k, uint64_t features)
{
	uint64_t offered;
	int r = vhi_node_check_features(&k->node, features, &offered);

	if (r < 0)
		return r;
	if ((features ^ k->features) & ~VH_F_LOG_ALL && is_started(k))
		return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EBUSY,
				 NULL,
				 "a ring is started; of the features only "
				 "F_LOG_ALL can change now");
	if (features & VH_F_LOG_ALL && !k->log)
		return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EINVAL,
				 NULL, "F_LOG_ALL, but there is no log yet");
	return 0;
}

void kernel_take_features(struct kernel *k, uint64_t features)
{
	bool moved = (features ^ k->features) & VH_F_ACCESS_PLATFORM;

	k->features = features;
	/* Places are guest addresses no longer, or once more. */
	for (uint32_t i = 0; moved && i < k->num_queues; i++)
		k->vrings[i].placed = false;
}

static int set_features(struct vh_backend *b, uint64_t features)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_features(k, features);

	/* Older drivers keep their IOTLB when the feature goes. */
	if (r >= 0 && kernel_has_iommu(k) && !(features & VH_F_ACCESS_PLATFORM))
		r = kernel_clear_iotlb(k);
	if (r >= 0)
		r = vhi_node_call(&k->node, VHI_SET_FEATURES, &features);
	if (r < 0)
		return r;
	kernel_take_features(k, features);
	return 0;
}

static int get_queue_num(struct vh_backend *b, uint32_t *ret)
{
	*ret = kernel_of(b)->num_queues;
	return 0;
}

static int get_max_mem_slots(struct vh_backend *b, uint32_t *ret)
{
	*ret = kernel_of(b)->rules.max;
	return 0;
}

static int get_backend_features(struct vh_backend *b, uint64_t *ret)
{
	return vhi_node_get_backend_features(&kernel_of(b)->node, ret);
}

static int set_backend_features(struct vh_backend *b, uint64_t features)
{
	return vhi_node_set_backend_features(&kernel_of(b)->node, features);
}

/* Only misses are read, and a driver without them can't be polled at all. */
static int fd(struct vh_backend *b)
{
	if (b->capabilities & VH_CAP_IOTLB)
		return kernel_of(b)->node.fd;
	return vhi_fault(&b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP, NULL,
			 "the driver has nothing to say");
}

static void stop_all(struct kernel *k, struct vhi_first *first)
{
	for (uint32_t i = 0; i < k->num_queues; i++) {
		k->vrings[i].started = false;
		k->vrings[i].enabled = false;
		vhi_first_note(first, kernel_run(k, i));
		k->vrings[i].active = false;
	}
}

/* Queues that were touched: the others are as the driver made them. */
static bool was_used(const struct vhi_vring *vring)
{
	return vring->num || vring->placed || vring->kick >= 0 ||
	       vring->ordered;
}

static void reset_ring(struct kernel *k, uint32_t q, struct vhi_first *first)
{
	struct vhi_vring *vring = &k->vrings[q];

	vhi_first_note(first,
		       vhi_ring_set_fd(&k->node, VHI_SET_VRING_KICK, q, -1));
	vhi_first_note(first, vhi_ring_set(&k->node, VHI_SET_VRING_BASE, q, 0));
	if (vring->ordered)
		vhi_first_note(first,
			       vhi_ring_set(&k->node, VHI_SET_VRING_ENDIAN, q,
					    HOST_IS_BIG));
	vhi_ring_clear(vring);
}

static int reset_device(struct vh_backend *b)
{
	struct kernel *k = kernel_of(b);
	struct vhi_first first = {.fault = &b->fault};
	uint64_t none = 0;

	stop_all(k, &first);
	for (uint32_t i = 0; i < k->num_queues; i++)
		if (was_used(&k->vrings[i]))
			reset_ring(k, i, &first);
	if (kernel_has_iommu(k))
		vhi_first_note(&first, kernel_clear_iotlb(k));
	vhi_first_note(&first,
		       vhi_node_call(&k->node, VHI_SET_FEATURES, &none));
	k->features = 0;
	k->held = false;
	return vhi_first_end(&first);
}

/* What reset_device() leaves, and RESET_OWNER would have ended. */
static void forget(struct kernel *k, struct vhi_first *first)
{
	for (uint32_t i = 0; i < k->num_queues; i++) {
		vhi_first_note(first, vhi_ring_set_fd(
					  &k->node, VHI_SET_VRING_CALL, i, -1));
		vhi_first_note(
		    first, vhi_ring_set_fd(&k->node, VHI_SET_VRING_ERR, i, -1));
	}
	if (k->log)
		vhi_first_note(first, kernel_send_log(k, NULL));
	vhi_first_note(first, kernel_set_log_fd(&k->backend, -1));
	vhi_first_note(first, kernel_set_mem_table(&k->backend, NULL, 0));
}

static int release(struct vh_backend *b)
{
	struct kernel *k = kernel_of(b);
	struct vhi_first first = {.fault = &b->fault};

	if (!k->node.owned)
		return 0;
	vhi_first_note(&first, reset_device(b));
	if (vhi_node_call(&k->node, VHI_RESET_OWNER, NULL) >= 0)
		k->node.owned = false;
	else
		forget(k, &first);
	k->node.backend_features = 0;
	vhi_ram_done(&k->ram);
	vh_dirty_log_unref(k->log);
	k->log = NULL;
	return vhi_first_end(&first);
}

static const struct vhi_backend_ops ops = {
    .free = kernel_free,
    .set_owner = set_owner,
    .release = release,
    .get_features = get_features,
    .set_features = set_features,
    .get_queue_num = get_queue_num,
    .get_max_mem_slots = get_max_mem_slots,
    .set_mem_table = kernel_set_mem_table,
    .add_region = kernel_add_region,
    .remove_region = kernel_remove_region,
    .set_vring_num = kernel_set_vring_num,
    .set_vring_addr = kernel_set_vring_addr,
    .set_vring_base = kernel_set_vring_base,
    .get_vring_base = kernel_get_vring_base,
    .set_vring_kick = kernel_set_vring_kick,
    .set_vring_call = kernel_set_vring_call,
    .set_vring_err = kernel_set_vring_err,
    .set_vring_enable = kernel_set_vring_enable,
    .reset_device = reset_device,
    .set_log_base = kernel_set_log_base,
    .set_log_fd = kernel_set_log_fd,
    .iotlb_update = kernel_iotlb_update,
    .iotlb_invalidate = kernel_iotlb_invalidate,
    .get_backend_features = get_backend_features,
    .set_backend_features = set_backend_features,
    .set_vring_endian = kernel_set_vring_endian,
    .fd = fd,
    .dispatch = kernel_dispatch,
};

int kernel_check(struct vh_backend *b, const struct kernel_kind *kind)
{
	vhi_fault_clear(&b->fault);
	if (b->ops == &ops && (!kind || kernel_of(b)->kind == kind))
		return 0;
	return vhi_fault(&b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP, NULL,
			 "this back-end isn't %s",
			 kind ? kind->name : "a vhost driver of the kernel");
}

static uint32_t read_max_regions(void)
{
	char line[16] = "";
	unsigned long value;
	FILE *file = fopen(MAX_MEM_REGIONS, "re");

	if (!file)
		return DEFAULT_REGIONS;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	value = strtoul(line, NULL, 10);
	/* The parameter has 16 bits. */
	return value > 0 && value <= UINT16_MAX ? (uint32_t)value
						: DEFAULT_REGIONS;
}

int kernel_wrong_kind(struct kernel *k)
{
	return vhi_fault(k->node.fault, VH_FAULT_CALLER, -ENOTTY, NULL,
			 "this isn't a %s device", k->kind->name);
}

/* Frees a handle that came to nothing, and keeps the words. */
static int give_up(struct kernel *k, int error, struct vh_fault *fault)
{
	if (fault)
		*fault = k->backend.fault;
	kernel_free(&k->backend);
	return error;
}

int kernel_open(const char *path, int fd_, const struct kernel_kind *kind,
		struct vh_fault *fault, struct kernel **ret)
{
	struct kernel *k = calloc(1, sizeof(*k));
	uint64_t features = 0;
	int r;

	if (!k)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a handle");
	k->kind = kind;
	vhi_backend_init(&k->backend, &ops, 0);
	k->node.fd = k->taps[0] = k->taps[1] = -1;
	r = vhi_node_open(&k->node, path, fd_, &k->backend.fault);
	if (r >= 0 && vhi_node_get_features(&k->node, &features) < 0)
		r = kernel_wrong_kind(k);
	if (r >= 0)
		r = kind->probe(k, features);
	if (r < 0)
		return give_up(k, r, fault);
	k->backend.capabilities =
	    VH_CAP_RESET | VH_CAP_REGIONS | VH_CAP_LOG |
	    (features & VH_F_ACCESS_PLATFORM ? VH_CAP_IOTLB : 0);
	*ret = k;
	return 0;
}

int kernel_finish(struct kernel *k, int error, uint32_t num_queues,
		  struct vh_fault *fault, struct vh_backend **ret)
{
	if (error < 0)
		return give_up(k, error, fault);
	k->rules = (struct vhi_ram_rules){
	    .max = read_max_regions(), .align = PAGE, .last = UINT64_MAX};
	k->vrings = vhi_rings_new(num_queues);
	if (!k->vrings)
		return give_up(
		    k,
		    vhi_fault(&k->backend.fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
			      "no memory for %" PRIu32 " rings", num_queues),
		    fault);
	k->num_queues = num_queues;
	*ret = &k->backend;
	return 0;
}

void kernel_free(struct vh_backend *b)
{
	struct kernel *k = kernel_of(b);
	struct vhi_first first = {.fault = &b->fault};

	stop_all(k, &first);
	for (uint32_t i = 0; i < k->num_queues; i++)
		vhi_fd_close(&k->vrings[i].kick);
	vhi_fd_close(&k->taps[0]);
	vhi_fd_close(&k->taps[1]);
	/* The driver lets go of guest memory when the last descriptor goes. */
	vhi_node_close(&k->node);
	kernel_let_go(k);
	vhi_ram_done(&k->ram);
	vh_dirty_log_unref(k->log);
	free(k->vrings);
	vhi_backend_done(&k->backend);
	free(k);
}
