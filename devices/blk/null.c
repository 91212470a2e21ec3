/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A storage that reads zeroes and forgets what is written. */
#include "request.h"
#include <string.h>

static void null_submit(struct blk_worker *worker, struct blk_request *request)
{
	(void)worker;
	if (request->op == BLK_OP_READ)
		for (uint16_t i = 0; i < request->step_count; i++)
			memset(request->pieces[i].iov_base, 0,
			       request->pieces[i].iov_len);
	if (request->op == BLK_OP_READ && request->step < request->left)
		blk_request_advance(request, request->step);
	else
		request->left = 0;
	blk_request_stepped(request, 0);
}

const struct blk_storage blk_storage_null = {
    .name = "null",
    .in_order = true,
    .submit = null_submit,
};
