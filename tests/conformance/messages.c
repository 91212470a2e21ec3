/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Every request id with every kind of payload size and 0 to 9 descriptors,
 * in each state of a connection. The server answers or closes, never both
 * with "well done" for what is malformed, keeps no descriptor, and serves
 * the next front-end.
 */
#include "fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define MAX_FDS 9

enum state { FRESH, NEGOTIATED, STARTED, STOPPED };

#define IN(state) (1u << (state))
#define ALWAYS	  (IN(FRESH) | IN(NEGOTIATED) | IN(STARTED) | IN(STOPPED))
#define NEVER	  0

/*
 * Sizes of the payload and numbers of descriptors by the specification, and
 * in which states a message whose payload is all zeroes has to be granted
 * (the first queue; a size, an address, a region of 0, which nobody can
 * want; no regions; no features). Ids beyond the array are unknown.
 */
static const struct rule {
	uint32_t min;
	uint32_t max;
	unsigned int min_fds;
	unsigned int max_fds;
	bool replies; /* by itself, not only with an acknowledgement */
	unsigned int granted;
} known[FE_LAST_REQUEST + 1] = {
    [FE_GET_FEATURES] = {0, 0, 0, 0, true, ALWAYS},
    [FE_SET_FEATURES] = {8, 8, 0, 0, false, ALWAYS & ~IN(STARTED)},
    [FE_SET_OWNER] = {0, 0, 0, 0, false, ALWAYS},
    [FE_RESET_OWNER] = {0, 0, 0, 0, false, ALWAYS},
    [FE_SET_MEM_TABLE] = {8, 8 + 8 * 32, 0, 0, false, ALWAYS},
    [FE_SET_LOG_BASE] = {8, 16, 1, 1, false, NEVER}, /* without LOG_SHMFD */
    [FE_SET_LOG_FD] = {0, 0, 1, 1, false, ALWAYS},
    [FE_SET_VRING_NUM] = {8, 8, 0, 0, false, NEVER},
    [FE_SET_VRING_ADDR] = {40, 40, 0, 0, false, NEVER},
    [FE_SET_VRING_BASE] = {8, 8, 0, 0, false, ALWAYS & ~IN(STARTED)},
    [FE_GET_VRING_BASE] = {8, 8, 0, 0, true, ALWAYS},
    [FE_SET_VRING_KICK] = {8, 8, 1, 1, false, IN(STARTED) | IN(STOPPED)},
    [FE_SET_VRING_CALL] = {8, 8, 1, 1, false, ALWAYS},
    [FE_SET_VRING_ERR] = {8, 8, 1, 1, false, ALWAYS},
    [FE_GET_PROTOCOL_FEATURES] = {0, 0, 0, 0, true, ALWAYS},
    [FE_SET_PROTOCOL_FEATURES] = {8, 8, 0, 0, false, ALWAYS},
    [FE_GET_QUEUE_NUM] = {0, 0, 0, 0, true, ALWAYS & ~IN(FRESH)},
    [FE_SET_VRING_ENABLE] = {8, 8, 0, 0, false, ALWAYS},
    [19] = {8, 8, 0, 0, false, NEVER}, /* SEND_RARP */
    [20] = {8, 8, 0, 0, false, NEVER}, /* NET_SET_MTU */
    [FE_SET_BACKEND_REQ_FD] = {0, 0, 1, 1, false, NEVER},
    [FE_IOTLB_MSG] = {32, 32, 0, 0, false, NEVER},
    [23] = {8, 8, 0, 0, false, NEVER}, /* SET_VRING_ENDIAN */
    [FE_GET_CONFIG] = {13, 12 + 256, 0, 0, true, NEVER},
    [FE_SET_CONFIG] = {13, 12 + 256, 0, 0, false, NEVER},
    [26] = {632, 632, 0, 0, true, NEVER}, /* CREATE_CRYPTO_SESSION */
    [27] = {8, 8, 0, 0, false, NEVER},	  /* CLOSE_CRYPTO_SESSION */
    [28] = {0, 0, 0, 0, true, NEVER},	  /* POSTCOPY_ADVISE */
    [29] = {0, 0, 0, 0, false, NEVER},	  /* POSTCOPY_LISTEN */
    [30] = {0, 0, 0, 0, true, NEVER},	  /* POSTCOPY_END */
    [FE_GET_INFLIGHT_FD] = {24, 24, 0, 0, true, NEVER},
    [FE_SET_INFLIGHT_FD] = {24, 24, 1, 1, false, NEVER},
    [33] = {0, 0, 1, 1, false, NEVER}, /* GPU_SET_SOCKET */
    [FE_RESET_DEVICE] = {0, 0, 0, 0, false, ALWAYS & ~IN(FRESH)},
    [35] = {8, 8, 0, 0, false, NEVER}, /* VRING_KICK */
    [FE_GET_MAX_MEM_SLOTS] = {0, 0, 0, 0, true, ALWAYS & ~IN(FRESH)},
    [FE_ADD_MEM_REG] = {40, 40, 1, 1, false, NEVER},
    [FE_REM_MEM_REG] = {40, 40, 0, 1, false, NEVER},
    [FE_SET_STATUS] = {8, 8, 0, 0, false, ALWAYS & ~IN(FRESH)},
    [FE_GET_STATUS] = {0, 0, 0, 0, true, ALWAYS & ~IN(FRESH)},
    [41] = {16, 16, 0, 0, true, NEVER}, /* GET_SHARED_OBJECT */
    [42] = {8, 8, 1, 1, true, NEVER},	/* SET_DEVICE_STATE_FD */
    [43] = {0, 0, 0, 0, true, NEVER},	/* CHECK_DEVICE_STATE */
    [44] = {0, 0, 0, 0, true, NEVER},	/* GET_SHMEM_CONFIG */
    [45] = {8, 8, 0, 0, true, NEVER},	/* GET_VRING_BASE_SKIP_DRAIN */
};

/* One case, for the words of a failure, too. */
struct test_case {
	enum state state;
	uint32_t id;
	uint32_t size;
	unsigned int fds;
	bool need_reply;
};

struct outcome {
	bool alive;
	bool replied;
	uint32_t size; /* of the reply */
	uint64_t value;
};

static void fail_case(const struct test_case *c, const char *what)
{
	fail_msg("state %d, id %u, size %u, %u descriptors%s: %s", c->state,
		 c->id, c->size, c->fds, c->need_reply ? ", NEED_REPLY" : "",
		 what);
}

static bool is_known(uint32_t id)
{
	return id >= 1 && id <= FE_LAST_REQUEST;
}

static bool is_well_formed(const struct test_case *c)
{
	const struct rule *rule;

	if (!is_known(c->id))
		return false;
	rule = &known[c->id];
	return c->size >= rule->min && c->size <= rule->max &&
	       c->fds >= rule->min_fds && c->fds <= rule->max_fds;
}

static bool is_granted(const struct test_case *c)
{
	return is_well_formed(c) && (known[c->id].granted & IN(c->state));
}

/* Acknowledged if it is granted or refused: REPLY_ACK is negotiated. */
static bool is_acked(const struct test_case *c)
{
	if (c->id == FE_IOTLB_MSG) /* its reply is an acknowledgement */
		return true;
	return c->need_reply && c->state != FRESH &&
	       !(is_known(c->id) && known[c->id].replies);
}

static void open_fds(int fds[MAX_FDS], unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		switch (i % 3) {
		case 0:
			fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
			break;
		case 1:
			fds[i] = memfd_create("surplus", MFD_CLOEXEC);
			break;
		default:
			fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		}
		assert_true(fds[i] >= 0);
	}
}

static void enter(struct fixture *f, enum state state)
{
	struct session *session = &f->session;

	connect_session(f);
	if (state == NEGOTIATED)
		must(session_negotiate(session));
	if (state == STARTED || state == STOPPED)
		must(session_start(session));
	if (state == STOPPED) {
		must(session_stop_queue(session, 0));
		session->queues[0].base = 0;
	}
}

static int send_case(struct fixture *f, const struct test_case *c)
{
	static const uint8_t zeroes[FE_MAX_PAYLOAD];
	struct fe_message message = {
	    .id = c->id,
	    .flags = FE_VERSION | (c->need_reply ? FE_NEED_REPLY : 0),
	    .size = c->size,
	    .payload = zeroes,
	    .length = c->size > FE_MAX_PAYLOAD ? 0 : c->size,
	    .num_fds = c->fds,
	};
	int fds[MAX_FDS];
	unsigned int i;
	int ret;

	open_fds(fds, c->fds);
	message.fds = fds;
	ret = fe_send(&f->session.fe, &message);
	for (i = 0; i < c->fds; i++)
		close(fds[i]);
	return ret;
}

/* What comes back until the GET_FEATURES that follows is answered. */
static void listen_to(struct fixture *f, const struct test_case *c,
		      struct outcome *outcome)
{
	bool is_last = false;

	while (!is_last) {
		struct fe_reply reply;
		int ret = fe_receive(&f->session.fe, &reply);

		if (ret == -EPIPE)
			return;
		if (ret < 0)
			fail_case(c, "neither answered nor closed");
		if (reply.flags != (FE_VERSION | FE_REPLY))
			fail_case(c, "wrong flags in the reply");
		is_last = reply.id == FE_GET_FEATURES && reply.size == 8 &&
			  (outcome->replied || c->id != FE_GET_FEATURES);
		if (!is_last && (reply.id != c->id || outcome->replied))
			fail_case(c, "a reply that nobody asked for");
		if (!is_last) {
			outcome->replied = true;
			outcome->size = reply.size;
			outcome->value = get64(reply.payload);
		}
		fe_reply_close(&reply);
	}
	outcome->alive = true;
}

static void check_granted(const struct test_case *c,
			  const struct outcome *outcome)
{
	/* it ends what NEED_REPLY rests on, or not: both can be read */
	bool either = c->id == FE_SET_PROTOCOL_FEATURES && is_acked(c);
	bool replies = known[c->id].replies || is_acked(c);

	if (!outcome->alive)
		fail_case(c, "closed though all is well");
	if (outcome->replied != replies && !either)
		fail_case(c, replies ? "no reply"
				     : "a reply that nobody asked for");
	if (outcome->replied && !known[c->id].replies &&
	    (outcome->size != 8 || outcome->value != 0))
		fail_case(c, "refused though all is well");
}

/* Refused in a way that the front-end notices. */
static void check_refused(const struct test_case *c,
			  const struct outcome *outcome)
{
	if (is_acked(c)) {
		if (!outcome->alive || !outcome->replied)
			fail_case(c, "not acknowledged");
		if (outcome->size != 8 || outcome->value == 0)
			fail_case(c, "granted though it can't be");
		return;
	}
	/* an error of its own: a reply without payload */
	if (c->id == FE_GET_CONFIG && is_well_formed(c)) {
		if (!outcome->alive || !outcome->replied || outcome->size != 0)
			fail_case(c, "no empty reply");
		return;
	}
	if (outcome->alive || outcome->replied)
		fail_case(c, "neither refused nor closed");
}

static void check(const struct test_case *c, const struct outcome *outcome)
{
	/* nobody reads that much, so nothing can follow */
	if (c->size == UINT32_MAX && outcome->alive)
		fail_case(c, "can't have read that much");
	if (c->size == UINT32_MAX)
		return;
	if (is_granted(c))
		check_granted(c, outcome);
	else
		check_refused(c, outcome);
}

static void run_case(struct fixture *f, const struct test_case *c)
{
	struct outcome outcome = {.alive = false};
	struct fe_message barrier = {.id = FE_GET_FEATURES,
				     .flags = FE_VERSION};
	int ret;

	enter(f, c->state);
	ret = send_case(f, c);
	if (ret == 0 && c->size != UINT32_MAX)
		ret = fe_send(&f->session.fe, &barrier);
	if (ret < 0 && ret != -EPIPE)
		fail_case(c, "doesn't read");
	listen_to(f, c, &outcome);
	check(c, &outcome);
	fe_close(&f->session.fe);
}

static unsigned int sizes_of(uint32_t id, uint32_t sizes[6])
{
	struct rule s = {.min = 8, .max = 8};
	uint32_t all[6];
	unsigned int count = 0, i, j;

	if (is_known(id))
		s = known[id];
	all[0] = 0;
	all[1] = s.min > 0 ? s.min - 1 : 0;
	all[2] = s.min;
	all[3] = s.max;
	all[4] = s.max + 1;
	all[5] = UINT32_MAX;
	for (i = 0; i < 6; i++) {
		for (j = 0; j < count && sizes[j] != all[i]; j++)
			;
		if (j == count)
			sizes[count++] = all[i];
	}
	return count;
}

static void sweep_id(struct fixture *f, enum state state, uint32_t id)
{
	uint32_t sizes[6];
	unsigned int count = sizes_of(id, sizes);
	struct test_case c = {.state = state, .id = id};
	unsigned int i;

	for (i = 0; i < count; i++) {
		c.size = sizes[i];
		for (c.fds = 0; c.fds <= MAX_FDS; c.fds++) {
			c.need_reply = state != FRESH;
			run_case(f, &c);
			if (state == FRESH || c.fds > 1)
				continue;
			c.need_reply = false;
			run_case(f, &c);
		}
	}
}

static void sweep(struct fixture *f, enum state state)
{
	struct session_opts opts = {.regions = 1, .table_entries = 1};
	struct resources before;
	uint32_t id;

	start_blk(f, 1);
	opts.region_size = 1 << 20;
	new_session(f, &opts);
	before = resources_now();
	for (id = 0; id <= FE_LAST_REQUEST + 1; id++) {
		sweep_id(f, state, id);
		must(resources_wait(&before));
	}
	sweep_id(f, state, 100);
	sweep_id(f, state, UINT32_MAX);
	must(resources_wait(&before));
	must_serve_another(f);
}

static void test_conformance_messages_when_fresh(void **state)
{
	sweep(*state, FRESH);
}

static void test_conformance_messages_when_negotiated(void **state)
{
	sweep(*state, NEGOTIATED);
}

static void test_conformance_messages_when_started(void **state)
{
	sweep(*state, STARTED);
}

static void test_conformance_messages_when_stopped(void **state)
{
	sweep(*state, STOPPED);
}

/* Version and flag bits that no front-end may set. */
static void test_conformance_messages_with_bad_flags(void **state)
{
	static const uint32_t flags[] = {
	    0, 2, 3, FE_VERSION | FE_REPLY, UINT32_MAX, 0x80000000u};
	struct fixture *f = *state;
	unsigned int i;

	open_blk(f, 1);
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct fe_message message = {.id = FE_GET_QUEUE_NUM,
					     .flags = flags[i]};

		must(fe_send(&f->session.fe, &message));
		must(fe_wait_closed(&f->session.fe));
		connect_session(f);
	}
	must_serve_another(f);
}

/* NEED_REPLY means nothing before REPLY_ACK is negotiated. */
static void test_conformance_messages_need_reply_too_early(void **state)
{
	struct fixture *f = *state;
	struct fe_message message = {.id = FE_SET_OWNER,
				     .flags = FE_VERSION | FE_NEED_REPLY};

	start_blk(f, 1);
	new_session(f, NULL);
	connect_session(f);
	must(fe_send(&f->session.fe, &message));
	must(fe_sync(&f->session.fe));
	/* and with a message that has a reply it changes nothing, ever */
	message.id = FE_GET_FEATURES;
	must(fe_send(&f->session.fe, &message));
	{
		struct fe_reply reply;

		must(fe_receive_for(&f->session.fe, FE_GET_FEATURES, &reply));
		assert_int_equal(reply.size, 8);
	}
	must(fe_sync(&f->session.fe));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_messages_when_fresh),
	    fixture_test(test_conformance_messages_when_negotiated),
	    fixture_test(test_conformance_messages_when_started),
	    fixture_test(test_conformance_messages_when_stopped),
	    fixture_test(test_conformance_messages_with_bad_flags),
	    fixture_test(test_conformance_messages_need_reply_too_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
