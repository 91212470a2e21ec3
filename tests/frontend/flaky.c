/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "flaky.h"

#include <base/fault.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STATUS_FEATURES_OK 8u

static struct flaky *flaky_of(struct vh_backend *b)
{
	return (struct flaky *)b;
}

static void note(struct flaky *f, const char *op, long long value)
{
	size_t used = strlen(f->trace);

	if (value < 0)
		snprintf(f->trace + used, sizeof(f->trace) - used, "%s ", op);
	else
		snprintf(f->trace + used, sizeof(f->trace) - used, "%s=%llx ",
			 op, value);
}

static int before(struct flaky *f, const char *op, long long value)
{
	note(f, op, value);
	f->calls++;
	if (f->dies_at && strcmp(f->dies_at, op) == 0)
		flaky_kill(f);
	if (f->dead)
		return vhi_fault(&f->backend.fault, VH_FAULT_MSG_EOF, -ENODEV,
				 "", "it is dead");
	if (f->calls == f->fail_at ||
	    (f->fail_op && strcmp(f->fail_op, op) == 0))
		return vhi_fault(&f->backend.fault, VH_FAULT_REQUEST, f->error,
				 "a section", "made to fail");
	return 0;
}

static int after(struct flaky *f, int r)
{
	f->backend.fault = *vh_backend_fault(f->real);
	return r;
}

#define FORWARD(value, op, ...)                                                \
	struct flaky *f = flaky_of(b);                                         \
	int r = before(f, #op, value);                                         \
                                                                               \
	return r < 0 ? r : after(f, vh_backend_##op(f->real, ##__VA_ARGS__))

static void free_it(struct vh_backend *b)
{
	struct flaky *f = flaky_of(b);

	vh_backend_free(f->real);
	vhi_backend_done(b);
	free(f);
}

static int fd(struct vh_backend *b)
{
	FORWARD(-1, fd);
}

static int dispatch(struct vh_backend *b)
{
	FORWARD(-1, dispatch);
}

static int set_owner(struct vh_backend *b)
{
	FORWARD(-1, set_owner);
}

static int release(struct vh_backend *b)
{
	FORWARD(-1, release);
}

static int get_features(struct vh_backend *b, uint64_t *ret)
{
	struct flaky *f = flaky_of(b);
	int r = before(f, "get_features", -1);

	if (r < 0)
		return r;
	r = vh_backend_get_features(f->real, ret);
	*ret &= ~f->lacks;
	return after(f, r);
}

static int set_features(struct vh_backend *b, uint64_t features)
{
	FORWARD((long long)features, set_features, features);
}

static int get_queue_num(struct vh_backend *b, uint32_t *ret)
{
	FORWARD(-1, get_queue_num, ret);
}

static int get_max_mem_slots(struct vh_backend *b, uint32_t *ret)
{
	struct flaky *f = flaky_of(b);
	int r = before(f, "get_max_mem_slots", -1);

	if (r < 0)
		return r;
	r = vh_backend_get_max_mem_slots(f->real, ret);
	if (f->slots)
		*ret = f->slots;
	return after(f, r);
}

static int set_mem_table(struct vh_backend *b, const struct vh_region regions[],
			 unsigned int count)
{
	FORWARD(count, set_mem_table, regions, count);
}

static int add_region(struct vh_backend *b, const struct vh_region *region)
{
	FORWARD((long long)region->guest, add_region, region);
}

static int remove_region(struct vh_backend *b, const struct vh_region *region)
{
	FORWARD((long long)region->guest, remove_region, region);
}

static int set_vring_num(struct vh_backend *b, uint32_t q, uint32_t num)
{
	FORWARD(num, set_vring_num, q, num);
}

static int set_vring_addr(struct vh_backend *b, uint32_t q,
			  const struct vh_vring_addr *addr)
{
	FORWARD(-1, set_vring_addr, q, addr);
}

static int set_vring_base(struct vh_backend *b, uint32_t q, uint32_t base)
{
	FORWARD(base, set_vring_base, q, base);
}

static int get_vring_base(struct vh_backend *b, uint32_t q, uint32_t *ret)
{
	struct flaky *f = flaky_of(b);
	int r = before(f, "get_vring_base", q);

	if (r < 0)
		return r;
	if (f->no_base)
		return vhi_fault(&b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
				 "", "positions aren't told");
	r = vh_backend_get_vring_base(f->real, q, ret);
	f->runs[q] &= r < 0;
	return after(f, r);
}

static int set_vring_kick(struct vh_backend *b, uint32_t q, int number)
{
	struct flaky *f = flaky_of(b);
	int r = before(f, "set_vring_kick", q);

	if (r < 0)
		return r;
	r = vh_backend_set_vring_kick(f->real, q, number);
	f->runs[q] |= r == 0;
	return after(f, r);
}

static int set_vring_call(struct vh_backend *b, uint32_t q, int number)
{
	FORWARD(q, set_vring_call, q, number);
}

static int set_vring_err(struct vh_backend *b, uint32_t q, int number)
{
	if (q == 0)
		((struct flaky *)b)->err = number;
	FORWARD(q, set_vring_err, q, number);
}

static int set_vring_enable(struct vh_backend *b, uint32_t q, bool enable)
{
	FORWARD(enable, set_vring_enable, q, enable);
}

static int get_config_size(struct vh_backend *b, uint32_t *ret)
{
	FORWARD(-1, get_config_size, ret);
}

static int get_config(struct vh_backend *b, uint32_t offset, void *buffer,
		      uint32_t size)
{
	FORWARD(-1, get_config, offset, buffer, size);
}

static int get_status(struct vh_backend *b, uint8_t *ret)
{
	struct flaky *f = flaky_of(b);
	int r = before(f, "get_status", -1);

	if (r < 0)
		return r;
	r = vh_backend_get_status(f->real, ret);
	if (f->refuses_features)
		*ret &= (uint8_t)~STATUS_FEATURES_OK;
	return after(f, r);
}

static int set_status(struct vh_backend *b, uint8_t status)
{
	FORWARD(status, set_status, status);
}

static int reset_device(struct vh_backend *b)
{
	struct flaky *f = flaky_of(b);
	int r = before(f, "reset_device", -1);

	if (r < 0)
		return r;
	memset(f->runs, 0, sizeof(f->runs));
	return after(f, vh_backend_reset_device(f->real));
}

static int get_inflight(struct vh_backend *b, struct vh_inflight *inflight,
			int *ret_fd)
{
	FORWARD(inflight->queue_size, get_inflight, inflight, ret_fd);
}

static int set_inflight(struct vh_backend *b,
			const struct vh_inflight *inflight, int number)
{
	FORWARD(inflight->queue_size, set_inflight, inflight, number);
}

static const struct vhi_backend_ops ops = {
    .free = free_it,
    .fd = fd,
    .dispatch = dispatch,
    .set_owner = set_owner,
    .release = release,
    .get_features = get_features,
    .set_features = set_features,
    .get_queue_num = get_queue_num,
    .get_max_mem_slots = get_max_mem_slots,
    .set_mem_table = set_mem_table,
    .add_region = add_region,
    .remove_region = remove_region,
    .set_vring_num = set_vring_num,
    .set_vring_addr = set_vring_addr,
    .set_vring_base = set_vring_base,
    .get_vring_base = get_vring_base,
    .set_vring_kick = set_vring_kick,
    .set_vring_call = set_vring_call,
    .set_vring_err = set_vring_err,
    .set_vring_enable = set_vring_enable,
    .get_config_size = get_config_size,
    .get_config = get_config,
    .get_status = get_status,
    .set_status = set_status,
    .reset_device = reset_device,
    .get_inflight = get_inflight,
    .set_inflight = set_inflight,
};

static void on_config_changed(void *user)
{
	vhi_backend_config_changed(user);
}

static void on_vring_fault(void *user, const struct vh_fault *fault)
{
	vhi_backend_vring_fault(user, fault);
}

struct flaky *flaky_new(struct vh_backend *real, uint64_t hides)
{
	const struct vh_backend_events events = {
	    .size = sizeof(events),
	    .config_changed = on_config_changed,
	    .vring_fault = on_vring_fault,
	};
	struct flaky *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	vhi_backend_init(&f->backend, &ops,
			 vh_backend_capabilities(real) & ~hides);
	f->real = real;
	f->error = -EIO;
	if (vh_backend_set_events(real, &events, &f->backend) < 0) {
		free(f);
		return NULL;
	}
	return f;
}

void flaky_clear(struct flaky *f)
{
	f->trace[0] = '\0';
	f->calls = 0;
	f->fail_at = 0;
	f->fail_op = NULL;
}

unsigned int flaky_count(const struct flaky *f, const char *word)
{
	unsigned int count = 0;

	for (const char *at = f->trace; (at = strstr(at, word)); at++)
		count++;
	return count;
}

void flaky_kill(struct flaky *f)
{
	int deaf = eventfd(0, EFD_CLOEXEC);

	f->dead = true;
	for (uint32_t q = 0; q < 16; q++) {
		if (!f->runs[q])
			continue;
		if (vh_backend_set_vring_enable(f->real, q, false) < 0 ||
		    vh_backend_set_vring_kick(f->real, q, deaf) < 0 ||
		    vh_backend_set_vring_call(f->real, q, -1) < 0)
			abort();
	}
	close(deaf);
}

void flaky_die(struct flaky *f)
{
	flaky_kill(f);
	vhi_backend_gone(&f->backend);
}
