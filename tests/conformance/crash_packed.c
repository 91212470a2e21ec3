/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A back-end of packed rings is killed while it has requests ("Inflight I/O
 * tracking"). Used descriptors overwrite available ones, so the next one
 * finds them in the area only; every request is answered once.
 */
#include "driven.h"

#include <libvhost/device.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define QUEUES 2
#define RING   51 /* descriptors; up to 4 for a request */
#define SLOTS  12
#define LENGTH 90  /* of the data of a request */
#define ENTRY  32  /* bytes of the area, as its head */
#define KEEP   'k' /* requests that begin so the first back-end keeps */
#define ROUNDS 40

struct crash {
	struct fixture *f;
	struct place place; /* of those who are killed */
	pid_t pid;
	struct fe_inflight area;
	int area_fd;
	uint8_t *map;
	struct driven d[QUEUES];
	uint64_t data[QUEUES]; /* guest address of all slots */
	bool busy[QUEUES][SLOTS];
	unsigned int number[QUEUES][SLOTS]; /* of the request in a slot */
	unsigned int sent[QUEUES];
	unsigned int kept[QUEUES];
	unsigned int answered[QUEUES];
	uint32_t random;
};

/* All that is readable is one piece of memory, whatever its descriptors. */
static void keep_or_answer(void *user, struct vh_queue *queue,
			   struct vh_chain *chains[], unsigned int count)
{
	unsigned int i;

	(void)user;
	for (i = 0; i < count; i++) {
		const char *from = chains[i]->readable[0].iov_base;

		if (*from == KEEP)
			continue;
		memcpy(chains[i]->writable[0].iov_base, from, LENGTH);
		vh_queue_complete(queue, chains[i], LENGTH);
	}
}

/* In a process of its own, which ends with ours if nobody kills it. */
static void serve(const struct place *place)
{
	const struct vh_device_ops ops = {.size = sizeof(ops),
					  .process = keep_or_answer};
	struct vh_user_server *server;
	struct vh_backend *backend;

	VH_OPTS(vh_device_opts, device);
	VH_OPTS(vh_user_serve_opts, opts);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	device.num_queues = QUEUES;
	device.workers = 1;
	device.name = "keeper";
	opts.mode = VH_USER_LISTEN;
	opts.path = place->socket;
	if (vh_device_new(&ops, &device, NULL, &backend) < 0 ||
	    vh_user_serve(backend, &opts, NULL, &server) < 0 ||
	    vh_user_server_start(server) < 0)
		_exit(1);
	for (;;)
		pause();
}

static void start_victim(struct crash *crash)
{
	crash->pid = fork();
	assert_true(crash->pid >= 0);
	if (crash->pid == 0)
		serve(&crash->place);
}

static void kill_victim(struct crash *crash)
{
	int status;

	must(kill(crash->pid, SIGKILL));
	assert_int_equal(waitpid(crash->pid, &status, 0), crash->pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	unlink(crash->place.socket);
}

static void open_crash(struct crash *crash, struct fixture *f)
{
	struct session_opts opts = {
	    .num_queues = QUEUES,
	    .features = DRIVEN_FEATURES | FE_F_PACKED,
	    .protocol_features = SESSION_PROTOCOL_FEATURES | FE_PF_INFLIGHT,
	};

	*crash = (struct crash){.f = f, .area_fd = -1, .random = 1};
	must(place_make(&crash->place, NULL, 0));
	new_session(f, &opts);
}

static void close_crash(struct crash *crash)
{
	unsigned int q;

	for (q = 0; q < QUEUES; q++)
		driven_free(&crash->d[q]);
	munmap(crash->map, crash->area.mmap_size);
	close(crash->area_fd);
	place_remove(&crash->place);
}

static void begin(struct crash *crash)
{
	struct session *session = &crash->f->session;
	unsigned int q;

	crash->area.num_queues = QUEUES;
	crash->area.queue_size = RING;
	must(fe_get_inflight(&session->fe, &crash->area, &crash->area_fd));
	crash->map = mmap(NULL, crash->area.mmap_size, PROT_READ, MAP_SHARED,
			  crash->area_fd, (off_t)crash->area.mmap_offset);
	assert_true(crash->map != MAP_FAILED);
	assert_true(crash->area.mmap_size >= QUEUES * ENTRY * (RING + 1));
	for (q = 0; q < QUEUES; q++) {
		/* one of them with tables */
		driven_make(&crash->d[q], session, q, RING, q ? 4 : 0);
		crash->data[q] =
		    guest_alloc(&session->guest, 2 * SLOTS * LENGTH, 64);
		assert_true(crash->data[q] != 0);
	}
}

/* Connects to whoever serves there now, up to the start of the rings. */
static void attach(struct crash *crash, const char *path)
{
	struct session *session = &crash->f->session;

	must(session_connect(session, path));
	must(session_negotiate(session));
	assert_true(session->features & FE_F_PACKED);
	assert_true(session->protocol_features & FE_PF_INFLIGHT);
	must(session_share_memory(session));
	if (crash->area_fd < 0)
		begin(crash);
	must(fe_set_inflight(&session->fe, &crash->area, crash->area_fd));
}

static void attach_and_start(struct crash *crash, const char *path)
{
	unsigned int q;

	attach(crash, path);
	for (q = 0; q < QUEUES; q++)
		driven_start(&crash->d[q]);
}

static unsigned int any(struct crash *crash, unsigned int limit)
{
	crash->random = crash->random * 1664525 + 1013904223;
	return (crash->random >> 8) % limit;
}

static uint64_t slot_at(const struct crash *crash, unsigned int q,
			unsigned int slot)
{
	return crash->data[q] + 2ul * LENGTH * slot;
}

static uint8_t *slot_data(struct crash *crash, unsigned int q,
			  unsigned int slot)
{
	return guest_at(&crash->f->session.guest, slot_at(crash, q, slot),
			2 * LENGTH);
}

/* In 2 to 4 descriptors. False: there is no slot. */
static bool send(struct crash *crash, unsigned int q, bool keep)
{
	unsigned int slot, pieces = 1 + any(crash, 3);
	struct iovec readable[3], writable;
	uint8_t *data;
	uint64_t at;

	for (slot = 0; slot < SLOTS && crash->busy[q][slot]; slot++)
		;
	if (slot == SLOTS)
		return false;
	at = slot_at(crash, q, slot);
	data = slot_data(crash, q, slot);
	blk_pattern(data, LENGTH, crash->sent[q] + 1000ul * slot);
	data[0] = keep ? KEEP : 'a';
	memset(data + LENGTH, 0, LENGTH);
	readable[0] = driven_iov(at, pieces == 1 ? LENGTH : 30);
	readable[1] = driven_iov(at + 30, pieces == 2 ? LENGTH - 30 : 30);
	readable[2] = driven_iov(at + 60, LENGTH - 60);
	writable = driven_iov(at + LENGTH, LENGTH);
	driven_add(&crash->d[q], readable, pieces, &writable, 1,
		   &crash->busy[q][slot]);
	crash->busy[q][slot] = true;
	crash->number[q][slot] = crash->sent[q]++;
	return true;
}

/* One answer; the driver's side refuses what isn't posted. */
static unsigned int take(struct crash *crash, unsigned int q,
			 const struct vh_driver_used *used)
{
	unsigned int slot =
	    (unsigned int)((bool *)used->token - crash->busy[q]);
	uint8_t *data = slot_data(crash, q, slot);

	assert_int_equal(used->written, LENGTH);
	assert_true(crash->busy[q][slot]);
	crash->busy[q][slot] = false;
	crash->answered[q]++;
	assert_memory_equal(data, data + LENGTH, LENGTH);
	return slot;
}

static unsigned int receive(struct crash *crash, unsigned int q)
{
	struct vh_driver_used used;

	must(driven_wait(&crash->d[q], &used));
	return take(crash, q, &used);
}

static const uint8_t *entries(const struct crash *crash, unsigned int q)
{
	return crash->map + crash->area.mmap_size / QUEUES * q + ENTRY;
}

static unsigned int count_taken(const struct crash *crash, unsigned int q)
{
	unsigned int i, taken = 0;

	for (i = 0; i < RING; i++)
		taken += __atomic_load_n(entries(crash, q) + (size_t)i * ENTRY,
					 __ATOMIC_ACQUIRE);
	return taken;
}

/* Waits until the area says that so many are in flight. */
static void wait_taken(struct crash *crash, unsigned int q, unsigned int count)
{
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;

	while (count_taken(crash, q) != count) {
		assert_true(fe_now_ms() < deadline);
		usleep(500);
	}
}

/* Nothing is open, nothing comes any more, the area says so, too. */
static void must_be_done(struct crash *crash)
{
	struct vh_driver_used used;
	unsigned int q;

	for (q = 0; q < QUEUES; q++) {
		driven_stop(&crash->d[q]);
		assert_int_equal(crash->d[q].base,
				 vh_driver_queue_base(crash->d[q].ring));
		assert_int_equal(driven_collect(&crash->d[q], &used, 1), 0);
		must((int)vh_driver_queue_inflight(crash->d[q].ring));
		assert_int_equal(crash->answered[q], crash->sent[q]);
		must((int)count_taken(crash, q));
	}
}

/* All of one queue and some of the other are kept, between others. */
static void hold_and_kill(struct crash *crash)
{
	unsigned int i;

	start_victim(crash);
	attach_and_start(crash, crash->place.socket);
	for (i = 0; i < 30; i++) {
		assert_true(send(crash, 0, false));
		receive(crash, 0);
	}
	for (i = 0; i < 10; i++)
		assert_true(send(crash, 0, true));
	for (i = 0; i < 7; i++) {
		assert_true(send(crash, 1, true));
		assert_true(send(crash, 1, false));
		receive(crash, 1);
	}
	wait_taken(crash, 0, 10);
	wait_taken(crash, 1, 7);
	kill_victim(crash);
}

static unsigned int oldest(const struct crash *crash, unsigned int q)
{
	unsigned int slot, found = SLOTS;

	for (slot = 0; slot < SLOTS; slot++)
		if (crash->busy[q][slot] &&
		    (found == SLOTS ||
		     crash->number[q][slot] < crash->number[q][found]))
			found = slot;
	return found;
}

static void must_answer_in_order(struct crash *crash)
{
	unsigned int q, slot;

	for (q = 0; q < QUEUES; q++) {
		while (crash->answered[q] < crash->sent[q]) {
			slot = oldest(crash, q);
			assert_int_equal(receive(crash, q), slot);
		}
	}
	must_be_done(crash);
}

static void test_conformance_crash_packed_held_in_order(void **state)
{
	struct fixture *f = *state;
	struct crash crash;

	open_crash(&crash, f);
	hold_and_kill(&crash);
	/* some came meanwhile */
	assert_true(send(&crash, 0, false));
	assert_true(send(&crash, 1, false));
	start_echo(f, QUEUES);
	attach_and_start(&crash, f->server.place.socket);
	must_answer_in_order(&crash);
	close_crash(&crash);
}

/* The front-end's idea of where to go on doesn't count. */
static void test_conformance_crash_packed_base_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct crash crash;

	open_crash(&crash, f);
	hold_and_kill(&crash);
	crash.d[0].base = 0;
	crash.d[1].base = 0x80078003;
	start_echo(f, QUEUES);
	attach_and_start(&crash, f->server.place.socket);
	must_answer_in_order(&crash);
	close_crash(&crash);
}

/* Started, never enabled, stopped: they wait for the next start. */
static void
test_conformance_crash_packed_stopped_before_it_went_on(void **state)
{
	struct fixture *f = *state;
	struct crash crash;
	unsigned int q;

	open_crash(&crash, f);
	hold_and_kill(&crash);
	start_echo(f, QUEUES);
	attach(&crash, f->server.place.socket);
	for (q = 0; q < QUEUES; q++) {
		must(driven_setup(&crash.d[q]));
		must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, q,
				     f->session.queues[q].kick));
		driven_stop(&crash.d[q]);
	}
	for (q = 0; q < QUEUES; q++)
		driven_start(&crash.d[q]);
	must_answer_in_order(&crash);
	close_crash(&crash);
}

/* Traffic, some of it kept; not all answers are there when it ends. */
static void work_and_kill(struct crash *crash, bool keep)
{
	unsigned int turns = any(crash, 100);
	unsigned int q, i;
	bool kept;

	start_victim(crash);
	attach_and_start(crash, crash->place.socket);
	for (i = 0; i < turns; i++) {
		q = any(crash, QUEUES);
		kept =
		    keep && crash->kept[q] < SLOTS - 4 && any(crash, 20) == 0;
		if (send(crash, q, kept) && kept)
			crash->kept[q]++;
		if (any(crash, 4) &&
		    crash->sent[q] - crash->answered[q] > crash->kept[q])
			receive(crash, q);
	}
	kill_victim(crash);
}

static void test_conformance_crash_packed_again_and_again(void **state)
{
	struct fixture *f = *state;
	struct vh_driver_used used;
	struct crash crash;
	unsigned int round, q;

	open_crash(&crash, f);
	for (round = 0; round < ROUNDS; round++) {
		work_and_kill(&crash, round < 20);
		/* what came while nobody looked */
		for (q = 0; q < QUEUES; q++)
			while (driven_collect(&crash.d[q], &used, 1) == 1)
				take(&crash, q, &used);
	}
	start_echo(f, QUEUES);
	attach_and_start(&crash, f->server.place.socket);
	for (q = 0; q < QUEUES; q++)
		while (crash.answered[q] < crash.sent[q])
			receive(&crash, q);
	must_be_done(&crash);
	close_crash(&crash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_crash_packed_held_in_order),
	    fixture_test(test_conformance_crash_packed_base_is_ignored),
	    fixture_test(
		test_conformance_crash_packed_stopped_before_it_went_on),
	    fixture_test(test_conformance_crash_packed_again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
