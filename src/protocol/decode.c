/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Bytes into checked messages. The checks go from what says most to what
 * says least: an unknown id, the flags, the payload's size, the number of
 * descriptors, the gate, and only then the fields.
 */
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "decoder.h"

#define REPLY_FLAGS (VH_USER_VERSION | VH_USER_FLAG_REPLY)
#define KNOWN_FLAGS                                                            \
	(VH_USER_VERSION_MASK | VH_USER_FLAG_REPLY | VH_USER_FLAG_NEED_REPLY)

int vhi_decode_fail(const struct vhi_decoder *d, uint32_t code, int error,
		    const char *format, ...)
{
	va_list args;

	if (!d->fault)
		return error;
	va_start(args, format);
	vhi_vfault(d->fault, code, error, d->info->section, format, args);
	va_end(args);
	d->fault->message = d->header->id;
	d->fault->queue = d->queue;
	return error;
}

int vhi_decode_bad_size(const struct vhi_decoder *d, const char *rule)
{
	return vhi_decode_fail(d, VH_FAULT_MSG_SIZE, -EPROTO,
			       "%s%s: payload of %" PRIu32 " bytes, must be %s",
			       d->info->name, d->reply ? "'s reply" : "",
			       d->header->size, rule);
}

/* What the negotiation changes in the sizes of the row. */
static void narrow_sizes(const struct vhi_decoder *d, uint8_t payload,
			 uint32_t *min, uint32_t *max)
{
	if (payload == VH_PAYLOAD_MEM_TABLE)
		*max =
		    8 + VH_USER_MAX_TABLE_REGIONS * vhi_region_size(d->context);
	else if (payload == VH_PAYLOAD_MEM_REGION)
		*min = *max = 8 + vhi_region_size(d->context);
	else if (payload == VH_PAYLOAD_LOG &&
		 vhi_negotiated(d->context, VH_USER_PROTOCOL_F_LOG_SHMFD))
		*min = *max;
}

static int check_size(const struct vhi_decoder *d, uint8_t payload,
		      uint32_t min, uint32_t max)
{
	char rule[32];

	narrow_sizes(d, payload, &min, &max);
	if (d->header->size >= min && d->header->size <= max)
		return 0;
	if (min == max)
		snprintf(rule, sizeof(rule), "%" PRIu32, min);
	else
		snprintf(rule, sizeof(rule), "%" PRIu32 " to %" PRIu32, min,
			 max);
	return vhi_decode_bad_size(d, rule);
}

static int check_flags(const struct vhi_decoder *d)
{
	uint32_t flags = d->header->flags;
	const char *rule = NULL;

	if (d->reply)
		rule = flags == REPLY_FLAGS ? NULL : "0x5 in a reply";
	else if ((flags & VH_USER_VERSION_MASK) != VH_USER_VERSION)
		rule = "of version 1";
	else if (flags & VH_USER_FLAG_REPLY)
		rule = "without the reply bit in a request";
	else if (flags & ~KNOWN_FLAGS)
		rule = "made of the bits 0 to 3";
	if (!rule)
		return 0;
	vhi_decode_fail(d, VH_FAULT_MSG_FLAGS, -EPROTO,
			"%s: flags are 0x%" PRIx32 ", must be %s",
			d->info->name, flags, rule);
	if (d->fault)
		d->fault->section = "Header";
	return -EPROTO;
}

/* How many descriptors the rule of the row wants. */
static void wanted_fds(const struct vhi_decoder *d, unsigned int *min,
		       unsigned int *max)
{
	struct vhi_reader peek = {d->payload, d->header->size, false};

	*max = d->info->fds;
	switch (d->info->fds_rule) {
	case VH_FDS_UNLESS_NOFD:
		*max = vhi_read_u64(&peek) & VHI_VRING_NOFD ? 0 : 1;
		break;
	case VH_FDS_PER_REGION:
		*max = vhi_read_u32(&peek);
		break;
	case VH_FDS_IF_LOG_SHMFD:
		*max = vhi_negotiated(d->context, VH_USER_PROTOCOL_F_LOG_SHMFD);
		break;
	default:
		break;
	}
	*min = d->info->fds_rule == VH_FDS_AT_MOST ? 0 : *max;
}

static int check_fds(const struct vhi_decoder *d)
{
	unsigned int min;
	unsigned int max;

	wanted_fds(d, &min, &max);
	/* Too many regions is what's wrong then, not the descriptors. */
	if (max > VH_USER_MAX_TABLE_REGIONS)
		return 0;
	if (d->fds >= min && d->fds <= max)
		return 0;
	return vhi_decode_fail(
	    d, VH_FAULT_MSG_FDS, -EPROTO, "%s: %u descriptors, must be %s%u",
	    d->info->name, d->fds, min < max ? "at most " : "", max);
}

static int check_gate(const struct vhi_decoder *d)
{
	uint64_t missing = d->info->protocol_features;

	if (d->direction == VH_USER_FROM_BACKEND && d->fds > 0)
		missing |= UINT64_C(1) << VH_USER_PROTOCOL_F_BACKEND_SEND_FD;
	missing &= ~d->context->protocol_features;
	if (missing)
		return vhi_decode_fail(
		    d, VH_FAULT_MSG_GATE, -EOPNOTSUPP,
		    "%s: protocol feature %s isn't negotiated", d->info->name,
		    vh_protocol_feature_name(
			(unsigned int)__builtin_ctzll(missing)));
	missing = d->info->features & ~d->context->features;
	if (missing)
		return vhi_decode_fail(d, VH_FAULT_MSG_GATE, -EOPNOTSUPP,
				       "%s: feature bit %d isn't negotiated",
				       d->info->name, __builtin_ctzll(missing));
	return 0;
}

static int unknown_id(uint32_t direction, uint32_t id, struct vh_fault *fault)
{
	vhi_fault(fault, VH_FAULT_MSG_UNKNOWN, -ENOSYS,
		  direction == VH_USER_FROM_BACKEND ? "Back-end message types"
						    : "Front-end message types",
		  "request %" PRIu32 " is not known", id);
	if (fault)
		fault->message = id;
	return -ENOSYS;
}

void vh_message_header_decode(const uint8_t *bytes,
			      struct vh_message_header *ret_header)
{
	struct vhi_reader in = {bytes, VH_USER_HEADER_SIZE, false};

	ret_header->id = vhi_read_u32(&in);
	ret_header->flags = vhi_read_u32(&in);
	ret_header->size = vhi_read_u32(&in);
}

/* NOLINTNEXTLINE(readability-function-size): the number of parameters */
int vh_message_decode(uint32_t direction,
		      const struct vh_message_context *context,
		      const struct vh_message_header *header,
		      const uint8_t *payload, unsigned int fds,
		      struct vh_fault *fault, struct vh_message *ret_message)
{
	struct vhi_decoder d = {
	    .info = vh_message_info(direction, header->id),
	    .context = context,
	    .header = header,
	    .payload = payload,
	    .fault = fault,
	    .direction = direction,
	    .queue = VH_FAULT_NO_QUEUE,
	    .fds = fds,
	};
	int ret;

	if (!d.info)
		return unknown_id(direction, header->id, fault);
	ret = check_flags(&d);
	if (ret == 0)
		ret = check_size(&d, d.info->payload, d.info->size_min,
				 d.info->size_max);
	if (ret == 0)
		ret = check_fds(&d);
	if (ret == 0)
		ret = check_gate(&d);
	if (ret == 0)
		ret = vhi_decode_payload(&d, d.info->payload, ret_message);
	return ret;
}

/* The reply to SET_DEVICE_STATE_FD says whether a descriptor comes. */
static int check_reply_fds(const struct vhi_decoder *d, unsigned int most,
			   const struct vh_message *m)
{
	bool nofd;

	if (d->fds > most)
		return vhi_decode_fail(
		    d, VH_FAULT_MSG_FDS, -EPROTO,
		    "%s's reply: %u descriptors, must be at most %u",
		    d->info->name, d->fds, most);
	if (d->direction != VH_USER_FROM_FRONTEND ||
	    d->info->id != VH_USER_SET_DEVICE_STATE_FD)
		return 0;
	/* An error comes without one, whatever the flag says. */
	nofd = m->u64 & (VHI_VRING_NOFD | 0xff);
	if (d->fds != (nofd ? 0 : 1))
		return vhi_decode_fail(
		    d, VH_FAULT_MSG_FDS, -EPROTO,
		    "%s's reply: %u descriptors with the value 0x%" PRIx64,
		    d->info->name, d->fds, m->u64);
	return 0;
}

static int decode_ack(struct vhi_decoder *d, struct vh_message *ret_message)
{
	if (d->header->size != sizeof(uint64_t))
		return vhi_decode_bad_size(d, "8, an acknowledgement");
	if (d->fds > 0)
		return vhi_decode_fail(
		    d, VH_FAULT_MSG_FDS, -EPROTO,
		    "%s's acknowledgement: %u descriptors, must be 0",
		    d->info->name, d->fds);
	return vhi_decode_payload(d, VH_PAYLOAD_U64, ret_message);
}

static int decode_own_reply(struct vhi_decoder *d,
			    struct vh_message *ret_message)
{
	const struct vh_message_info *info = d->info;
	struct vh_message message;
	int ret;

	if (info->reply_payload == VH_PAYLOAD_CONFIG && d->header->size == 0)
		return vhi_decode_fail(
		    d, VH_FAULT_MSG_REFUSED, -EREMOTEIO,
		    "%s's reply is empty: the back-end failed", info->name);
	ret = check_size(d, info->reply_payload, info->reply_size_min,
			 info->reply_size_max);
	if (ret == 0)
		ret = vhi_decode_payload(d, info->reply_payload, &message);
	if (ret == 0)
		ret = check_reply_fds(d, info->reply_fds, &message);
	if (ret == 0)
		*ret_message = message;
	return ret;
}

/* NOLINTNEXTLINE(readability-function-size): the number of parameters */
int vh_message_decode_reply(
    uint32_t direction, const struct vh_message_context *context, uint32_t id,
    bool acked, const struct vh_message_header *header, const uint8_t *payload,
    unsigned int fds, struct vh_fault *fault, struct vh_message *ret_message)
{
	struct vhi_decoder d = {
	    .info = vh_message_info(direction, id),
	    .context = context,
	    .header = header,
	    .payload = payload,
	    .fault = fault,
	    .direction = direction,
	    .queue = VH_FAULT_NO_QUEUE,
	    .fds = fds,
	    .reply = true,
	};
	int ret;

	if (!d.info)
		return unknown_id(direction, id, fault);
	if (header->id != id)
		return vhi_decode_fail(&d, VH_FAULT_MSG_REPLY, -EPROTO,
				       "a reply to request %" PRIu32
				       " where one to %s is due",
				       header->id, d.info->name);
	ret = check_flags(&d);
	if (ret < 0)
		return ret;
	if (d.info->reply == VH_REPLY_ALWAYS ||
	    (d.info->reply == VH_REPLY_IF_LOG_SHMFD &&
	     vhi_negotiated(context, VH_USER_PROTOCOL_F_LOG_SHMFD)))
		return decode_own_reply(&d, ret_message);
	if (acked)
		return decode_ack(&d, ret_message);
	/* The memory table that comes back during postcopy. */
	if (d.info->reply_payload == VH_PAYLOAD_MEM_TABLE)
		return decode_own_reply(&d, ret_message);
	return vhi_decode_fail(&d, VH_FAULT_MSG_REPLY, -EPROTO,
			       "%s: a reply that nobody asked for",
			       d.info->name);
}
