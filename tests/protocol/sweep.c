/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Every id with every payload size and 0 to 9 descriptors, judged by the
 * table in expected.c, with the payload at the end of the mapped memory.
 */
#include "support.h"

#define FRAME_MAX 2068

struct attempt {
	const struct expected *row; /* NULL: an unknown id */
	const struct vh_message_context *context;
	const uint8_t *payload;
	uint32_t direction;
	uint32_t id;
	uint32_t size;
	unsigned int fds;
	unsigned int regions; /* of the memory table */
	bool nofd;
};

struct outcome {
	int error;
	uint32_t code;
};

static bool has(const struct vh_message_context *context, int feature)
{
	return context->protocol_features >> feature & 1;
}

static bool size_is_right(const struct attempt *a)
{
	bool xen = has(a->context, F_XEN_MMAP);

	if (a->direction == FRONT && a->id == 5)
		return a->size >= 8 + a->regions * (xen ? 40 : 32) &&
		       a->size <= (xen ? 328 : 264);
	if (a->direction == FRONT && a->id == 6)
		return a->size == 16 ||
		       (a->size == 8 && !has(a->context, F_LOG_SHMFD));
	if (a->direction == FRONT && (a->id == 37 || a->id == 38))
		return a->size == (xen ? 48 : 40);
	return a->size >= a->row->min && a->size <= a->row->max;
}

static bool fds_are_right(const struct attempt *a)
{
	switch (a->row->fds) {
	case ZERO:
		return a->fds == 0;
	case ONE:
		return a->fds == 1;
	case UP_TO_ONE:
		return a->fds <= 1;
	case NOFD:
		return a->fds == (a->nofd ? 0 : 1);
	case PER_REGION:
		return a->fds == a->regions;
	case SHMFD:
		return a->fds == (has(a->context, F_LOG_SHMFD) ? 1 : 0);
	}
	return false;
}

static bool gate_is_open(const struct attempt *a)
{
	int feature = a->row->protocol_feature;

	if (feature != NONE && !has(a->context, feature))
		return false;
	if (a->direction == BACK && a->fds > 0 && !has(a->context, F_SEND_FD))
		return false;
	return !(a->row->features & ~a->context->features);
}

/* What the table says of it. A wrong size and wrong descriptors at once may
 * be reported as either. */
static bool is_right(const struct attempt *a, const struct outcome *outcome)
{
	if (!a->row)
		return outcome->error == -ENOSYS &&
		       outcome->code == VH_FAULT_MSG_UNKNOWN;
	if (!size_is_right(a) && outcome->code == VH_FAULT_MSG_SIZE)
		return outcome->error == -EPROTO;
	if (!fds_are_right(a) && outcome->code == VH_FAULT_MSG_FDS)
		return outcome->error == -EPROTO;
	if (!size_is_right(a) || !fds_are_right(a))
		return false;
	if (!gate_is_open(a))
		return outcome->error == -EOPNOTSUPP &&
		       outcome->code == VH_FAULT_MSG_GATE;
	return outcome->error == 0 && outcome->code == 0;
}

static void try(const struct attempt *a)
{
	struct vh_message_header header = {a->id, 1, a->size};
	struct vh_fault fault = {.message = a->id, .text = "none"};
	struct vh_message message = {.id = 0xa5a5a5a5};
	struct outcome outcome;

	outcome.error = vh_message_decode(a->direction, a->context, &header,
					  a->payload, a->fds, &fault, &message);
	outcome.code = fault.code;
	if (!is_right(a, &outcome))
		fail_msg("direction %u, id %u, %u bytes, %u descriptors, "
			 "%u regions, nofd %d: %d, %s: %s",
			 a->direction, a->id, a->size, a->fds, a->regions,
			 a->nofd, outcome.error, vh_fault_name(outcome.code),
			 fault.text);
	assert_int_equal(message.id, outcome.error ? 0xa5a5a5a5 : a->id);
	assert_int_equal(fault.message, a->id);
	assert_true(strlen(fault.text) > 0);
}

/* A payload of that size that has nothing wrong in its fields. */
static void make_payload(struct attempt *a, uint8_t *bytes)
{
	const struct vector *vector = vector_of(a->direction, a->id);
	uint8_t frame[FRAME_MAX] = {0};
	uint32_t config_size = a->size - 12;

	if (vector)
		from_hex(vector->hex, frame, sizeof(frame));
	memcpy(bytes, frame + 12, FRAME_MAX - 12);
	if (a->direction == FRONT && (a->id == 24 || a->id == 25))
		memcpy(bytes + 4, &config_size, 4);
	if (a->direction == FRONT && a->id == 5) {
		memset(bytes, 0, FRAME_MAX - 12);
		bytes[0] = (uint8_t)a->regions;
	}
	if (a->row && a->row->fds == NOFD)
		bytes[1] = a->nofd;
}

static void sweep_fds(struct attempt *a)
{
	for (a->fds = 0; a->fds <= 9; a->fds++)
		try(a);
	a->fds = 253;
	try(a);
}

static void sweep_sizes(struct attempt *a)
{
	static const uint32_t huge[] = {
	    2057, 4096, 65536, 0x7fffffff, 0x80000000, 0xfffffff4, 0xffffffff};
	uint8_t bytes[FRAME_MAX];

	for (a->size = 0; a->size <= 2056; a->size++) {
		/* far from every limit, a sample is enough */
		if (a->size > 340 && a->size < 2040 && a->size % 97 != 0 &&
		    (a->size < 630 || a->size > 634))
			continue;
		make_payload(a, bytes);
		a->payload = at_the_edge(bytes, a->size);
		sweep_fds(a);
	}
	a->payload = at_the_edge(bytes, 0);
	for (size_t i = 0; i < COUNT(huge); i++) {
		a->size = huge[i];
		sweep_fds(a);
	}
}

static void sweep_id(struct attempt *a)
{
	unsigned int most_regions = a->direction == FRONT && a->id == 5 ? 8 : 0;

	a->row = expected_row(a->direction, a->id);
	for (a->regions = 0; a->regions <= most_regions; a->regions++)
		for (int nofd = 0; nofd <= 1; nofd++) {
			a->nofd = nofd;
			if (nofd && (!a->row || a->row->fds != NOFD))
				continue;
			sweep_sizes(a);
		}
}

static void sweep(const struct vh_message_context *context)
{
	static const uint32_t odd[] = {
	    255, 256, 257, 1002, 65537, 0x7fffffff, 0x80000001, 0xffffffff};

	for (uint32_t direction = FRONT; direction <= BACK; direction++) {
		struct attempt a = {.direction = direction, .context = context};

		for (a.id = 0; a.id <= 50; a.id++)
			sweep_id(&a);
		for (size_t i = 0; i < COUNT(odd); i++) {
			a.id = odd[i];
			sweep_id(&a);
		}
	}
}

static void test_protocol_sweep_all_negotiated(void **state)
{
	(void)state;
	sweep(&everything);
}

static void test_protocol_sweep_nothing_negotiated(void **state)
{
	(void)state;
	sweep(&nothing);
}

static void test_protocol_sweep_xen(void **state)
{
	(void)state;
	sweep(&with_xen);
}

/* Each gate alone: everything is negotiated but one. */
static void test_protocol_sweep_gates(void **state)
{
	static const struct vh_message_context no_iommu = {~BIT(F_ACCESS),
							   EVERY_PROTOCOL};

	(void)state;
	for (int bit = 0; bit < 24; bit++) {
		const struct vh_message_context context = {
		    everything.features,
		    everything.protocol_features & ~BIT(bit)};
		struct attempt a = {.context = &context};
		uint8_t bytes[FRAME_MAX];

		for (size_t i = 0; i < expected_count; i++) {
			a.row = &expected[i];
			a.direction = a.row->direction;
			a.id = a.row->id;
			/* what is right for most */
			a.size = a.id == 37 || a.id == 38 ? 40 : a.row->min;
			a.size =
			    a.id == 6 && a.direction == FRONT ? 16 : a.size;
			make_payload(&a, bytes);
			a.payload = at_the_edge(bytes, a.size);
			sweep_fds(&a);
			a.context = &no_iommu;
			sweep_fds(&a);
			a.context = &context;
		}
	}
}

const struct CMUnitTest sweep_tests[] = {
    cmocka_unit_test(test_protocol_sweep_all_negotiated),
    cmocka_unit_test(test_protocol_sweep_nothing_negotiated),
    cmocka_unit_test(test_protocol_sweep_xen),
    cmocka_unit_test(test_protocol_sweep_gates),
};
const size_t sweep_test_count = COUNT(sweep_tests);
