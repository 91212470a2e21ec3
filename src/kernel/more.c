/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the drivers can do beyond the operations that all back-ends have. */
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "kernel.h"

#define MAX_FEATURE_WORDS 64

static int check_vring(struct vh_backend *b, uint32_t queue)
{
	int r = kernel_check(b, NULL);

	if (r >= 0)
		r = kernel_check_queue(kernel_of(b), queue);
	if (r >= 0)
		r = vhi_node_needs_owner(&kernel_of(b)->node);
	return r;
}

int vh_kernel_set_vring_busyloop_timeout(struct vh_backend *backend,
					 uint32_t queue, uint32_t timeout_us)
{
	int r = check_vring(backend, queue);

	if (r < 0)
		return r;
	return vhi_ring_set(&kernel_of(backend)->node,
			    VHI_SET_VRING_BUSYLOOP_TIMEOUT, queue, timeout_us);
}

int vh_kernel_get_vring_busyloop_timeout(struct vh_backend *backend,
					 uint32_t queue,
					 uint32_t *ret_timeout_us)
{
	int r = check_vring(backend, queue);

	if (r < 0)
		return r;
	return vhi_ring_get(&kernel_of(backend)->node,
			    VHI_GET_VRING_BUSYLOOP_TIMEOUT, queue,
			    ret_timeout_us);
}

int vh_kernel_get_vring_endian(struct vh_backend *backend, uint32_t queue,
			       bool *ret_big_endian)
{
	struct kernel *k = kernel_of(backend);
	uint32_t value = 0;
	int r = check_vring(backend, queue);

	if (r >= 0)
		r = vhi_ring_get(&k->node, VHI_GET_VRING_ENDIAN, queue, &value);
	if (r < 0)
		return r;
	if (value > 1)
		return vhi_node_nonsense(&k->node, VHI_GET_VRING_ENDIAN,
					 "byte order", value);
	*ret_big_endian = value;
	return 0;
}

static int check_worker(struct vh_backend *b)
{
	int r = kernel_check(b, NULL);

	return r < 0 ? r : vhi_node_needs_owner(&kernel_of(b)->node);
}

int vh_kernel_new_worker(struct vh_backend *backend, uint32_t *ret_worker)
{
	struct vhi_worker worker = {0};
	int r = check_worker(backend);

	if (r >= 0)
		r = vhi_node_call(&kernel_of(backend)->node, VHI_NEW_WORKER,
				  &worker);
	if (r < 0)
		return r;
	*ret_worker = worker.id;
	return 0;
}

int vh_kernel_free_worker(struct vh_backend *backend, uint32_t worker)
{
	struct vhi_worker arg = {worker};
	int r = check_worker(backend);

	if (r >= 0)
		r = vhi_node_call(&kernel_of(backend)->node, VHI_FREE_WORKER,
				  &arg);
	return r < 0 ? r : 0;
}

int vh_kernel_attach_vring_worker(struct vh_backend *backend, uint32_t queue,
				  uint32_t worker)
{
	int r = check_vring(backend, queue);

	if (r < 0)
		return r;
	return vhi_ring_set(&kernel_of(backend)->node, VHI_ATTACH_VRING_WORKER,
			    queue, worker);
}

int vh_kernel_get_vring_worker(struct vh_backend *backend, uint32_t queue,
			       uint32_t *ret_worker)
{
	int r = check_vring(backend, queue);

	if (r < 0)
		return r;
	return vhi_ring_get(&kernel_of(backend)->node, VHI_GET_VRING_WORKER,
			    queue, ret_worker);
}

struct features {
	uint64_t count;
	uint64_t words[MAX_FEATURE_WORDS];
};

static int check_array(struct vh_backend *b, uint32_t count)
{
	int r = kernel_check(b, NULL);

	if (r < 0)
		return r;
	if (count >= 1 && count <= MAX_FEATURE_WORDS)
		return 0;
	return vhi_fault(&b->fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "%" PRIu32 " words of features, not 1 to %d", count,
			 MAX_FEATURE_WORDS);
}

int vh_kernel_get_features_array(struct vh_backend *backend,
				 uint64_t features[], uint32_t count)
{
	struct features array = {.count = count};
	int r = check_array(backend, count);

	if (r >= 0)
		r = vhi_node_call(&kernel_of(backend)->node,
				  VHI_GET_FEATURES_ARRAY, &array);
	if (r < 0)
		return r;
	memcpy(features, array.words, count * sizeof(features[0]));
	return 0;
}

int vh_kernel_set_features_array(struct vh_backend *backend,
				 const uint64_t features[], uint32_t count)
{
	struct kernel *k = kernel_of(backend);
	struct features array = {.count = count};
	int r = check_array(backend, count);

	if (r >= 0)
		r = kernel_check_features(k, features[0]);
	if (r < 0)
		return r;
	memcpy(array.words, features, count * sizeof(features[0]));
	r = vhi_node_call(&k->node, VHI_SET_FEATURES_ARRAY, &array);
	if (r < 0)
		return r;
	kernel_take_features(k, features[0]);
	return 0;
}

int vh_kernel_set_fork_from_owner(struct vh_backend *backend, bool fork)
{
	/* A kernel that doesn't know it reads four bytes. */
	uint32_t arg = 0;
	int r = kernel_check(backend, NULL);

	if (r < 0)
		return r;
	if (kernel_of(backend)->node.owned)
		return vhi_fault(&backend->fault, VH_FAULT_CALLER, -EBUSY, NULL,
				 "SET_FORK_FROM_OWNER after set_owner");
	*(uint8_t *)&arg = fork;
	r = vhi_node_call(&kernel_of(backend)->node, VHI_SET_FORK_FROM_OWNER,
			  &arg);
	return r < 0 ? r : 0;
}

int vh_kernel_get_fork_from_owner(struct vh_backend *backend, bool *ret_fork)
{
	struct kernel *k = kernel_of(backend);
	uint32_t arg = 0;
	uint8_t value;
	int r = kernel_check(backend, NULL);

	if (r >= 0)
		r = vhi_node_call(&k->node, VHI_GET_FORK_FROM_OWNER, &arg);
	if (r < 0)
		return r;
	value = *(uint8_t *)&arg;
	if (value > 1)
		return vhi_node_nonsense(&k->node, VHI_GET_FORK_FROM_OWNER,
					 "value", value);
	*ret_fork = value;
	return 0;
}
