/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What front-ends in the field send, in their order and with their quirks. */
#include "fixture.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

/* Protocol features up to bit 16, which QEMU takes if they are offered. */
#define QEMU_PROTOCOL_FEATURES UINT64_C(0x1ffff)

struct qemu {
	struct fixture *f;
	struct frontend *fe;
	unsigned int queues;	 /* of the device */
	unsigned int configured; /* by the guest */
	uint64_t slots;
	int channel[2];
	struct fe_inflight area;
	int area_fd;
};

/* This one asks for an acknowledgement if there are any. */
#define ACKED(qemu, call)                                                      \
	do {                                                                   \
		(qemu)->fe->acks =                                             \
		    (qemu)->f->session.protocol_features & FE_PF_REPLY_ACK;    \
		must(call);                                                    \
		(qemu)->fe->acks = false;                                      \
	} while (0)

static void qemu_init(struct qemu *qemu, struct fixture *f, unsigned int queues)
{
	struct session_opts opts = {.num_queues = queues};

	memset(qemu, 0, sizeof(*qemu));
	qemu->f = f;
	qemu->queues = queues;
	qemu->configured = queues;
	qemu->area_fd = -1;
	qemu->channel[0] = -1;
	qemu->channel[1] = -1;
	new_session(f, &opts);
	qemu->fe = &f->session.fe;
}

static void qemu_disconnect(struct qemu *qemu)
{
	fe_close(qemu->fe);
	if (qemu->channel[0] >= 0) {
		close(qemu->channel[0]);
		close(qemu->channel[1]);
	}
	qemu->channel[0] = -1;
}

static void qemu_end(struct qemu *qemu)
{
	qemu_disconnect(qemu);
	if (qemu->area_fd >= 0)
		close(qemu->area_fd);
}

static void qemu_negotiate(struct qemu *qemu)
{
	struct session *session = &qemu->f->session;
	uint64_t value;

	must(fe_get_u64(qemu->fe, FE_GET_FEATURES, &value));
	session->features = SESSION_FEATURES & value;
	assert_true(value & FE_F_PROTOCOL_FEATURES);
	must(fe_get_u64(qemu->fe, FE_GET_PROTOCOL_FEATURES, &value));
	session->protocol_features = QEMU_PROTOCOL_FEATURES & value;
	assert_true(value & FE_PF_CONFIG);
	must(fe_set_u64(qemu->fe, FE_SET_PROTOCOL_FEATURES,
			session->protocol_features));
	must(fe_get_u64(qemu->fe, FE_GET_QUEUE_NUM, &value));
	assert_int_equal(value, qemu->queues);
	must(fe_get_u64(qemu->fe, FE_GET_MAX_MEM_SLOTS, &qemu->slots));
	assert_true(qemu->slots >= 32);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qemu->channel));
	ACKED(qemu,
	      fe_set_fd(qemu->fe, FE_SET_BACKEND_REQ_FD, qemu->channel[1]));
	must(fe_command(qemu->fe, FE_SET_OWNER));
	must(fe_get_u64(qemu->fe, FE_GET_FEATURES, &value));
}

/* Call and err descriptors come before memory, ring size or features. */
static void qemu_connect(struct qemu *qemu, bool config)
{
	struct session *session = &qemu->f->session;
	uint8_t bytes[57];
	unsigned int i;

	connect_session(qemu->f);
	qemu_negotiate(qemu);
	for (i = 0; i < qemu->queues; i++) {
		must(fe_set_vring_fd(qemu->fe, FE_SET_VRING_CALL, i,
				     session->queues[i].call));
		must(fe_set_vring_fd(qemu->fe, FE_SET_VRING_ERR, i,
				     session->queues[i].err));
	}
	if (!config)
		return;
	must(fe_get_config(qemu->fe, 0, bytes, 57));
	assert_true(get64(bytes) > 0);
}

static void qemu_share_inflight(struct qemu *qemu)
{
	if (!(qemu->f->session.protocol_features & FE_PF_INFLIGHT))
		return;
	if (qemu->area_fd < 0) {
		qemu->area.num_queues = (uint16_t)qemu->queues;
		qemu->area.queue_size = 128;
		must(fe_get_inflight(qemu->fe, &qemu->area, &qemu->area_fd));
	}
	must(fe_set_inflight(qemu->fe, &qemu->area, qemu->area_fd));
}

static void qemu_set_status(struct qemu *qemu, uint8_t status)
{
	uint64_t value;

	if (!(qemu->f->session.protocol_features & FE_PF_STATUS))
		return;
	must(fe_get_u64(qemu->fe, FE_GET_STATUS, &value));
	must(fe_set_u64(qemu->fe, FE_SET_STATUS, status));
	must(fe_get_u64(qemu->fe, FE_GET_STATUS, &value));
	assert_int_equal(value, status);
}

static void qemu_start_ring(struct qemu *qemu, unsigned int i)
{
	struct session *session = &qemu->f->session;
	struct session_queue *queue = &session->queues[i];

	must(fe_set_vring(qemu->fe, FE_SET_VRING_NUM, i, queue->size));
	must(fe_set_vring(qemu->fe, FE_SET_VRING_BASE, i, queue->base));
	must(session_set_addr(session, i, 0));
	must(fe_set_vring_fd(qemu->fe, FE_SET_VRING_KICK, i, queue->kick));
	must(fe_set_vring_fd(qemu->fe, FE_SET_VRING_CALL, i, queue->call));
}

static void qemu_start(struct qemu *qemu)
{
	struct session *session = &qemu->f->session;
	unsigned int i;

	must(fe_set_u64(qemu->fe, FE_SET_FEATURES, session->features));
	must(fe_set_u64(qemu->fe, FE_SET_FEATURES, session->features));
	qemu_set_status(qemu, 8);
	qemu_share_inflight(qemu);
	for (i = 0; i < qemu->configured; i++)
		must(fe_set_vring_fd(qemu->fe, FE_SET_VRING_CALL, i,
				     session->queues[i].call));
	for (i = 0; i < session->guest.count; i++)
		ACKED(qemu,
		      fe_add_region(qemu->fe, &session->guest.regions[i]));
	for (i = 0; i < qemu->configured; i++)
		qemu_start_ring(qemu, i);
	/* those that the guest never set up, too */
	for (i = 0; i < qemu->queues; i++)
		must(fe_set_vring(qemu->fe, FE_SET_VRING_ENABLE, i, 1));
	qemu_set_status(qemu, 0xf);
}

/* The status goes first, and must not cost the rings their positions. */
static void qemu_stop(struct qemu *qemu)
{
	struct session *session = &qemu->f->session;
	unsigned int i;

	qemu_set_status(qemu, 0);
	for (i = 0; i < qemu->queues; i++)
		must(fe_set_vring(qemu->fe, FE_SET_VRING_ENABLE, i, 0));
	for (i = 0; i < qemu->configured; i++)
		must(session_stop_queue(session, i));
	for (i = session->guest.count; i-- > 0;)
		ACKED(qemu,
		      fe_remove_region(qemu->fe, &session->guest.regions[i]));
}

static void test_conformance_qemu_stops_and_continues(void **state)
{
	struct fixture *f = *state;
	struct qemu qemu;
	unsigned int round;

	start_blk(f, 4);
	qemu_init(&qemu, f, 4);
	qemu_connect(&qemu, true);
	must(session_make_rings(&f->session));
	make_blks(f, 8192);
	for (round = 0; round < 5; round++) {
		unsigned int i;

		qemu_start(&qemu);
		for (i = 0; i < 4; i++)
			must_do_io(f, i, round * 4 + i);
		qemu_stop(&qemu);
		for (i = 0; i < 4; i++) /* write, read, flush */
			assert_int_equal(f->session.queues[i].base,
					 3 * (round + 1));
	}
	qemu_end(&qemu);
}

static void test_conformance_qemu_guest_uses_one_queue_of_four(void **state)
{
	struct fixture *f = *state;
	struct qemu qemu;
	uint32_t base;

	start_blk(f, 4);
	qemu_init(&qemu, f, 4);
	qemu.configured = 1;
	qemu_connect(&qemu, true);
	must(session_make_rings(&f->session));
	make_blks(f, 8192);
	qemu_start(&qemu);
	must_do_io(f, 0, 0);
	/* a ring that was never set up can be asked nevertheless */
	must(fe_get_vring_base(qemu.fe, 3, &base));
	assert_int_equal(base, 0);
	must_do_io(f, 0, 1);
	qemu_stop(&qemu);
	qemu_end(&qemu);
}

static void test_conformance_qemu_guest_reset_starts_anew(void **state)
{
	struct fixture *f = *state;
	struct qemu qemu;
	unsigned int round;

	start_blk(f, 2);
	qemu_init(&qemu, f, 2);
	qemu_connect(&qemu, true);
	for (round = 0; round < 3; round++) {
		must(session_make_rings(&f->session));
		make_blks(f, 8192);
		qemu_start(&qemu);
		must_do_io(f, 0, round);
		must_do_io(f, 1, 8 + round);
		qemu_stop(&qemu);
		assert_int_equal(f->session.queues[1].base, 3);
	}
	qemu_end(&qemu);
}

static void test_conformance_qemu_reconnects_and_continues(void **state)
{
	struct fixture *f = *state;
	struct qemu qemu;
	unsigned int round;

	start_blk(f, 2);
	qemu_init(&qemu, f, 2);
	qemu_connect(&qemu, true);
	must(session_make_rings(&f->session));
	make_blks(f, 8192);
	for (round = 0; round < 10; round++) {
		qemu_start(&qemu);
		must_do_io(f, 0, round);
		must_do_io(f, 1, 20 + round);
		qemu_disconnect(&qemu);
		/* the used index of the ring, as QEMU takes it then */
		f->session.queues[0].base += 3;
		f->session.queues[1].base += 3;
		qemu_connect(&qemu, false);
	}
	qemu_end(&qemu);
}

static void test_conformance_qemu_config_sizes(void **state)
{
	static const uint32_t sizes[] = {57, 48, 36, 8, 1};
	struct fixture *f = *state;
	uint8_t whole[BLK_CONFIG_SIZE], part[BLK_CONFIG_SIZE];
	struct qemu qemu;
	unsigned int i;

	start_blk(f, 3);
	qemu_init(&qemu, f, 3);
	qemu_connect(&qemu, true);
	must(fe_get_config(qemu.fe, 0, whole, sizeof(whole)));
	assert_int_equal(get64(whole), (8 << 20) / BLK_SECTOR);
	assert_int_equal(whole[BLK_CONFIG_NUM_QUEUES], 3);
	assert_int_equal(whole[BLK_CONFIG_NUM_QUEUES + 1], 0);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		must(fe_get_config(qemu.fe, 0, part, sizes[i]));
		assert_memory_equal(part, whole, sizes[i]);
	}
	qemu_end(&qemu);
}

/* One that asks for too much gets an empty reply and tries again at once. */
static void test_conformance_qemu_retries_after_a_config_error(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[256];
	struct qemu qemu;
	unsigned int i;

	start_blk(f, 1);
	qemu_init(&qemu, f, 1);
	for (i = 0; i < 4; i++) {
		qemu_connect(&qemu, true);
		assert_int_equal(fe_get_config(qemu.fe, 0, bytes, 256),
				 -EREMOTEIO);
		qemu_disconnect(&qemu);
	}
	qemu_end(&qemu);
	must_serve_another(f);
}

/* The whole table instead of slots; QEMU does so if they aren't offered. */
static void test_conformance_qemu_without_slots_replaces_the_table(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	unsigned int i;
	struct session_opts opts = {.not_protocol_features = FE_PF_MEM_SLOTS};

	start_blk(f, 1);
	new_session(f, &opts);
	start_session(f);
	make_blks(f, 8192);
	for (i = 0; i < 10; i++) {
		must_do_io(f, 0, i);
		must(fe_set_mem_table(&session->fe, session->guest.regions,
				      session->guest.count));
	}
	must_do_io(f, 0, i);
}

/*
 * User-Mode Linux's driver: the owner comes first; everything without a
 * reply asks for an acknowledgement, SET_PROTOCOL_FEATURES already; the
 * memory message has room for two regions and one in it; call and the
 * back-end's channel are pipes; the log address is ~0.
 */
static void uml_negotiate(struct fixture *f, int channel)
{
	struct session *session = &f->session;
	struct frontend *fe = &session->fe;
	uint64_t wanted =
	    FE_PF_REPLY_ACK | FE_PF_BACKEND_REQ | FE_PF_CONFIG | FE_BIT(14);
	uint64_t value;

	must(fe_command(fe, FE_SET_OWNER));
	must(fe_get_u64(fe, FE_GET_FEATURES, &value));
	session->features = SESSION_FEATURES & value;
	must(fe_get_u64(fe, FE_GET_PROTOCOL_FEATURES, &value));
	session->protocol_features = wanted & value;
	assert_true(value & FE_PF_REPLY_ACK);
	fe->acks = true;
	must(fe_set_u64(fe, FE_SET_PROTOCOL_FEATURES,
			session->protocol_features));
	must(fe_set_fd(fe, FE_SET_BACKEND_REQ_FD, channel));
	must(fe_set_u64(fe, FE_SET_FEATURES, session->features));
}

static void uml_share_memory(struct fixture *f)
{
	uint8_t bytes[72] = {0};
	const struct fe_region *region = &f->session.guest.regions[0];

	put32(bytes, 0, 1);
	fe_pack_region(bytes + 8, region);
	must(fe_request(&f->session.fe, FE_SET_MEM_TABLE, bytes, sizeof(bytes),
			&region->fd, 1));
}

static void uml_start_ring(struct fixture *f, int call)
{
	struct session *session = &f->session;
	struct session_queue *queue = &session->queues[0];
	struct fe_vring_addr addr = {
	    .desc = guest_user(&session->guest,
			       driver_ring_descriptors(queue->ring)),
	    .used = guest_user(&session->guest, driver_ring_used(queue->ring)),
	    .avail =
		guest_user(&session->guest, driver_ring_avail(queue->ring)),
	    .log = UINT64_MAX,
	};

	must(fe_set_vring_fd(&session->fe, FE_SET_VRING_CALL, 0, call));
	must(fe_set_vring(&session->fe, FE_SET_VRING_NUM, 0, queue->size));
	must(fe_set_vring(&session->fe, FE_SET_VRING_BASE, 0, 0));
	must(fe_set_vring_addr(&session->fe, &addr));
	must(fe_set_vring_fd(&session->fe, FE_SET_VRING_KICK, 0, queue->kick));
	must(fe_set_vring(&session->fe, FE_SET_VRING_ENABLE, 0, 1));
}

static void test_conformance_uml_boots(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {.regions = 1};
	uint8_t config[BLK_CONFIG_SIZE];
	int call[2], channel[2];

	start_blk(f, 1);
	new_session(f, &opts);
	connect_session(f);
	must(pipe(call));
	must(pipe(channel));
	/* the session waits at the pipe's end */
	close(f->session.queues[0].call);
	f->session.queues[0].call = call[0];
	uml_negotiate(f, channel[1]);
	must(fe_get_config(&f->session.fe, 0, config, sizeof(config)));
	uml_share_memory(f);
	must(session_make_rings(&f->session));
	uml_start_ring(f, call[1]);
	make_blks(f, 8192);
	must_do_io(f, 0, 3);
	must_do_io(f, 0, 4);
	close(call[1]);
	close(channel[0]);
	close(channel[1]);
}

/* A user-space driver: polls for completions, few features, no status. */
static void test_conformance_polling_front_end(void **state)
{
	struct fixture *f = *state;
	struct session_opts opts = {
	    .num_queues = 2,
	    .polled = true,
	    .features = FE_F_VERSION_1 | FE_F_PROTOCOL_FEATURES | FE_F_INDIRECT,
	    .protocol_features = FE_PF_MQ | FE_PF_REPLY_ACK,
	};
	unsigned int i;

	start_blk(f, 2);
	new_session(f, &opts);
	start_session(f);
	make_blks(f, 8192);
	for (i = 0; i < 20; i++)
		must_do_io(f, i % 2, i);
	must(session_stop_queue(&f->session, 0));
	assert_int_equal(f->session.queues[0].base, 30);
}

/* Without bit 30 all rings are enabled by SET_FEATURES. */
static void test_conformance_front_end_without_protocol_features(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	struct frontend *fe = &session->fe;
	struct session_opts opts = {.num_queues = 2};
	uint64_t value;

	start_blk(f, 2);
	new_session(f, &opts);
	connect_session(f);
	must(fe_get_u64(fe, FE_GET_FEATURES, &value));
	session->features = FE_F_VERSION_1 & value;
	must(fe_command(fe, FE_SET_OWNER));
	must(fe_set_u64(fe, FE_SET_FEATURES, session->features));
	session->protocol_features = 0;
	must(session_share_memory(session));
	must(session_make_rings(session));
	make_blks(f, 8192);
	must(session_start_queues(session)); /* sends no ENABLE */
	must_do_io(f, 0, 1);
	must_do_io(f, 1, 2);
	must(session_stop_queue(session, 1));
	assert_int_equal(session->queues[1].base, 3);
}

/* After a migration QEMU sets what was negotiated before, and asks nothing. */
static void test_conformance_front_end_that_asks_nothing(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	struct frontend *fe = &session->fe;

	start_blk(f, 1);
	new_session(f, NULL);
	connect_session(f);
	session->features =
	    FE_F_VERSION_1 | FE_F_PROTOCOL_FEATURES | FE_F_EVENT_IDX;
	session->protocol_features = FE_PF_REPLY_ACK | FE_PF_MEM_SLOTS;
	must(fe_set_u64(fe, FE_SET_PROTOCOL_FEATURES,
			session->protocol_features));
	fe->acks = true;
	must(fe_command(fe, FE_SET_OWNER));
	must(fe_set_u64(fe, FE_SET_FEATURES, session->features));
	must(session_share_memory(session));
	must(session_make_rings(session));
	make_blks(f, 8192);
	must(session_start_queues(session));
	must_do_io(f, 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_qemu_stops_and_continues),
	    fixture_test(test_conformance_qemu_guest_uses_one_queue_of_four),
	    fixture_test(test_conformance_qemu_guest_reset_starts_anew),
	    fixture_test(test_conformance_qemu_reconnects_and_continues),
	    fixture_test(test_conformance_qemu_config_sizes),
	    fixture_test(test_conformance_qemu_retries_after_a_config_error),
	    fixture_test(
		test_conformance_qemu_without_slots_replaces_the_table),
	    fixture_test(test_conformance_uml_boots),
	    fixture_test(test_conformance_polling_front_end),
	    fixture_test(test_conformance_front_end_without_protocol_features),
	    fixture_test(test_conformance_front_end_that_asks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
