/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the two halves of decoding share: the frame's checks (decode.c) and
 * the payload's fields (fields.c). */
#ifndef PROTOCOL_DECODER_H
#define PROTOCOL_DECODER_H

#include "wire.h"

struct vhi_decoder {
	const struct vh_message_info *info;
	const struct vh_message_context *context;
	const struct vh_message_header *header;
	const uint8_t *payload;
	struct vh_fault *fault;
	uint32_t direction; /* of the request, also when this is its reply */
	uint32_t queue;	    /* for the fault, once it is known */
	unsigned int fds;
	bool reply;
	struct vhi_reader in;
};

/* Describes a failure and returns error. */
int vhi_decode_fail(const struct vhi_decoder *d, uint32_t code, int error,
		    const char *format, ...) VH_PRINTF(4, 5);
int vhi_decode_bad_size(const struct vhi_decoder *d, const char *rule);

/*
 * Reads and checks the fields of a payload, whose size is within the row's
 * limits. payload is VH_PAYLOAD_... of the row.
 */
int vhi_decode_payload(struct vhi_decoder *d, uint8_t payload,
		       struct vh_message *ret_message);

#endif
