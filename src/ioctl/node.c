/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* One open device: opening it, asking it, and words for its refusals. */
#include <base/check.h>
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <ioctl/call.h>
#include <string.h>
#include <unistd.h>

/* What drivers answer that have a reason other than a program's errno. */
#define KERNEL_ENOTSUPP	   524
#define KERNEL_ENOIOCTLCMD 515

int vhi_node_opts(void *ours, size_t our_size, const void *theirs,
		  struct vh_fault *fault)
{
	int r = vhi_opts_copy(ours, our_size, theirs);

	if (r < 0)
		return vhi_fault(fault, VH_FAULT_CALLER, r, NULL,
				 "options of another size");
	return 0;
}

int vhi_node_open(struct vhi_node *node, const char *path, int fd,
		  struct vh_fault *fault)
{
	int copy;

	if (path) {
		copy = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (copy < 0)
			copy = -errno;
	} else {
		copy = vhi_fd_dup(fd);
	}
	if (copy < 0 && path)
		return vhi_fault(fault, VH_FAULT_SYSTEM, copy, NULL, "%s: %s",
				 path, strerrordesc_np(-copy));
	if (copy < 0)
		return vhi_fault(fault, VH_FAULT_SYSTEM, copy, NULL,
				 "descriptor %d: %s", fd,
				 strerrordesc_np(-copy));
	*node = (struct vhi_node){.fd = copy, .fault = fault};
	return 0;
}

void vhi_node_close(struct vhi_node *node)
{
	vhi_fd_close(&node->fd);
}

/*
 * Does that errno mean that the request isn't known? The driver hands what
 * it doesn't know from one place to the next: the first wants to know who
 * owns it, a later one takes what the argument points to for a queue.
 */
static bool is_unknown(const struct vhi_node *node,
		       const struct vhi_call_info *info, int error)
{
	if (!info->optional)
		return false;
	switch (error) {
	case ENOTTY:
	case EOPNOTSUPP:
	case KERNEL_ENOTSUPP:
	case KERNEL_ENOIOCTLCMD:
		return true;
	case EPERM:
		return !info->queue && !node->owned;
	case ENOBUFS:
		return !info->queue;
	case EINVAL:
		return !info->queue && _IOC_DIR(info->number) == _IOC_READ;
	default:
		return false;
	}
}

static int refused(struct vhi_node *node, const struct vhi_call_info *info,
		   int error)
{
	if (is_unknown(node, info, error))
		return vhi_fault(node->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
				 NULL, "%s: not known to this kernel or device",
				 info->name);
	if (error == EPERM && !node->owned)
		return vhi_fault(node->fault, VH_FAULT_CALLER, -EPERM, NULL,
				 "%s: set_owner must come first", info->name);
	if (error == EPERM)
		return vhi_fault(node->fault, VH_FAULT_CALLER, -EPERM, NULL,
				 "%s: another process owns the device",
				 info->name);
	if (error == ENOBUFS && info->queue)
		return vhi_fault(node->fault, VH_FAULT_CALLER, -ERANGE, NULL,
				 "%s: the device has no such queue",
				 info->name);
	if (error == ENODEV || error == ENXIO || error == EBADFD)
		error = ENODEV;
	if (error == KERNEL_ENOTSUPP)
		error = EOPNOTSUPP;
	return vhi_fault(node->fault, VH_FAULT_SYSTEM, -error, NULL, "%s: %s",
			 info->name, strerrordesc_np(error));
}

int vhi_node_call(struct vhi_node *node, enum vhi_call call, void *arg)
{
	const struct vhi_call_info *info = vhi_call_info(call);
	int r;

	do
		r = ioctl(node->fd, info->number, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? refused(node, info, errno) : r;
}

int vhi_node_queue_call(struct vhi_node *node, enum vhi_call call,
			uint32_t queue, void *arg)
{
	int r = vhi_node_call(node, call, arg);

	if (r < 0)
		node->fault->queue = queue;
	return r;
}

int vhi_node_set_owner(struct vhi_node *node)
{
	int r;

	if (node->owned)
		return 0;
	r = vhi_node_call(node, VHI_SET_OWNER, NULL);
	if (r == -EBUSY)
		return vhi_fault(node->fault, VH_FAULT_CALLER, r, NULL,
				 "SET_OWNER: the device has an owner already");
	if (r >= 0)
		node->owned = true;
	return r < 0 ? r : 0;
}

int vhi_node_needs_owner(struct vhi_node *node)
{
	if (node->owned)
		return 0;
	return vhi_fault(node->fault, VH_FAULT_CALLER, -EPERM, NULL,
			 "set_owner must come first");
}

int vhi_node_nonsense(struct vhi_node *node, enum vhi_call call,
		      const char *what, uint64_t value)
{
	return vhi_fault(node->fault, VH_FAULT_MSG_REPLY, -EPROTO, NULL,
			 "%s: the device says %s 0x%" PRIx64,
			 vhi_call_info(call)->name, what, value);
}

static int get_u64(struct vhi_node *node, enum vhi_call call, uint64_t *ret)
{
	uint64_t value = 0;
	int r = vhi_node_call(node, call, &value);

	if (r < 0)
		return r;
	*ret = value;
	return 0;
}

/* what: for words. */
static int check_offered(struct vhi_node *node, const char *what,
			 uint64_t features, uint64_t offered)
{
	if (!(features & ~offered))
		return 0;
	return vhi_fault(node->fault, VH_FAULT_FEATURES, -EINVAL, NULL,
			 "%s 0x%" PRIx64 " aren't offered", what,
			 features & ~offered);
}

int vhi_node_get_features(struct vhi_node *node, uint64_t *ret)
{
	return get_u64(node, VHI_GET_FEATURES, ret);
}

int vhi_node_check_features(struct vhi_node *node, uint64_t features,
			    uint64_t *ret_offered)
{
	int r = vhi_node_get_features(node, ret_offered);

	if (r < 0)
		return r;
	return check_offered(node, "features", features, *ret_offered);
}

int vhi_node_get_backend_features(struct vhi_node *node, uint64_t *ret)
{
	return get_u64(node, VHI_GET_BACKEND_FEATURES, ret);
}

int vhi_node_set_backend_features(struct vhi_node *node, uint64_t features)
{
	uint64_t offered;
	int r = vhi_node_get_backend_features(node, &offered);

	if (r >= 0)
		r = check_offered(node, "back-end features", features, offered);
	if (r >= 0)
		r = vhi_node_call(node, VHI_SET_BACKEND_FEATURES, &features);
	if (r < 0)
		return r;
	node->backend_features = features;
	return 0;
}
