/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Guests that break their rings at the worst moment, or pull memory away. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#define QUEUES	    3
#define BURST	    VH_VIRTQUEUE_BURST
#define REPETITIONS 20

static struct sigaction catcher;

static void post(struct fixture *f, unsigned int queue, unsigned int count)
{
	struct driver_ring *ring = f->session.queues[queue].ring;
	struct driver_buffer buffers[2] = {{.length = 64},
					   {.length = 64, .write = true}};

	buffers[0].gpa = guest_alloc(&f->session.guest, 64, 64);
	buffers[1].gpa = guest_alloc(&f->session.guest, 64, 64);
	while (count-- > 0)
		assert_true(driver_ring_add(ring, buffers, 2, false) >= 0);
}

/* The available ring holds `good` chains and then a head that can't be. */
static void post_poison(struct fixture *f, unsigned int queue,
			unsigned int good)
{
	const struct driver_ring *ring = f->session.queues[queue].ring;
	uint16_t *avail;

	post(f, queue, good);
	avail = guest_at(&f->session.guest, driver_ring_avail(ring),
			 2 * (good + 3));
	assert_non_null(avail);
	avail[2 + good] = 0xffff;
	__atomic_store_n(&avail[1], (uint16_t)(good + 1), __ATOMIC_RELEASE);
}

struct kicker {
	struct fixture *f;
	bool stop; /* atomic */
};

static void *kick_all(void *arg)
{
	struct kicker *kicker = arg;
	unsigned int i;

	while (!__atomic_load_n(&kicker->stop, __ATOMIC_ACQUIRE))
		for (i = 0; i < QUEUES; i++)
			if (session_kick(&kicker->f->session, i) < 0)
				return NULL;
	return NULL;
}

/*
 * A queue that breaks in the last burst of a round is still on its worker's
 * list, and the kicks that come then must not put it there again.
 */
static void break_while_kicked(struct fixture *f, unsigned int good)
{
	const struct session_opts opts = {.num_queues = QUEUES,
					  .queue_size = 1024};
	struct kicker kicker = {.f = f};
	pthread_t thread;
	unsigned int i;

	new_session(f, &opts);
	connect_session(f);
	start_session(f);
	for (i = 0; i < QUEUES; i++)
		post_poison(f, i, good);
	assert_int_equal(pthread_create(&thread, NULL, kick_all, &kicker), 0);
	for (i = 0; i < QUEUES; i++)
		must(session_wait_err(&f->session, i));
	must(fe_sync(&f->session.fe));
	__atomic_store_n(&kicker.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	session_free(&f->session);
}

static void test_hostile_queue_breaks_while_kicked(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	start_echo(f, QUEUES);
	for (i = 0; i < REPETITIONS; i++)
		break_while_kicked(f, 7 * BURST + i % 8);
}

/* A started echo device whose memory the test may shrink. */
static void open_shrinkable(struct fixture *f, uint64_t not_features)
{
	const struct session_opts opts = {.not_features = not_features};

	/* cmocka has put its own handler there for the test. */
	must(sigaction(SIGBUS, &catcher, NULL));
	start_echo(f, 1);
	new_session(f, &opts);
	connect_session(f);
	start_session(f);
	must_echo(f, 0, 100);
}

static void shrink(struct fixture *f)
{
	must(ftruncate(f->session.guest.fd, 0));
	must(session_kick(&f->session, 0));
	must(session_wait_err(&f->session, 0));
	must(ftruncate(f->session.guest.fd, (off_t)f->session.guest.file_size));
}

/* Without EVENT_IDX a kick is answered by a store to the used ring. */
static void test_hostile_queue_kick_after_memory_vanished(void **state)
{
	struct fixture *f = *state;

	open_shrinkable(f, FE_F_EVENT_IDX);
	shrink(f);
	must_serve_another(f);
}

/*
 * What was put where memory had vanished isn't the guest's: a ring that is
 * started on it again is broken and says so, or works; it doesn't go quiet.
 */
static void test_hostile_queue_reset_after_memory_vanished(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	struct driver_used used;
	int ret;

	open_shrinkable(f, 0);
	shrink(f);
	must(fe_command(&session->fe, FE_RESET_DEVICE));
	must(fe_set_u64(&session->fe, FE_SET_FEATURES, session->features));
	must(session_make_rings(session));
	must(session_start_queue(session, 0));
	post(f, 0, 1);
	driver_ring_publish(session->queues[0].ring);
	must(session_kick(session, 0));
	ret = session_wait(session, 0, &used);
	assert_true(ret == 0 || ret == -EIO);
	session_free(session);
}

/* More long chains than the queue has room for at once are held back. */
static void test_hostile_queue_starves_and_recovers(void **state)
{
	const struct server_opts opts = {.max_segments = UINT16_MAX};
	const struct session_opts session_opts = {.queue_size = 2048};
	struct fixture *f = *state;
	struct driver_buffer buffers[12] = {{.gpa = 0}};
	struct driver_used used;
	unsigned int posted = 0;
	unsigned int i;
	uint64_t data;

	start_server(f, &opts, true);
	new_session(f, &session_opts);
	connect_session(f);
	start_session(f);
	data = guest_alloc(&f->session.guest, 64, 64);
	for (i = 0; i < 12; i++)
		buffers[i] = (struct driver_buffer){data + 4UL * i, 4, i >= 6};
	echo_hold(f->server.echo);
	while (driver_ring_add(f->session.queues[0].ring, buffers, 12, true) >=
	       0)
		posted++;
	driver_ring_publish(f->session.queues[0].ring);
	must(session_kick(&f->session, 0));
	/* Areas for 1024 of them fit into what a queue may take. */
	must(echo_wait_held(f->server.echo, 1024));
	echo_release(f->server.echo);
	for (i = 0; i < posted; i++)
		must(session_wait(&f->session, 0, &used));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_hostile_queue_breaks_while_kicked),
	    fixture_test(test_hostile_queue_kick_after_memory_vanished),
	    fixture_test(test_hostile_queue_reset_after_memory_vanished),
	    fixture_test(test_hostile_queue_starves_and_recovers),
	};

	if (vh_memory_catch_sigbus() < 0)
		return 1;
	sigaction(SIGBUS, NULL, &catcher);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
