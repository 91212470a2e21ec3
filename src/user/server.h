/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The vhost-user server. One struct for the server, which lives as long as
 * the program wants, and one for the session with the present front-end.
 *
 * Everything belongs to the thread that dispatches, but what "shared" marks.
 */
#ifndef USER_SERVER_H
#define USER_SERVER_H

#include "socket.h"

#include <base/fd.h>
#include <base/log.h>
#include <libvhost/user.h>
#include <protocol/channel.h>
#include <pthread.h>

#define VHI_BIT(n) (UINT64_C(1) << (n))

/*
 * The pause before the next try to connect or accept; it doubles until a
 * front-end proves good by starting a ring.
 */
#define VHI_FIRST_PAUSE_MS 10

/* Where the front-end sees guest memory: to convert ring addresses. */
struct vhi_user_regions {
	unsigned int count;
	struct vh_region *list; /* room for VH_MEMORY_MAX_REGIONS, or NULL */
};

/* Entries of the IOTLB that rings wait for and nobody was asked for yet. */
#define VHI_MISSES_MAX 256

struct vhi_miss {
	vh_gpa iova;
	uint32_t access; /* VH_ACCESS_... */
};

struct vhi_misses {
	unsigned int first;
	unsigned int count;
	struct vhi_miss list[VHI_MISSES_MAX];
};

struct vhi_session {
	struct vhi_channel *channel; /* NULL: nobody is connected */
	struct vhi_channel *reverse; /* of SET_BACKEND_REQ_FD, or NULL */
	struct vh_message_context context;
	struct vhi_user_regions regions;
	uint64_t started[4]; /* a bit for each of 256 rings */
	bool said_mute;	     /* that there is nobody to ask */
	bool sending;	     /* an answer: we wait for room first */
	bool postcopy;	     /* tables go back with the back-end's addresses */
};

struct vh_user_server {
	struct vh_backend *backend;
	struct vh_user_serve_opts opts;
	struct vhi_log log;
	struct vhi_socket socket;
	int epoll;
	int wake;	/* eventfd: something shared changed */
	int backend_fd; /* the back-end's, or -1 */
	int timer;	/* next try to connect or accept; end of patience */
	bool listens;	/* to the back-end's events */
	bool ended;	/* nobody can come any more */
	bool impatient; /* the timer runs for the front-end */
	unsigned int pause_ms; /* before the next try */
	int connect_error;     /* of the last try, as it was logged; or 0 */
	struct vhi_session session;
	struct vh_fault fault; /* of the message in hand */

	/* shared: thread and its end, by atomics */
	pthread_t thread;
	bool running;
	bool quit;
	bool config_changed;
	bool backend_gone;
	uint64_t calls[4];  /* rings with news, a bit for each */
	uint64_t errors[4]; /* broken rings */
	int ended_fd;

	/* shared, by the lock */
	pthread_mutex_t lock;
	struct vh_user_server_info info;
	struct vh_fault last_fault;
	struct vhi_misses misses;
};

/* An answer in the making. */
struct vhi_reply {
	bool made; /* message counts */
	struct vh_message message;
	int fd; /* goes with it and is closed then; -1: none */
	uint8_t config[VH_USER_MAX_CONFIG];
};

/* loop.c */
int vhi_server_watch(struct vh_user_server *server, int fd, uint32_t events);
void vhi_server_unwatch(struct vh_user_server *server, int fd);
void vhi_server_set_timer(struct vh_user_server *server, unsigned int ms);
int vhi_server_run(struct vh_user_server *server, int timeout_ms);
/* Looks for the next front-end. */
void vhi_server_seek(struct vh_user_server *server);

/* session.c */
int vhi_session_open(struct vh_user_server *server, int socket); /* owns it */
void vhi_session_close(struct vh_user_server *server);
/* Readable or writable; false: the session has ended. */
bool vhi_session_progress(struct vh_user_server *server);
void vhi_session_note_fault(struct vh_user_server *server,
			    const struct vh_fault *fault);
bool vhi_session_has(const struct vh_user_server *server, unsigned int bit);

/* news.c: what happened, from any thread. */
void vhi_news_config(struct vh_user_server *server);
void vhi_news_miss(struct vh_user_server *server, vh_gpa iova, uint32_t access);
void vhi_news_call(struct vh_user_server *server, uint32_t queue);
void vhi_news_error(struct vh_user_server *server, uint32_t queue);
/* Tells the front-end what there is, as far as that can be done now. */
void vhi_news_tell(struct vh_user_server *server);
/* The reverse channel takes more, or nothing any more. */
void vhi_news_flush(struct vh_user_server *server);
/* Takes over the channel; NULL ends the present one. */
void vhi_news_set_channel(struct vh_user_server *server,
			  struct vhi_channel *reverse);
void vhi_news_forget_misses(struct vh_user_server *server);

/* forward.c: requests of the back-end that want an answer. */
void vhi_forward_events(struct vh_backend_events *events);

/* answer.c: one frame; false: the connection must end. */
bool vhi_answer(struct vh_user_server *server, const struct vhi_frame *frame);

/* handlers.c: 0 or a negative errno with words in server->fault. */
int vhi_handle(struct vh_user_server *server, const struct vh_message *message,
	       struct vhi_reply *reply);
uint64_t vhi_protocol_features(const struct vh_user_server *server);

/* regions.c */
int vhi_regions_set(struct vhi_user_regions *regions,
		    const struct vh_region list[], unsigned int count);
int vhi_regions_add(struct vhi_user_regions *regions,
		    const struct vh_region *region);
void vhi_regions_remove(struct vhi_user_regions *regions,
			const struct vh_region *region);
void vhi_regions_free(struct vhi_user_regions *regions);
/* How many bytes of its region there are from it on; 0: it is in none. */
uint64_t vhi_regions_to_guest(const struct vhi_user_regions *regions,
			      struct vh_user_addr user, vh_gpa *ret_guest);

#endif
