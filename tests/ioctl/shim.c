/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "shim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "numbers.h"

#define MAX_NOTES   4096
#define MAX_BYTES   4200
#define MAX_ANSWERS 64
#define MESSAGE	    72

struct note {
	unsigned long number;
	size_t size;
	unsigned char *bytes;
};

struct answer {
	unsigned long number;
	unsigned char bytes[128];
	size_t size;
	int error;
	unsigned int skip;
};

static struct note notes[MAX_NOTES];
static unsigned int num_notes, next_note;
static struct answer answers[MAX_ANSWERS];
static unsigned int num_answers;
static int pair[2] = {-1, -1};
static int mmap_error;

int __wrap_ioctl(int fd, unsigned long number, ...);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
void *__real_mmap64(void *at, size_t size, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *at, size_t size, int prot, int flags, int fd,
		    off_t offset);

void shim_forget(void)
{
	for (unsigned int i = 0; i < num_notes; i++)
		free(notes[i].bytes);
	num_notes = next_note = 0;
}

void shim_reset(void)
{
	shim_forget();
	num_answers = 0;
	mmap_error = 0;
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
		pair[i] = -1;
	}
}

int shim_fd(void)
{
	if (pair[0] < 0)
		assert_int_equal(
		    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
		    0);
	return pair[0];
}

void shim_miss(const void *message, size_t size)
{
	assert_int_equal(send(pair[1], message, size, 0), size);
}

static struct answer *find(unsigned long number)
{
	for (unsigned int i = 0; i < num_answers; i++)
		if (answers[i].number == number)
			return &answers[i];
	return NULL;
}

static struct answer *make(unsigned long number)
{
	struct answer *answer = find(number);

	if (answer)
		return answer;
	assert_true(num_answers < MAX_ANSWERS);
	answers[num_answers] = (struct answer){.number = number};
	return &answers[num_answers++];
}

void shim_answer(unsigned long number, const void *bytes, size_t size)
{
	struct answer *answer = make(number);

	assert_true(size <= sizeof(answer->bytes));
	memcpy(answer->bytes, bytes, size);
	answer->size = size;
}

void shim_answer_u64(unsigned long number, uint64_t value)
{
	shim_answer(number, &value, sizeof(value));
}

void shim_answer_u32(unsigned long number, uint32_t value)
{
	shim_answer(number, &value, sizeof(value));
}

void shim_fail_after(unsigned long number, int error, unsigned int skip)
{
	struct answer *answer = make(number);

	answer->error = error;
	answer->skip = skip;
}

void shim_fail(unsigned long number, int error)
{
	shim_fail_after(number, error, 0);
}

void shim_mmap(int error)
{
	mmap_error = error;
}

static void note(unsigned long number, const void *bytes, size_t size)
{
	struct note *n = &notes[num_notes];

	assert_true(num_notes < MAX_NOTES && size <= MAX_BYTES);
	n->number = number;
	n->size = size;
	n->bytes = malloc(size + 1);
	assert_non_null(n->bytes);
	if (size)
		memcpy(n->bytes, bytes, size);
	num_notes++;
}

/* Bytes that the kernel reads, those of an array behind a struct included. */
static size_t argument_size(unsigned long number, const void *arg)
{
	uint32_t words[2];
	uint64_t count;

	switch (number) {
	case N_SET_MEM_TABLE:
		memcpy(words, arg, sizeof(words));
		return 8 + (size_t)words[0] * 32;
	case N_VDPA_GET_CONFIG:
	case N_VDPA_SET_CONFIG:
		memcpy(words, arg, sizeof(words));
		return 8 + (size_t)words[1];
	case N_GET_FEATURES_ARRAY:
	case N_SET_FEATURES_ARRAY:
		memcpy(&count, arg, sizeof(count));
		return 8 + (size_t)count * 8;
	default:
		return number >> 16 & 0x3fff;
	}
}

static int outcome(unsigned long number)
{
	struct answer *answer = find(number);

	if (!answer || !answer->error)
		return 0;
	if (answer->skip) {
		answer->skip--;
		return 0;
	}
	errno = answer->error;
	return -1;
}

int __wrap_ioctl(int fd, unsigned long number, ...)
{
	struct answer *answer;
	va_list args;
	void *arg;

	(void)fd;
	number &= 0xffffffff;
	va_start(args, number);
	arg = va_arg(args, void *);
	va_end(args);
	if (!arg && number >> 30) {
		errno = find(number) && find(number)->error
			    ? find(number)->error
			    : EFAULT;
		return -1;
	}
	note(number, arg, arg ? argument_size(number, arg) : 0);
	if (outcome(number) < 0)
		return -1;
	answer = find(number);
	if (answer && arg && answer->size)
		memcpy(arg, answer->bytes, answer->size);
	return 0;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	if (size != MESSAGE)
		return __real_write(fd, bytes, size);
	note(SHIM_WRITE, bytes, size);
	return outcome(SHIM_WRITE) < 0 ? -1 : (ssize_t)size;
}

static bool is_driver(int fd)
{
	int type;
	socklen_t size = sizeof(type);

	return fd >= 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

void *__wrap_mmap64(void *at, size_t size, int prot, int flags, int fd,
		    off_t offset)
{
	uint64_t words[2] = {(uint64_t)offset, (uint64_t)prot};

	if (!is_driver(fd))
		return __real_mmap64(at, size, prot, flags, fd, offset);
	note(1, words, sizeof(words));
	if (mmap_error) {
		errno = mmap_error;
		return MAP_FAILED;
	}
	return __real_mmap64(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static struct note *next(unsigned long number)
{
	struct note *n = &notes[next_note];

	if (next_note == num_notes)
		fail_msg("0x%08lx didn't come", number);
	if (n->number != number)
		fail_msg("note %u: 0x%08lx came, not 0x%08lx", next_note,
			 n->number, number);
	next_note++;
	return n;
}

void shim_expect(unsigned long number, const void *bytes, size_t size)
{
	struct note *n = next(number);

	assert_int_equal(n->size, size);
	if (size)
		assert_memory_equal(n->bytes, bytes, size);
}

void shim_expect_2(unsigned long number, uint32_t first, uint32_t second)
{
	uint32_t words[2] = {first, second};

	shim_expect(number, words, sizeof(words));
}

void shim_expect_u64(unsigned long number, uint64_t value)
{
	shim_expect(number, &value, sizeof(value));
}

void shim_expect_u32(unsigned long number, uint32_t value)
{
	shim_expect(number, &value, sizeof(value));
}

const void *shim_expect_any(unsigned long number)
{
	return next(number)->bytes;
}

void shim_expect_file(unsigned long number, uint32_t queue, int fd)
{
	struct note *n = next(number);
	struct stat ours, theirs;
	int32_t words[2];

	assert_int_equal(n->size, sizeof(words));
	memcpy(words, n->bytes, sizeof(words));
	assert_int_equal(words[0], queue);
	assert_int_not_equal(words[1], fd);
	assert_int_equal(fstat(fd, &ours), 0);
	assert_int_equal(fstat(words[1], &theirs), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	assert_int_equal(ours.st_dev, theirs.st_dev);
}

void shim_expect_iotlb(uint32_t form, uint32_t asid, uint8_t type,
		       uint64_t iova, uint64_t size, uint64_t host,
		       uint8_t access)
{
	unsigned char message[MESSAGE] = {0};

	memcpy(message, &form, 4);
	memcpy(message + 4, &asid, 4);
	memcpy(message + 8, &iova, 8);
	memcpy(message + 16, &size, 8);
	memcpy(message + 24, &host, 8);
	message[32] = access;
	message[33] = type;
	shim_expect(SHIM_WRITE, message, sizeof(message));
}

void shim_expect_nothing(void)
{
	if (next_note < num_notes)
		fail_msg("0x%08lx came, too", notes[next_note].number);
}

unsigned int shim_count(unsigned long number)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < num_notes; i++)
		count += notes[i].number == number;
	return count;
}
