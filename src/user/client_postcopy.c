/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The destination's side of a postcopy migration ("Migration"), each step only
 * after the one before.
 */
#include "client_special.h"

#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>

#define SECTION "Migration"

static int must_be(struct vhi_client *c, bool right, const char *step,
		   const char *rule)
{
	if (right)
		return 0;
	return vhi_fault(&c->backend.fault, VH_FAULT_MSG_STATE, -EPROTO,
			 SECTION, "postcopy %s: %s", step, rule);
}

int vhi_client_postcopy_advise(struct vh_backend *b, int *ret_fd)
{
	const struct vh_message m = {.id = VH_USER_POSTCOPY_ADVISE};
	struct vhi_client *c = vhi_client_of(b);
	int fd, r = must_be(c, c->postcopy == VHI_POSTCOPY_NONE, "advise",
			    "it has begun already");

	if (r == 0)
		r = vhi_client_call(c, &m, NULL, 0, NULL);
	if (r < 0)
		return r;
	fd = vhi_client_take_fd(c);
	if (fd < 0)
		return vhi_fault(&b->fault, VH_FAULT_MSG_REFUSED, -EREMOTEIO,
				 SECTION, "the back-end gives no userfaultfd");
	c->postcopy = VHI_POSTCOPY_ADVISED;
	*ret_fd = fd;
	return 0;
}

int vhi_client_postcopy_listen(struct vh_backend *b)
{
	const struct vh_message m = {.id = VH_USER_POSTCOPY_LISTEN};
	struct vhi_client *c = vhi_client_of(b);
	int r = must_be(c, c->postcopy == VHI_POSTCOPY_ADVISED, "listen",
			"it must be advised first");

	if (r == 0)
		r = must_be(c, c->memory.count == 0, "listen",
			    "there is memory already");
	if (r == 0)
		r = vhi_client_call(c, &m, NULL, 0, NULL);
	if (r == 0)
		c->postcopy = VHI_POSTCOPY_LISTENING;
	return r;
}

/* The table comes back in the same order, with addresses of the back-end. */
static int send_table(struct vhi_client *c,
		      const struct vhi_client_memory *next,
		      uint64_t ret_addresses[])
{
	struct vh_message reply, m = {
				     .id = VH_USER_SET_MEM_TABLE,
				     .payload = VH_PAYLOAD_MEM_TABLE,
				     .mem_table.count = next->count,
				 };
	int fds[VH_USER_MAX_TABLE_REGIONS];
	int r;

	for (unsigned int i = 0; i < next->count; i++) {
		m.mem_table.regions[i] = vhi_client_on_the_wire(&next->list[i]);
		fds[i] = next->list[i].fd;
	}
	r = vhi_client_call(c, &m, fds, next->count, &reply);
	if (r < 0)
		return r;
	if (reply.mem_table.count != next->count)
		return vhi_client_lie(c, m.id,
				      "%" PRIu32 " regions come back, %u "
				      "were sent",
				      reply.mem_table.count, next->count);
	for (unsigned int i = 0; i < next->count; i++) {
		if (reply.mem_table.regions[i].guest != next->list[i].guest ||
		    reply.mem_table.regions[i].size != next->list[i].size)
			return vhi_client_lie(c, m.id,
					      "region %u isn't the one that "
					      "was sent",
					      i);
		ret_addresses[i] = reply.mem_table.regions[i].user;
	}
	return 0;
}

int vhi_client_postcopy_set_memory(struct vh_backend *b,
				   const struct vh_region regions[],
				   unsigned int count, uint64_t ret_addresses[])
{
	struct vhi_client *c = vhi_client_of(b);
	struct vhi_client_memory next = {0};
	int r = must_be(c, c->postcopy == VHI_POSTCOPY_LISTENING, "set_memory",
			"listen first, and be ready with an earlier table");

	if (r == 0)
		r = must_be(c, count > 0, "set_memory", "the table is empty");
	if (r == 0)
		r = vhi_client_begin_table(c, regions, count, &next);
	if (r < 0)
		return r;
	r = send_table(c, &next, ret_addresses);
	if (r == 0)
		c->postcopy = VHI_POSTCOPY_MAPPED;
	return vhi_client_end_table(c, &next, r);
}

/* An empty table, which isn't answered. */
int vhi_client_postcopy_ready(struct vh_backend *b)
{
	const struct vh_message m = {
	    .id = VH_USER_SET_MEM_TABLE,
	    .payload = VH_PAYLOAD_MEM_TABLE,
	};
	struct vhi_client *c = vhi_client_of(b);
	int r = must_be(c, c->postcopy == VHI_POSTCOPY_MAPPED, "ready",
			"no table waits for it");

	if (r == 0)
		r = vhi_client_call(c, &m, NULL, 0, NULL);
	if (r == 0)
		c->postcopy = VHI_POSTCOPY_LISTENING;
	return r;
}

int vhi_client_postcopy_end(struct vh_backend *b)
{
	struct vhi_client *c = vhi_client_of(b);
	uint64_t value = 0;
	int r = must_be(c,
			c->postcopy == VHI_POSTCOPY_ADVISED ||
			    c->postcopy == VHI_POSTCOPY_LISTENING,
			"end", "it hasn't begun, or a table waits");

	if (r == 0)
		r = vhi_client_get_u64(c, VH_USER_POSTCOPY_END, &value);
	if (r < 0)
		return r;
	c->postcopy = VHI_POSTCOPY_NONE;
	if (value)
		return vhi_fault(&b->fault, VH_FAULT_MSG_REFUSED, -EREMOTEIO,
				 SECTION,
				 "the end of postcopy failed: %" PRIu64, value);
	return 0;
}
