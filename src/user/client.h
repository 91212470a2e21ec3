/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The vhost-user client: a back-end behind a socket. Everything belongs to the
 * thread that drives it, but what vh_user_cancel() touches.
 */
#ifndef USER_CLIENT_H
#define USER_CLIENT_H

#include <backend/backend.h>
#include <base/fd.h>
#include <base/log.h>
#include <libvhost/user.h>
#include <protocol/channel.h>

#define VHI_BIT(n) (UINT64_C(1) << (n))

/* Messages name rings by 8 bits. */
#define VHI_CLIENT_QUEUES 256

/* What the back-end was told of a ring. */
struct vhi_client_queue {
	uint32_t num; /* 0: not yet */
	bool has_addr;
	bool started;
	bool called; /* it has a call descriptor */
	bool erred;  /* and one for errors */
	struct vh_vring_addr addr;
};

/* The regions that the back-end has, in the order in which it got them. */
struct vhi_client_memory {
	struct vh_memory *map; /* checks regions, finds front-end addresses */
	unsigned int count;
	struct vh_region *list; /* with descriptors of our own */
};

/* How far a postcopy migration has come. */
enum {
	VHI_POSTCOPY_NONE = 0,
	VHI_POSTCOPY_ADVISED,
	VHI_POSTCOPY_LISTENING,
	VHI_POSTCOPY_MAPPED, /* a table came back and waits for "ready" */
};

struct vhi_client {
	struct vh_backend backend;
	struct vhi_log log;
	struct vhi_channel *channel; /* NULL: the connection has ended */
	struct vhi_channel *reverse; /* for back-end requests, or NULL */
	int epoll;		     /* both of them, for the caller's loop */
	int cancel;		     /* eventfd; any thread */
	bool cancelled;		     /* any thread, by atomics */
	bool ready;		     /* negotiated */
	bool owned;
	uint32_t timeout_ms;
	struct vh_message_context context;
	uint64_t offered; /* features, without bit 30 */
	uint64_t protocol_offered;
	uint32_t queue_num;
	uint32_t slots;
	unsigned int postcopy; /* VHI_POSTCOPY_... */
	bool tracked;	       /* an in-flight area was set */
	struct vh_fault end;   /* why the connection has ended */
	struct vhi_client_memory memory;
	struct vhi_client_queue queues[VHI_CLIENT_QUEUES];
};

static inline struct vhi_client *vhi_client_of(struct vh_backend *b)
{
	return (struct vhi_client *)b;
}

static inline bool vhi_client_has(const struct vhi_client *c, unsigned int bit)
{
	return c->context.protocol_features & VHI_BIT(bit);
}

/* client.c */
extern const struct vhi_backend_ops vhi_client_ops;
/* The connection is no good any more, for the reason in backend.fault. */
void vhi_client_lose(struct vhi_client *c);

/*
 * client_call.c: sends a request and waits for what shows that it was
 * granted: its reply, an acknowledgement, or, where the back-end knows none,
 * the reply to a harmless one behind it. ret_reply may be NULL; what it points
 * to is valid until the next call. 0, or a negative errno with words in
 * backend.fault.
 */
int vhi_client_call(struct vhi_client *c, const struct vh_message *request,
		    const int fds[], unsigned int fd_count,
		    struct vh_message *ret_reply);
int vhi_client_set_u64(struct vhi_client *c, uint32_t id, uint64_t value);
int vhi_client_get_u64(struct vhi_client *c, uint32_t id, uint64_t *ret);
int vhi_client_send_fd(struct vhi_client *c, uint32_t id, int fd);
/* Takes the reply's descriptor; -1: none came. */
int vhi_client_take_fd(struct vhi_client *c);
/* A reply that can't be true ends the connection. */
int VH_PRINTF(3, 4)
    vhi_client_lie(struct vhi_client *c, uint32_t id, const char *format, ...);

/* client_negotiate.c */
int vhi_client_negotiate(struct vhi_client *c, uint64_t mask);

/* client_reverse.c */
int vhi_reverse_open(struct vhi_client *c);
void vhi_reverse_close(struct vhi_client *c);
/* Takes what the back-end wants, without waiting. */
void vhi_reverse_serve(struct vhi_client *c);

/* client_memory.c */
int vhi_client_set_mem_table(struct vh_backend *b,
			     const struct vh_region regions[],
			     unsigned int count);
int vhi_client_add_region(struct vh_backend *b, const struct vh_region *region);
int vhi_client_remove_region(struct vh_backend *b,
			     const struct vh_region *region);
/*
 * The two halves of a new table: what it will be, and that it is, or, with an
 * r other than 0, isn't. The latter returns r.
 */
int vhi_client_begin_table(struct vhi_client *c,
			   const struct vh_region regions[], unsigned int count,
			   struct vhi_client_memory *ret_next);
int vhi_client_end_table(struct vhi_client *c,
			 const struct vhi_client_memory *next, int r);
struct vh_message_region vhi_client_on_the_wire(const struct vh_region *region);
/* Takes it from the back-end, too, and begins again without any. */
int vhi_client_forget_memory(struct vhi_client *c);
/* Without a word: there is no map any more. */
void vhi_client_drop_memory(struct vhi_client *c);
int vhi_client_iotlb_update(struct vh_backend *b,
			    const struct vh_iotlb_entry *entry);
int vhi_client_iotlb_invalidate(struct vh_backend *b, vh_gpa iova,
				uint64_t size);
/* fd has size bytes at offset. */
int vhi_client_check_file(struct vhi_client *c, int fd, uint64_t offset,
			  uint64_t size);

/* client_vring.c */
/* False: the back-end can't have such a ring. */
bool vhi_client_has_queue(const struct vhi_client *c, uint32_t q);
/* NULL, with words: the same. */
struct vhi_client_queue *vhi_client_queue(struct vhi_client *c, uint32_t q);
bool vhi_client_started(const struct vhi_client *c);
void vhi_client_forget_queues(struct vhi_client *c);
int vhi_client_set_vring_num(struct vh_backend *b, uint32_t q, uint32_t num);
int vhi_client_set_vring_addr(struct vh_backend *b, uint32_t q,
			      const struct vh_vring_addr *addr);
int vhi_client_set_state(struct vhi_client *c, uint32_t id, uint32_t q,
			 uint32_t num);
int vhi_client_set_vring_base(struct vh_backend *b, uint32_t q, uint32_t base);
int vhi_client_get_vring_base(struct vh_backend *b, uint32_t q, uint32_t *ret);
int vhi_client_skip_drain(struct vh_backend *b, uint32_t q, uint32_t *ret);
int vhi_client_set_vring_kick(struct vh_backend *b, uint32_t q, int fd);
int vhi_client_set_vring_call(struct vh_backend *b, uint32_t q, int fd);
int vhi_client_set_vring_err(struct vh_backend *b, uint32_t q, int fd);
int vhi_client_set_vring_enable(struct vh_backend *b, uint32_t q, bool enable);

#endif
