/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What vDPA has beyond the operations that all back-ends have. */
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vdpa.h"

/* mmap()'s errno for a device without doorbells; no name in <errno.h>. */
#define KERNEL_ENOTSUPP 524

int vh_vdpa_get_device_id(struct vh_backend *backend, uint32_t *ret_id)
{
	int r = vdpa_check(backend);

	if (r >= 0)
		*ret_id = vdpa_of(backend)->device_id;
	return r;
}

int vh_vdpa_get_max_vring_num(struct vh_backend *backend, uint32_t *ret_num)
{
	int r = vdpa_check(backend);

	if (r >= 0)
		*ret_num = vdpa_of(backend)->max_num;
	return r;
}

int vh_vdpa_get_iova_range(struct vh_backend *backend, vh_gpa *ret_first,
			   vh_gpa *ret_last)
{
	int r = vdpa_check(backend);

	if (r < 0)
		return r;
	*ret_first = vdpa_of(backend)->rules.first;
	*ret_last = vdpa_of(backend)->rules.last;
	return 0;
}

int vh_vdpa_get_group_num(struct vh_backend *backend, uint32_t *ret_groups)
{
	int r = vdpa_check(backend);

	if (r >= 0)
		*ret_groups = vdpa_of(backend)->num_groups;
	return r;
}

int vh_vdpa_get_as_num(struct vh_backend *backend, uint32_t *ret_spaces)
{
	int r = vdpa_check(backend);

	if (r >= 0)
		*ret_spaces = vdpa_of(backend)->num_spaces;
	return r;
}

static int check_vring(struct vh_backend *b, uint32_t queue)
{
	int r = vdpa_check(b);

	if (r >= 0)
		r = vdpa_check_queue(vdpa_of(b), queue);
	if (r >= 0)
		r = vhi_node_needs_owner(&vdpa_of(b)->node);
	return r;
}

int vh_vdpa_get_vring_size(struct vh_backend *backend, uint32_t queue,
			   uint32_t *ret_num)
{
	struct vdpa *v = vdpa_of(backend);
	uint32_t num = 0;
	int r = check_vring(backend, queue);

	if (r < 0)
		return r;
	r = vhi_ring_get(&v->node, VHI_VDPA_GET_VRING_SIZE, queue, &num);
	/* One version of Linux had it under another number. */
	if (r == -EOPNOTSUPP) {
		vhi_fault_clear(&backend->fault);
		r = vhi_ring_get(&v->node, VHI_VDPA_GET_VRING_SIZE_OLD, queue,
				 &num);
	}
	if (r < 0)
		return r;
	if (num > v->max_num)
		return vhi_node_nonsense(&v->node, VHI_VDPA_GET_VRING_SIZE,
					 "size", num);
	*ret_num = num;
	return 0;
}

static int get_group(struct vh_backend *b, enum vhi_call call, uint32_t queue,
		     uint32_t *ret)
{
	struct vdpa *v = vdpa_of(b);
	uint32_t group = 0;
	int r = check_vring(b, queue);

	if (r >= 0)
		r = vhi_ring_get(&v->node, call, queue, &group);
	if (r < 0)
		return r;
	if (group >= v->num_groups)
		return vhi_node_nonsense(&v->node, call, "group", group);
	*ret = group;
	return 0;
}

int vh_vdpa_get_vring_group(struct vh_backend *backend, uint32_t queue,
			    uint32_t *ret_group)
{
	return get_group(backend, VHI_VDPA_GET_VRING_GROUP, queue, ret_group);
}

int vh_vdpa_get_vring_desc_group(struct vh_backend *backend, uint32_t queue,
				 uint32_t *ret_group)
{
	return get_group(backend, VHI_VDPA_GET_VRING_DESC_GROUP, queue,
			 ret_group);
}

int vh_vdpa_set_group_asid(struct vh_backend *backend, uint32_t group,
			   uint32_t asid)
{
	struct vdpa *v = vdpa_of(backend);
	struct vhi_vring_state arg = {group, asid};
	int r = vdpa_check(backend);

	if (r >= 0)
		r = vhi_node_needs_owner(&v->node);
	if (r < 0)
		return r;
	if (group >= v->num_groups || asid >= v->num_spaces)
		return vhi_fault(&backend->fault, VH_FAULT_CALLER, -EINVAL,
				 NULL,
				 "group %" PRIu32 " of %" PRIu32
				 ", address space %" PRIu32 " of %" PRIu32,
				 group, v->num_groups, asid, v->num_spaces);
	r = vhi_node_call(&v->node, VHI_VDPA_SET_GROUP_ASID, &arg);
	if (r < 0)
		return r;
	v->spaces_used |= asid != 0;
	return 0;
}

int vh_vdpa_suspend(struct vh_backend *backend)
{
	int r = vdpa_check(backend);

	return r < 0 ? r : vdpa_suspend(vdpa_of(backend));
}

int vh_vdpa_resume(struct vh_backend *backend)
{
	int r = vdpa_check(backend);

	return r < 0 ? r : vdpa_resume(vdpa_of(backend));
}

int vh_vdpa_set_config_call(struct vh_backend *backend, int fd)
{
	struct vdpa *v = vdpa_of(backend);
	int copy = -1;
	int old;
	int r = vdpa_check(backend);

	if (r < 0)
		return r;
	if (fd >= 0) {
		copy = vhi_fd_dup(fd);
		if (copy < 0)
			return vhi_fault(&backend->fault, VH_FAULT_SYSTEM, copy,
					 NULL, "descriptor %d", fd);
	}
	old = v->config_call;
	v->config_call = copy;
	r = vdpa_send_config_call(v);
	if (r < 0) {
		v->config_call = old;
		old = copy;
	}
	vhi_fd_close(&old);
	return r;
}

int vh_vdpa_get_doorbell(struct vh_backend *backend, uint32_t queue,
			 volatile void **ret_page)
{
	struct vdpa *v = vdpa_of(backend);
	long size = sysconf(_SC_PAGESIZE);
	void *page;
	int error;
	int r = vdpa_check(backend);

	if (r >= 0)
		r = vdpa_check_queue(v, queue);
	if (r < 0)
		return r;
	if (!v->queues[queue].doorbell) {
		page = mmap(NULL, (size_t)size, PROT_WRITE, MAP_SHARED,
			    v->node.fd, (off_t)queue * size);
		error = page == MAP_FAILED ? errno : 0;
		if (error == KERNEL_ENOTSUPP || error == EINVAL ||
		    error == ENODEV)
			return vhi_fault(
			    &backend->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
			    NULL, "queue %" PRIu32 " has no doorbell", queue);
		if (error)
			return vhi_fault(
			    &backend->fault, VH_FAULT_SYSTEM, -error, NULL,
			    "mmap() of a doorbell: %s", strerrordesc_np(error));
		v->queues[queue].doorbell = page;
	}
	*ret_page = v->queues[queue].doorbell;
	return 0;
}
