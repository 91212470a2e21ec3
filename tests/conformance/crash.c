/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A back-end is killed while it has requests ("Inflight I/O tracking"). The
 * next one gets the area back, and every request is answered once.
 */
#include "fixture.h"

#include <libvhost/device.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define QUEUES	  2
#define SIZE	  128
#define LENGTH	  64 /* of the data of a request */
#define PART	  (16 + 16 * SIZE)
#define KEEP	  'k' /* requests that begin so the first back-end keeps */
#define MOST_OPEN 40  /* of 64 */
#define MOST_KEPT 12  /* of each queue */
#define ROUNDS	  40

/* A request has a slot in guest memory: what is sent, what comes back. */
struct crash {
	struct fixture *f;
	struct place place; /* of those who are killed */
	pid_t pid;
	struct fe_inflight area;
	int area_fd;
	uint8_t *map;
	uint64_t data[QUEUES];	      /* guest address of all slots */
	uint16_t by_id[QUEUES][SIZE]; /* slot of a chain */
	bool busy[QUEUES][SIZE];      /* slots */
	uint16_t order[QUEUES][SIZE]; /* of slots, as they were sent */
	unsigned int sent[QUEUES];
	unsigned int kept[QUEUES];
	uint32_t random;
};

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
	    .queue_size = SIZE,
	    .protocol_features = SESSION_PROTOCOL_FEATURES | FE_PF_INFLIGHT,
	};
	unsigned int q;

	*crash = (struct crash){.f = f, .area_fd = -1, .random = 1};
	must(place_make(&crash->place, NULL, 0));
	new_session(f, &opts);
	for (q = 0; q < QUEUES; q++) {
		crash->data[q] =
		    guest_alloc(&f->session.guest, 2 * SIZE * LENGTH, 64);
		assert_true(crash->data[q] != 0);
	}
}

static void close_crash(struct crash *crash)
{
	munmap(crash->map, crash->area.mmap_size);
	close(crash->area_fd);
	place_remove(&crash->place);
}

static void get_area(struct crash *crash)
{
	crash->area.num_queues = QUEUES;
	crash->area.queue_size = SIZE;
	must(fe_get_inflight(&crash->f->session.fe, &crash->area,
			     &crash->area_fd));
	crash->map = mmap(NULL, crash->area.mmap_size, PROT_READ, MAP_SHARED,
			  crash->area_fd, (off_t)crash->area.mmap_offset);
	assert_true(crash->map != MAP_FAILED);
}

/* As QEMU finds it out after a crash: the used index. */
static uint16_t used_index(struct crash *crash, unsigned int q)
{
	const struct session *session = &crash->f->session;
	uint64_t used = driver_ring_used(session->queues[q].ring);
	const uint16_t *index = guest_at(&session->guest, used + 2, 2);

	return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

/* Connects to whoever serves there now, up to the start of the rings. */
static void attach(struct crash *crash, const char *path)
{
	struct session *session = &crash->f->session;
	unsigned int q;

	must(session_connect(session, path));
	must(session_negotiate(session));
	assert_true(session->protocol_features & FE_PF_INFLIGHT);
	must(session_share_memory(session));
	if (crash->area_fd < 0) {
		get_area(crash);
		must(session_make_rings(session));
	} else {
		for (q = 0; q < QUEUES; q++)
			session->queues[q].base = used_index(crash, q);
	}
	must(fe_set_inflight(&session->fe, &crash->area, crash->area_fd));
}

static uint8_t *slot_data(struct crash *crash, unsigned int q,
			  unsigned int slot)
{
	return guest_at(&crash->f->session.guest,
			crash->data[q] + 2ul * LENGTH * slot, 2 * LENGTH);
}

static void send(struct crash *crash, unsigned int q, bool keep)
{
	unsigned int slot = 0;
	uint64_t gpa;
	uint8_t *data;
	int id;

	while (crash->busy[q][slot])
		slot++;
	assert_true(slot < SIZE / 2);
	gpa = crash->data[q] + 2ul * LENGTH * slot;
	data = slot_data(crash, q, slot);
	blk_pattern(data, LENGTH, crash->sent[q] + 1000ul * slot);
	data[0] = keep ? KEEP : 'a';
	memset(data + LENGTH, 0, LENGTH);
	id = session_submit(&crash->f->session, q,
			    (struct driver_buffer[]){
				{gpa, LENGTH, false},
				{gpa + LENGTH, LENGTH, true},
			    },
			    2, false);
	assert_true(id >= 0);
	crash->busy[q][slot] = true;
	crash->by_id[q][id] = (uint16_t)slot;
	crash->order[q][crash->sent[q]++ % SIZE] = (uint16_t)slot;
}

/* One answer; the ring refuses what isn't posted. Returns its slot. */
static unsigned int receive(struct crash *crash, unsigned int q)
{
	struct driver_used used;
	unsigned int slot;
	uint8_t *data;

	must(session_wait(&crash->f->session, q, &used));
	assert_int_equal(used.length, LENGTH);
	slot = crash->by_id[q][used.id];
	assert_true(crash->busy[q][slot]);
	crash->busy[q][slot] = false;
	data = slot_data(crash, q, slot);
	assert_memory_equal(data, data + LENGTH, LENGTH);
	return slot;
}

/* Nothing is open, nothing comes any more, the area says so, too. */
static void must_be_done(struct crash *crash)
{
	struct session *session = &crash->f->session;
	size_t stride = crash->area.mmap_size / QUEUES;
	struct driver_used used;
	unsigned int q, i;

	for (q = 0; q < QUEUES; q++) {
		must(session_stop_queue(session, q));
		assert_int_equal(session->queues[q].base,
				 (uint16_t)crash->sent[q]);
		must(driver_ring_collect(session->queues[q].ring, &used, 1));
		must((int)driver_ring_inflight(session->queues[q].ring));
		for (i = 0; i < SIZE; i++)
			must(crash->map[q * stride + 16 + 16 * i]);
	}
}

/* Waits until the area says that so many are in flight. */
static void wait_taken(struct crash *crash, unsigned int q, unsigned int count)
{
	size_t stride = crash->area.mmap_size / QUEUES;
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;
	unsigned int i, taken;

	assert_true(stride >= PART);
	do {
		assert_true(fe_now_ms() < deadline);
		usleep(500);
		for (taken = i = 0; i < SIZE; i++)
			taken += __atomic_load_n(
			    &crash->map[q * stride + 16 + 16 * i],
			    __ATOMIC_ACQUIRE);
	} while (taken != count);
}

/* 40 and 20 are with the back-end when it dies; more than a burst. */
static void hold_and_kill(struct crash *crash)
{
	unsigned int i;

	start_victim(crash);
	attach(crash, crash->place.socket);
	must(session_start_queues(&crash->f->session));
	for (i = 0; i < 60; i++)
		send(crash, i >= 40, true);
	wait_taken(crash, 0, 40);
	wait_taken(crash, 1, 20);
	kill_victim(crash);
}

static void must_answer_in_order(struct crash *crash)
{
	unsigned int q, i;

	for (q = 0; q < QUEUES; q++)
		for (i = 0; i < crash->sent[q]; i++)
			assert_int_equal(receive(crash, q), crash->order[q][i]);
	must_be_done(crash);
}

static void test_conformance_crash_held_requests_in_order(void **state)
{
	struct fixture *f = *state;
	struct crash crash;

	open_crash(&crash, f);
	hold_and_kill(&crash);
	/* some came meanwhile */
	send(&crash, 0, false);
	send(&crash, 0, false);
	send(&crash, 1, false);
	start_echo(f, QUEUES);
	attach(&crash, f->server.place.socket);
	must(session_start_queues(&f->session));
	must_answer_in_order(&crash);
	close_crash(&crash);
}

/* The front-end's idea of where to go on doesn't count. */
static void test_conformance_crash_base_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct crash crash;

	open_crash(&crash, f);
	hold_and_kill(&crash);
	start_echo(f, QUEUES);
	attach(&crash, f->server.place.socket);
	f->session.queues[0].base = 40;
	f->session.queues[1].base = 0x7777;
	must(session_start_queues(&f->session));
	must_answer_in_order(&crash);
	close_crash(&crash);
}

/* A ring that is started, stopped and started again, but never enabled. */
static void test_conformance_crash_stopped_before_it_went_on(void **state)
{
	struct fixture *f = *state;
	struct crash crash;
	unsigned int q;

	open_crash(&crash, f);
	hold_and_kill(&crash);
	start_echo(f, QUEUES);
	attach(&crash, f->server.place.socket);
	for (q = 0; q < QUEUES; q++) {
		must(session_setup_queue(&f->session, q));
		must(fe_set_vring_fd(&f->session.fe, FE_SET_VRING_KICK, q,
				     f->session.queues[q].kick));
		must(session_stop_queue(&f->session, q));
	}
	must(session_start_queues(&f->session));
	must_answer_in_order(&crash);
	close_crash(&crash);
}

/*
 * Answered, but killed before it could call: whoever comes next calls, even
 * if the ring has nothing new for it.
 */
static void test_conformance_crash_lost_call(void **state)
{
	struct fixture *f = *state;
	struct session *session = &f->session;
	struct crash crash;
	uint64_t value;

	open_crash(&crash, f);
	start_victim(&crash);
	attach(&crash, crash.place.socket);
	must(session_start_queues(session));
	send(&crash, 0, false);
	must(fe_wait_readable(session->queues[0].call, FE_TIMEOUT_MS));
	kill_victim(&crash);
	/* as if that call had never been made */
	assert_int_equal(read(session->queues[0].call, &value, 8), 8);
	start_echo(f, QUEUES);
	attach(&crash, f->server.place.socket);
	must(session_start_queues(session));
	must(fe_wait_readable(session->queues[0].call, FE_TIMEOUT_MS));
	receive(&crash, 0);
	must_be_done(&crash);
	close_crash(&crash);
}

static unsigned int any(struct crash *crash, unsigned int limit)
{
	crash->random = crash->random * 1664525 + 1013904223;
	return (crash->random >> 8) % limit;
}

static unsigned int waiting(const struct crash *crash, unsigned int q)
{
	return driver_ring_inflight(crash->f->session.queues[q].ring);
}

/* Traffic, some of it kept; not all answers are there when it ends. */
static void work_and_kill(struct crash *crash, bool keep)
{
	unsigned int turns = any(crash, 100);
	unsigned int q, i;

	start_victim(crash);
	attach(crash, crash->place.socket);
	must(session_start_queues(&crash->f->session));
	for (i = 0; i < turns; i++) {
		q = any(crash, QUEUES);
		send(crash, q, false);
		if (any(crash, 4) || waiting(crash, q) > MOST_OPEN)
			receive(crash, q);
		else if (keep && any(crash, 20) == 0 &&
			 crash->kept[q]++ < MOST_KEPT)
			send(crash, q, true);
	}
	kill_victim(crash);
}

static void test_conformance_crash_again_and_again(void **state)
{
	struct fixture *f = *state;
	struct crash crash;
	unsigned int round, q;

	open_crash(&crash, f);
	for (round = 0; round < ROUNDS; round++) {
		work_and_kill(&crash, round < 20);
		for (q = 0; q < QUEUES; q++) {
			struct driver_used used;
			struct driver_ring *ring = f->session.queues[q].ring;

			/* what came while nobody looked */
			while (driver_ring_collect(ring, &used, 1) == 1)
				crash.busy[q][crash.by_id[q][used.id]] = false;
		}
	}
	start_echo(f, QUEUES);
	attach(&crash, f->server.place.socket);
	must(session_start_queues(&f->session));
	for (q = 0; q < QUEUES; q++)
		while (waiting(&crash, q) > 0)
			receive(&crash, q);
	must_be_done(&crash);
	close_crash(&crash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(test_conformance_crash_held_requests_in_order),
	    fixture_test(test_conformance_crash_base_is_ignored),
	    fixture_test(test_conformance_crash_stopped_before_it_went_on),
	    fixture_test(test_conformance_crash_lost_call),
	    fixture_test(test_conformance_crash_again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
