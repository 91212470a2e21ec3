/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the front-end is told unasked ("Back-end communication"). News comes
 * from any thread and waits here for the thread of the server.
 */
#include "server.h"

#include <base/fault.h>
#include <errno.h>
#include <sys/epoll.h>

#define PAGE UINT64_C(4096)

void vhi_news_config(struct vh_user_server *server)
{
	__atomic_store_n(&server->config_changed, true, __ATOMIC_RELEASE);
	vhi_eventfd_signal(server->wake);
}

static void note_ring(struct vh_user_server *server, uint64_t bits[4],
		      uint32_t queue)
{
	if (queue >= 256)
		return;
	__atomic_fetch_or(&bits[queue / 64], VHI_BIT(queue % 64),
			  __ATOMIC_RELEASE);
	vhi_eventfd_signal(server->wake);
}

void vhi_news_call(struct vh_user_server *server, uint32_t queue)
{
	note_ring(server, server->calls, queue);
}

void vhi_news_error(struct vh_user_server *server, uint32_t queue)
{
	note_ring(server, server->errors, queue);
}

static struct vhi_miss *miss_at(struct vhi_misses *misses, unsigned int index)
{
	return &misses->list[(misses->first + index) % VHI_MISSES_MAX];
}

static bool waits_already(struct vhi_misses *misses, vh_gpa iova,
			  uint32_t access)
{
	for (unsigned int i = 0; i < misses->count; i++) {
		const struct vhi_miss *miss = miss_at(misses, i);

		if (miss->iova / PAGE == iova / PAGE &&
		    !(access & ~miss->access))
			return true;
	}
	return false;
}

/*
 * A ring waits for one address at a time, and there are at most 256 rings: so
 * when the list is full, the oldest are those that nobody waits for any more.
 */
void vhi_news_miss(struct vh_user_server *server, vh_gpa iova, uint32_t access)
{
	struct vhi_misses *misses = &server->misses;

	pthread_mutex_lock(&server->lock);
	if (!waits_already(misses, iova, access)) {
		if (misses->count == VHI_MISSES_MAX) {
			misses->first = (misses->first + 1) % VHI_MISSES_MAX;
			misses->count--;
		}
		*miss_at(misses, misses->count++) =
		    (struct vhi_miss){.iova = iova, .access = access};
	}
	pthread_mutex_unlock(&server->lock);
	vhi_eventfd_signal(server->wake);
}

void vhi_news_forget_misses(struct vh_user_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->misses.count = 0;
	pthread_mutex_unlock(&server->lock);
}

static bool has_misses(struct vh_user_server *server)
{
	bool any;

	pthread_mutex_lock(&server->lock);
	any = server->misses.count > 0;
	pthread_mutex_unlock(&server->lock);
	return any;
}

static bool take_miss(struct vh_user_server *server, struct vh_message *news)
{
	struct vhi_misses *misses = &server->misses;
	struct vhi_miss miss;
	bool any;

	pthread_mutex_lock(&server->lock);
	any = misses->count > 0;
	if (any) {
		miss = *miss_at(misses, 0);
		misses->first = (misses->first + 1) % VHI_MISSES_MAX;
		misses->count--;
	}
	pthread_mutex_unlock(&server->lock);
	if (!any)
		return false;
	*news = (struct vh_message){
	    .id = VH_USER_BACKEND_IOTLB_MSG,
	    .payload = VH_PAYLOAD_IOTLB,
	    .iotlb.iova = miss.iova,
	    .iotlb.perm = (uint8_t)miss.access, /* the same bits */
	    .iotlb.type = VH_USER_IOTLB_MISS,
	};
	return true;
}

/* Several changes are one piece of news. */
static bool take_config(struct vh_user_server *server, struct vh_message *news)
{
	if (!vhi_session_has(server, VH_USER_PROTOCOL_F_CONFIG) ||
	    !__atomic_exchange_n(&server->config_changed, false,
				 __ATOMIC_ACQUIRE))
		return false;
	*news = (struct vh_message){
	    .id = VH_USER_BACKEND_CONFIG_CHANGE_MSG,
	    .payload = VH_PAYLOAD_NONE,
	};
	return true;
}

/* One ring that has news, if the front-end takes such messages. */
static bool take_ring(struct vh_user_server *server, uint64_t bits[4],
		      uint32_t id, struct vh_message *news)
{
	if (!vhi_session_has(server, VH_USER_PROTOCOL_F_INBAND_NOTIFICATIONS))
		return false;
	for (uint32_t i = 0; i < 4; i++) {
		uint64_t word = __atomic_load_n(&bits[i], __ATOMIC_ACQUIRE);
		uint32_t bit;

		if (!word)
			continue;
		bit = (uint32_t)__builtin_ctzll(word);
		__atomic_fetch_and(&bits[i], ~VHI_BIT(bit), __ATOMIC_ACQUIRE);
		*news = (struct vh_message){
		    .id = id,
		    .payload = VH_PAYLOAD_VRING_STATE,
		    .state.index = 64 * i + bit,
		};
		return true;
	}
	return false;
}

/* It waits for another channel. */
static void put_back(struct vh_user_server *server,
		     const struct vh_message *news)
{
	if (news->id == VH_USER_BACKEND_IOTLB_MSG)
		vhi_news_miss(server, news->iotlb.iova, news->iotlb.perm);
	else if (news->id == VH_USER_BACKEND_VRING_CALL)
		vhi_news_call(server, news->state.index);
	else if (news->id == VH_USER_BACKEND_VRING_ERR)
		vhi_news_error(server, news->state.index);
	else
		vhi_news_config(server);
}

/* False: the channel is no good any more. */
static bool send_news(struct vh_user_server *server,
		      const struct vh_message *news)
{
	struct vhi_session *session = &server->session;
	uint8_t bytes[VH_USER_HEADER_SIZE + VH_USER_MAX_PAYLOAD];
	int r =
	    vh_message_encode(&session->context, news, bytes, sizeof(bytes));

	if (r >= 0)
		r = vhi_channel_send(session->reverse, bytes, (size_t)r, NULL,
				     0);
	if (r > 0)
		r = vhi_server_watch(server, vhi_channel_fd(session->reverse),
				     EPOLLOUT);
	return r >= 0;
}

static void say_mute(struct vh_user_server *server)
{
	struct vhi_session *session = &server->session;
	struct vh_fault fault;

	if (session->said_mute || !has_misses(server))
		return;
	session->said_mute = true;
	vhi_fault(&fault, VH_FAULT_MSG_STATE, -ENOTCONN, "IOMMU support",
		  "a ring waits for an entry of the IOTLB, but there is no "
		  "back-end channel to ask for it");
	vhi_session_note_fault(server, &fault);
}

static bool suspended(const struct vhi_session *session)
{
	uint64_t any = 0;

	for (size_t i = 0; i < sizeof(session->started) / sizeof(any); i++)
		any |= session->started[i];
	return !any;
}

static bool take_news(struct vh_user_server *server, struct vh_message *news)
{
	return take_ring(server, server->calls, VH_USER_BACKEND_VRING_CALL,
			 news) ||
	       take_ring(server, server->errors, VH_USER_BACKEND_VRING_ERR,
			 news) ||
	       take_config(server, news) || take_miss(server, news);
}

/*
 * A suspended device sends nothing ("Suspended device state"): then news of
 * the config space waits until a ring starts, and no ring waits for anything.
 */
void vhi_news_tell(struct vh_user_server *server)
{
	struct vhi_session *session = &server->session;
	struct vh_message news;

	if (suspended(session)) {
		vhi_news_forget_misses(server);
		return;
	}
	while (session->reverse && !vhi_channel_sending(session->reverse) &&
	       take_news(server, &news)) {
		if (send_news(server, &news))
			continue;
		vhi_news_set_channel(server, NULL);
		put_back(server, &news);
	}
	if (!session->reverse)
		say_mute(server);
}

void vhi_news_flush(struct vh_user_server *server)
{
	struct vhi_session *session = &server->session;
	int r = vhi_channel_flush(session->reverse);

	if (r > 0)
		return;
	if (r < 0) {
		vhi_news_set_channel(server, NULL);
		return;
	}
	vhi_server_unwatch(server, vhi_channel_fd(session->reverse));
	vhi_news_tell(server);
}

void vhi_news_set_channel(struct vh_user_server *server,
			  struct vhi_channel *reverse)
{
	struct vhi_session *session = &server->session;

	if (session->reverse)
		vhi_server_unwatch(server, vhi_channel_fd(session->reverse));
	vhi_channel_free(session->reverse);
	session->reverse = reverse;
}
