/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the tests of the codec share. */
#ifndef TESTS_PROTOCOL_SUPPORT_H
#define TESTS_PROTOCOL_SUPPORT_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <libvhost/protocol.h>
#include <string.h>

#include "expected.h"

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))

#define BIT(n)	       (UINT64_C(1) << (n))
#define F_LOG_SHMFD    1
#define F_SEND_FD      10
#define F_XEN_MMAP     17
#define F_ACCESS       33 /* a virtio feature */
#define ALL_PROTOCOL   (BIT(24) - 1)
#define EVERY_PROTOCOL (ALL_PROTOCOL & ~BIT(F_XEN_MMAP))

/* Everything but Xen's regions; everything; nothing. */
extern const struct vh_message_context everything;
extern const struct vh_message_context with_xen;
extern const struct vh_message_context nothing;

/* Turns "0102 ff*3" into five bytes, and so on; returns how many. */
size_t from_hex(const char *hex, uint8_t *bytes, size_t size);

/*
 * A copy of the bytes that ends where the mapped memory does: a read beyond
 * is a crash. size is up to a page. Valid until the next call.
 */
const uint8_t *at_the_edge(const uint8_t *bytes, size_t size);

/* A decoding that must fail: error, code and words are those, and the
 * message isn't touched. */
struct refusal {
	int error;
	uint32_t code;
	const char *words;
};

void refuses(uint32_t direction, const struct vh_message_context *context,
	     const uint8_t *frame, size_t size, unsigned int fds,
	     const struct refusal *refusal);
/* The same for a reply to request id. */
void refuses_reply(uint32_t direction, uint32_t id, bool acked,
		   const uint8_t *frame, size_t size, unsigned int fds,
		   const struct refusal *refusal);

/* Both have the same values where payload says that they count. */
void assert_same_message(const struct vh_message *one,
			 const struct vh_message *other);

/* A message and its bytes. */
struct vector {
	uint32_t direction;
	bool reply;
	bool acked;
	bool xen;
	unsigned int fds;
	const char *hex;
	struct vh_message message;
};

extern const struct vector vectors[];
extern const size_t vector_count;

/* The first vector that is this request. */
const struct vector *vector_of(uint32_t direction, uint32_t id);

extern const struct CMUnitTest field_tests[];
extern const size_t field_test_count;
extern const struct CMUnitTest reply_tests[];
extern const size_t reply_test_count;
extern const struct CMUnitTest sweep_tests[];
extern const size_t sweep_test_count;

#endif
