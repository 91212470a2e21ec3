/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "box.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

void box_answers(uint64_t backend_features)
{
	const uint64_t range[2] = {FIRST, LAST};
	const uint16_t num = MAX_NUM;

	shim_answer_u32(N_VDPA_GET_DEVICE_ID, DEVICE_ID);
	shim_answer(N_VDPA_GET_IOVA_RANGE, range, sizeof(range));
	shim_answer(N_VDPA_GET_VRING_NUM, &num, sizeof(num));
	shim_answer_u32(N_VDPA_GET_CONFIG_SIZE, CONFIG_SIZE);
	shim_answer_u32(N_VDPA_GET_VQS_COUNT, 2);
	shim_answer_u32(N_VDPA_GET_GROUP_NUM, 2);
	shim_answer_u32(N_VDPA_GET_AS_NUM, 2);
	shim_answer_u64(N_GET_FEATURES, FEATURES);
	shim_answer_u64(N_GET_BACKEND_FEATURES, backend_features);
}

static int make(void **state, uint64_t backend_features)
{
	struct box *box = calloc(1, sizeof(*box));
	struct vh_fault fault;
	VH_OPTS(vh_vdpa_opts, opts);

	shim_reset();
	assert_non_null(box);
	box->memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(box->memfd, 2 * RAM_SIZE), 0);
	box->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	box_answers(backend_features);
	opts.fd = shim_fd();
	if (vh_vdpa_open(&opts, &fault, &box->backend) < 0)
		fail_msg("%s", fault.text);
	shim_forget();
	*state = box;
	return 0;
}

int box_full(void **state)
{
	return make(state, BACKEND_ALL);
}

int box_plain(void **state)
{
	int r = make(state, 0);

	shim_fail(N_GET_BACKEND_FEATURES, ENOTTY);
	return r;
}

int box_free(void **state)
{
	struct box *box = *state;

	vh_backend_free(box->backend);
	close(box->memfd);
	close(box->event);
	free(box);
	shim_reset();
	return 0;
}

struct vh_region box_region(const struct box *box, unsigned int half,
			    vh_gpa guest)
{
	return (struct vh_region){
	    .guest = guest,
	    .size = RAM_SIZE,
	    .user.raw = UINT64_C(0x7f0000000000) + guest,
	    .fd_offset = half * RAM_SIZE,
	    .fd = box->memfd,
	};
}

void box_status(struct box *box, uint8_t status)
{
	shim_answer(N_VDPA_GET_STATUS, &status, 1);
	OK(vh_backend_set_status(box->backend, status));
}

void box_prepare(struct box *box)
{
	struct vh_backend *b = box->backend;
	const struct vh_region region = box_region(box, 0, 0);
	const struct vh_vring_addr addr = {
	    .descriptors = DESCRIPTORS,
	    .available = AVAILABLE,
	    .used = USED,
	};

	OK(vh_backend_set_owner(b));
	box_status(box, 3);
	OK(vh_backend_set_features(b, VERSION_1));
	box_status(box, 11);
	OK(vh_backend_set_mem_table(b, &region, 1));
	OK(vh_backend_set_vring_num(b, 0, 256));
	OK(vh_backend_set_vring_base(b, 0, 0));
	OK(vh_backend_set_vring_addr(b, 0, &addr));
	shim_forget();
}

void box_start(struct box *box)
{
	box_prepare(box);
	OK(vh_backend_set_vring_kick(box->backend, 0, box->event));
	OK(vh_backend_set_vring_enable(box->backend, 0, true));
	box_status(box, 15);
	shim_forget();
}

uint64_t box_expect_update(const struct box *box, uint32_t form, uint32_t asid,
			   uint64_t iova, uint64_t size)
{
	const unsigned char *message = shim_expect_any(SHIM_WRITE);
	const uint32_t head[2] = {form, asid};
	uint64_t host;

	(void)box;
	assert_memory_equal(message, head, 8);
	assert_memory_equal(message + 8, &iova, 8);
	assert_memory_equal(message + 16, &size, 8);
	memcpy(&host, message + 24, 8);
	assert_int_not_equal(host, 0);
	assert_int_equal(message[32], READ_WRITE);
	assert_int_equal(message[33], UPDATE);
	return host;
}

void box_expect_batch(uint32_t asid, uint8_t type)
{
	shim_expect_iotlb(2, asid, type, 0, 0, 0, 0);
}

void box_expect_clear(uint32_t form)
{
	shim_expect_iotlb(form, 0, INVALIDATE, 0, UINT64_C(1) << 63, 0, 0);
	shim_expect_iotlb(form, 0, INVALIDATE, UINT64_C(1) << 63,
			  UINT64_C(1) << 63, 0, 0);
}
