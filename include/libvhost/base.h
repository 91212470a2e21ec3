/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: what every other header builds on: attributes, faults, the log
 * hook and the version.
 *
 * The one error rule: a fallible function returns an int, >= 0 on success
 * (0 or a count) and a negative errno on failure. Objects come out through a
 * last parameter ret_..., which a failure leaves untouched. The words for a
 * failure are a struct vh_fault on the object (vh_backend_fault() and its
 * kin) or in the caller's own struct where a function takes one.
 */
#ifndef LIBVHOST_BASE_H
#define LIBVHOST_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VH_VERSION_MAJOR 0
#define VH_VERSION_MINOR 1
#define VH_VERSION_PATCH 0

/* True when the headers are of version MAJOR.MINOR or later. */
#define VH_VERSION_AT_LEAST(major, minor)                                      \
	(VH_VERSION_MAJOR > (major) ||                                         \
	 (VH_VERSION_MAJOR == (major) && VH_VERSION_MINOR >= (minor)))

#define VH_API		     __attribute__((visibility("default")))
#define VH_MUST_CHECK	     __attribute__((warn_unused_result))
#define VH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/*
 * Declares a variable of an options type with its size filled in and every
 * other member zero:
 *
 *	VH_OPTS(vh_device_opts, opts);
 *	opts.num_queues = 2;
 *
 * Options and callback tables begin with their size, so that they can grow:
 * a library newer than the program takes missing members as zero; a library
 * older than the program refuses (-E2BIG) members that it doesn't know and
 * that aren't zero.
 */
#define VH_OPTS(type, name)                                                    \
	struct type name;                                                      \
	__builtin_memset(&(name), 0, sizeof(name));                            \
	(name).size = sizeof(name)

/* An address as the guest's driver writes it: guest-physical, or an IOVA. */
typedef uint64_t vh_gpa;

/*
 * An address in the front-end's own address space. It is a type of its own,
 * so that it can't be mistaken for a guest address or a host pointer.
 */
struct vh_user_addr {
	uint64_t raw;
};

/*
 * Feature bits of the rings and of vhost itself, as masks (virtio, "Reserved
 * Feature Bits"; vhost-user, "Feature bits").
 */
#define VH_F_LOG_ALL	     (UINT64_C(1) << 26)
#define VH_F_INDIRECT_DESC   (UINT64_C(1) << 28)
#define VH_F_EVENT_IDX	     (UINT64_C(1) << 29)
#define VH_F_VERSION_1	     (UINT64_C(1) << 32)
#define VH_F_ACCESS_PLATFORM (UINT64_C(1) << 33)
#define VH_F_RING_PACKED     (UINT64_C(1) << 34)
#define VH_F_IN_ORDER	     (UINT64_C(1) << 35)
#define VH_F_RING_RESET	     (UINT64_C(1) << 40)

/* Feature bits of the kernel's own interface (vh_backend_get_backend_features).
 */
#define VH_BACKEND_F_IOTLB_MSG_V2	    (UINT64_C(1) << 1)
#define VH_BACKEND_F_IOTLB_BATCH	    (UINT64_C(1) << 2)
#define VH_BACKEND_F_IOTLB_ASID		    (UINT64_C(1) << 3)
#define VH_BACKEND_F_SUSPEND		    (UINT64_C(1) << 4)
#define VH_BACKEND_F_RESUME		    (UINT64_C(1) << 5)
#define VH_BACKEND_F_ENABLE_AFTER_DRIVER_OK (UINT64_C(1) << 6)
#define VH_BACKEND_F_DESC_ASID		    (UINT64_C(1) << 7)
#define VH_BACKEND_F_IOTLB_PERSIST	    (UINT64_C(1) << 8)

/* Stable codes of what went wrong; vh_fault_name() gives the name. */
enum {
	VH_FAULT_NONE = 0,
	/* the host: memory, descriptors, system calls; .error says which */
	VH_FAULT_SYSTEM = 1,
	/* the caller broke a rule of the API */
	VH_FAULT_CALLER = 2,

	/* vhost-user messages */
	VH_FAULT_MSG_FLAGS = 16,   /* version or flag bits of the header */
	VH_FAULT_MSG_UNKNOWN = 17, /* request id */
	VH_FAULT_MSG_SIZE = 18,	   /* payload size */
	VH_FAULT_MSG_FDS = 19,	   /* number or kind of file descriptors */
	VH_FAULT_MSG_FIELD = 20,   /* a payload field is out of range */
	VH_FAULT_MSG_GATE = 21,	   /* needs a feature that isn't negotiated */
	VH_FAULT_MSG_STATE = 22,   /* not allowed in the present state */
	VH_FAULT_MSG_EOF = 23,	   /* the peer left in the middle of one */
	VH_FAULT_MSG_TIMEOUT = 24, /* the peer stopped in the middle of one */
	VH_FAULT_MSG_REPLY = 25, /* a reply to something else, or to nothing */
	VH_FAULT_UNSUPPORTED = 26, /* the back-end can't do this */
	VH_FAULT_MSG_REFUSED = 27, /* the peer answers that it failed */

	/* guest memory */
	VH_FAULT_MEM_REGION = 32,   /* size or addresses make no sense */
	VH_FAULT_MEM_OVERLAP = 33,  /* overlaps another region */
	VH_FAULT_MEM_FILE = 34,	    /* lies outside its file */
	VH_FAULT_MEM_MAP = 35,	    /* mmap() failed */
	VH_FAULT_MEM_SLOTS = 36,    /* too many regions */
	VH_FAULT_MEM_UNKNOWN = 37,  /* no such region */
	VH_FAULT_MEM_VANISHED = 38, /* the file shrank below a mapping */
	VH_FAULT_MEM_LOG = 39,	    /* the dirty log doesn't fit its file */
	VH_FAULT_MEM_IOTLB = 40,    /* an entry that can't be */

	/* virtqueues: what the driver did wrong */
	VH_FAULT_RING_SIZE = 48,     /* queue size */
	VH_FAULT_RING_ADDR = 49,     /* a ring part is misaligned or unmapped */
	VH_FAULT_RING_INDEX = 50,    /* the available index jumped */
	VH_FAULT_RING_HEAD = 51,     /* head out of range */
	VH_FAULT_RING_BUSY = 52,     /* head is already in flight */
	VH_FAULT_DESC_NEXT = 53,     /* next out of range */
	VH_FAULT_DESC_LOOP = 54,     /* chain longer than the queue */
	VH_FAULT_DESC_ADDR = 55,     /* buffer outside guest memory */
	VH_FAULT_DESC_INDIRECT = 56, /* malformed or nested indirect table */
	VH_FAULT_DESC_ORDER = 57,    /* readable part after a writable one */
	VH_FAULT_DESC_LENGTH = 58,   /* more than 2^32 - 1 bytes in a chain */
	VH_FAULT_DESC_SEGMENTS = 59, /* more pieces than the device takes */
	VH_FAULT_DESC_ACCESS = 60,   /* the IOTLB doesn't allow that access */

	/* virtqueues: what the device did wrong */
	VH_FAULT_USED_ID = 61,	   /* an id that isn't in flight */
	VH_FAULT_USED_LENGTH = 62, /* more written than there is room */
	VH_FAULT_USED_INDEX = 63,  /* the used index jumped */

	/* devices */
	VH_FAULT_FEATURES = 64, /* feature bits that weren't offered */
	VH_FAULT_CONFIG = 65,	/* config space access */
	VH_FAULT_REQUEST = 66,	/* a request that the device can't answer */
	VH_FAULT_IO = 67,	/* the storage behind the device failed */
	VH_FAULT_BROKEN = 68,	/* a back-end says so, and not why */
};

#define VH_FAULT_NO_QUEUE   UINT32_MAX
#define VH_FAULT_NO_MESSAGE UINT32_MAX
#define VH_FAULT_TEXT_MAX   192

struct vh_fault {
	uint32_t code;	  /* VH_FAULT_... */
	int32_t error;	  /* the negative errno that was returned */
	uint32_t queue;	  /* queue index or VH_FAULT_NO_QUEUE */
	uint32_t message; /* request id or VH_FAULT_NO_MESSAGE */
	/* of the specification that was broken, or ""; a literal */
	const char *section;
	/* one line: which field, which value, which limit */
	char text[VH_FAULT_TEXT_MAX];
};

/*
 * The name of a code, as "RING_INDEX"; "UNKNOWN" for others. Static; any
 * thread.
 */
VH_API const char *vh_fault_name(uint32_t code);

enum {
	VH_LOG_ERROR = 0, /* something doesn't work any more */
	VH_LOG_WARN = 1,  /* the peer or the guest broke a rule */
	VH_LOG_INFO = 2, /* life of the connection: who came, what was agreed */
	VH_LOG_DEBUG = 3, /* each message */
};

/*
 * Where an object says what happens to it. The struct is copied; write may
 * be NULL (silence). write is called from the thread in which something
 * happened (a worker's or the control thread), so it must be thread-safe,
 * must not block for long and must not call back into the same object. The
 * text is one line without its end, valid during the call. An object writes
 * at most a few dozen lines a second and says how many it left out.
 */
struct vh_log {
	void (*write)(void *user, uint32_t level, const char *text);
	void *user;
	uint32_t level; /* lines above this VH_LOG_... level aren't made */
};

/* The version of the library that runs, as "0.1.0". Static; any thread. */
VH_API const char *vh_version(void);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_BASE_H */
