/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "refuses.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

void refuses(const struct vh_backend *backend, int r, int error)
{
	const struct vh_fault *fault = vh_backend_fault(backend);

	if (r != error)
		fail_msg("%d, not %d: %s", r, error, fault->text);
	assert_int_not_equal(fault->code, VH_FAULT_NONE);
	assert_int_equal(fault->error, error);
	assert_true(fault->text[0]);
}

void refuses_queues(struct vh_backend *b)
{
	const struct vh_vring_addr addr = {0x1000, 0x2000, 0x3000, 0, 0};
	uint32_t value;

	for (uint32_t q = 2; q; q = q < 0x10000 ? q + 0xfffe : q << 1) {
		refuses(b, vh_backend_set_vring_num(b, q, 1), -ERANGE);
		refuses(b, vh_backend_set_vring_addr(b, q, &addr), -ERANGE);
		refuses(b, vh_backend_set_vring_base(b, q, 0), -ERANGE);
		refuses(b, vh_backend_get_vring_base(b, q, &value), -ERANGE);
		refuses(b, vh_backend_set_vring_kick(b, q, 0), -ERANGE);
		refuses(b, vh_backend_set_vring_call(b, q, -1), -ERANGE);
		refuses(b, vh_backend_set_vring_err(b, q, -1), -ERANGE);
		refuses(b, vh_backend_set_vring_enable(b, q, true), -ERANGE);
	}
}
