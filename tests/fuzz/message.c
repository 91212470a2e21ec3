/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Decodes the input as a request or reply of either direction. What the
 * decoder takes must come back the same after encoding and decoding it
 * again; what it refuses, it must refuse in words.
 *
 * Input: a byte of flags (below), the number of descriptors, four bytes of
 * protocol features, then a header and a payload.
 */
#include <errno.h>
#include <libvhost/protocol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FROM_BACKEND 1u
#define REPLY	     2u
#define ACKED	     4u
#define IOMMU	     8u

#define PREFIX_SIZE  6
#define FRAME_MAX    (VH_USER_HEADER_SIZE + VH_USER_MAX_PAYLOAD)

struct input {
	uint32_t direction;
	bool reply;
	bool acked;
	unsigned int fds;
	struct vh_message_context context;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static struct input read_prefix(const uint8_t *data)
{
	uint32_t features;

	memcpy(&features, data + 2, sizeof(features));
	return (struct input){
	    .direction = data[0] & FROM_BACKEND,
	    .reply = data[0] & REPLY,
	    .acked = data[0] & ACKED,
	    .fds = data[1],
	    .context = {data[0] & IOMMU ? UINT64_C(1) << 33 : 0, features},
	};
}

static int decode(const struct input *input,
		  const struct vh_message_header *header,
		  const uint8_t *payload, struct vh_fault *fault,
		  struct vh_message *message)
{
	if (input->reply)
		return vh_message_decode_reply(
		    input->direction, &input->context, header->id, input->acked,
		    header, payload, input->fds, fault, message);
	return vh_message_decode(input->direction, &input->context, header,
				 payload, input->fds, fault, message);
}

static void check_refusal(int ret, const struct vh_fault *fault,
			  const struct vh_message *message)
{
	check(ret == -EPROTO || ret == -ENOSYS || ret == -EOPNOTSUPP ||
		  ret == -EINVAL || ret == -EREMOTEIO,
	      "an error that isn't documented");
	check(fault->error == ret && fault->code >= VH_FAULT_MSG_FLAGS,
	      "a fault that doesn't tell of the error");
	check(fault->text[0] && fault->section[0], "a refusal without words");
	check(message->id == 0xa5a5a5a5, "a refusal with a result");
}

static void check_round_trip(const struct input *input,
			     const struct vh_message *message)
{
	static uint8_t once[FRAME_MAX];
	static uint8_t twice[FRAME_MAX];
	struct vh_message_header header;
	struct vh_message again;
	int size =
	    vh_message_encode(&input->context, message, once, sizeof(once));

	check(size >= VH_USER_HEADER_SIZE, "can't be encoded again");
	vh_message_header_decode(once, &header);
	check(header.id == message->id && header.flags == message->flags,
	      "another header");
	check(header.size == (uint32_t)size - VH_USER_HEADER_SIZE,
	      "another size");
	check(decode(input, &header, once + VH_USER_HEADER_SIZE, NULL,
		     &again) == 0,
	      "can't be decoded again");
	check(again.payload == message->payload, "another layout");
	check(vh_message_encode(&input->context, &again, twice,
				sizeof(twice)) == size,
	      "another size the second time");
	check(memcmp(once, twice, (size_t)size) == 0, "other bytes");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vh_message message = {.id = 0xa5a5a5a5};
	struct vh_fault fault = {.text = ""};
	struct vh_message_header header;
	struct input input;
	uint8_t *payload;
	int ret;

	if (size < PREFIX_SIZE + VH_USER_HEADER_SIZE)
		return 0;
	input = read_prefix(data);
	vh_message_header_decode(data + PREFIX_SIZE, &header);
	data += PREFIX_SIZE + VH_USER_HEADER_SIZE;
	size -= PREFIX_SIZE + VH_USER_HEADER_SIZE;
	/* A size beyond all messages mustn't be believed; others are true. */
	if (header.size <= VH_USER_MAX_PAYLOAD && header.size > size)
		header.size = (uint32_t)size;
	else if (header.size < size)
		size = header.size;
	payload = malloc(size + 1); /* its end is guarded in sanitized builds */
	if (!payload)
		return 0;
	memcpy(payload + 1, data, size);
	ret = decode(&input, &header, payload + 1, &fault, &message);
	if (ret < 0)
		check_refusal(ret, &fault, &message);
	else
		check_round_trip(&input, &message);
	free(payload);
	return 0;
}
