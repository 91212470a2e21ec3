/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "box.h"

#include <fcntl.h>
#include <sys/eventfd.h>

static struct box *make(void)
{
	struct box *box = calloc(1, sizeof(*box));

	shim_reset();
	assert_non_null(box);
	box->ram = aligned_alloc(4096, 2 * RAM_SIZE);
	assert_non_null(box->ram);
	for (int i = 0; i < 2; i++) {
		box->tap[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		box->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(box->tap[i] >= 0 && box->kick[i] >= 0);
	}
	return box;
}

static int finish(struct box *box, int r, const struct vh_fault *fault,
		  void **state)
{
	if (r < 0)
		fail_msg("%s", fault->text);
	shim_forget();
	*state = box;
	return 0;
}

int box_net(void **state)
{
	struct box *box = make();
	struct vh_fault fault = {0};
	VH_OPTS(vh_net_opts, opts);

	shim_answer_u64(N_GET_FEATURES, NET_FEATURES);
	opts.fd = shim_fd();
	opts.taps = box->tap;
	opts.num_taps = 2;
	return finish(box, vh_net_open(&opts, &fault, &box->backend), &fault,
		      state);
}

int box_vsock(void **state)
{
	struct box *box = make();
	struct vh_fault fault = {0};
	int r;
	VH_OPTS(vh_vsock_opts, opts);

	shim_answer_u64(N_GET_FEATURES, VSOCK_FEATURES);
	shim_fail(N_VSOCK_SET_GUEST_CID, EINVAL);
	opts.fd = shim_fd();
	r = vh_vsock_open(&opts, &fault, &box->backend);
	shim_fail(N_VSOCK_SET_GUEST_CID, 0);
	return finish(box, r, &fault, state);
}

int box_scsi(void **state)
{
	struct box *box = make();
	struct vh_fault fault = {0};
	VH_OPTS(vh_scsi_opts, opts);

	shim_answer_u64(N_GET_FEATURES, SCSI_FEATURES);
	shim_answer_u32(N_SCSI_GET_ABI_VERSION, 1);
	opts.fd = shim_fd();
	opts.wwpn = "naa.5001405000000001";
	opts.tpgt = 7;
	return finish(box, vh_scsi_open(&opts, &fault, &box->backend), &fault,
		      state);
}

int box_free(void **state)
{
	struct box *box = *state;

	vh_backend_free(box->backend);
	for (int i = 0; i < 2; i++) {
		close(box->tap[i]);
		close(box->kick[i]);
	}
	free(box->ram);
	free(box);
	shim_reset();
	return 0;
}

struct vh_region box_region(const struct box *box, bool high)
{
	return (struct vh_region){
	    .guest = high ? HIGH : LOW,
	    .size = RAM_SIZE,
	    .user.raw = (uintptr_t)box->ram + (high ? RAM_SIZE : 0),
	    .fd = -1,
	};
}

void box_prepare(struct box *box, uint64_t features, uint32_t queue)
{
	struct vh_backend *b = box->backend;
	const struct vh_region region = box_region(box, false);
	const struct vh_vring_addr addr = {
	    .descriptors = DESCRIPTORS,
	    .available = AVAILABLE,
	    .used = USED,
	};

	OK(vh_backend_set_owner(b));
	OK(vh_backend_set_features(b, features));
	if (queue == 0)
		OK(vh_backend_set_mem_table(b, &region, 1));
	OK(vh_backend_set_vring_num(b, queue, 256));
	OK(vh_backend_set_vring_base(b, queue, 0));
	OK(vh_backend_set_vring_addr(b, queue, &addr));
	shim_forget();
}

void box_start(struct box *box, uint64_t features, uint32_t num_queues)
{
	for (uint32_t i = 0; i < num_queues; i++)
		box_prepare(box, features, i);
	for (uint32_t i = 0; i < num_queues; i++) {
		OK(vh_backend_set_vring_kick(box->backend, i,
					     box->kick[i % 2]));
		OK(vh_backend_set_vring_enable(box->backend, i, true));
	}
	shim_forget();
}
