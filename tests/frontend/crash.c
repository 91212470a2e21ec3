/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * usage: crash VHOST-BLK
 *
 * The back-end is another process, which is killed again and again while
 * requests are in flight. Each request is done nevertheless, by whoever came
 * after, and what was written is there.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "place.h"

#include <libvhost/libvhost.h>
#include <linux/virtio_blk.h>

#define GUEST	   UINT64_C(0x100000)
#define SIZE	   0x100000
#define SLOTS	   24
#define QUEUE_SIZE 128
#define SECTORS	   8
#define DATA	   (SECTORS * 512)
#define KILLS	   8
#define PATIENCE   30000 /* ms */

static const char *program;

struct slot {
	struct virtio_blk_outhdr header;
	uint8_t data[DATA];
	uint8_t status;
};

struct memory {
	_Alignas(64) uint8_t ring[0x10000];
	struct slot slots[SLOTS];
};

struct rig {
	struct place place;
	pid_t pid;
	uint64_t random;
	struct memory *memory;
	struct vh_backend *backend;
	struct vh_frontend *frontend;
	struct vh_driver_queue *driver;
	int call;
	unsigned int seed[SLOTS];
	unsigned int done;
	unsigned int deaths;
	/* a back-end that is to be freed when nothing is about to use it */
	struct vh_backend *dead;
};

static void spawn(struct rig *rig)
{
	const char *const argv[] = {program, "--socket-path=SOCKET",
				    "--blk-file=DISK", "-q", NULL};

	rig->pid = program_start(&rig->place, argv);
	assert_return_code(rig->pid, -rig->pid);
}

static void kill_it(struct rig *rig)
{
	kill(rig->pid, SIGKILL);
	assert_int_equal(waitpid(rig->pid, NULL, 0), rig->pid);
}

/* Waits until it listens. */
static struct vh_backend *connect_to(struct rig *rig)
{
	VH_OPTS(vh_user_connect_opts, opts);
	struct vh_backend *backend;
	int tries = 0;

	opts.mode = VH_USER_CONNECT;
	opts.path = rig->place.socket;
	while (vh_user_connect(&opts, NULL, &backend) < 0) {
		assert_true(++tries < PATIENCE);
		usleep(1000);
	}
	return backend;
}

static void on_gone(void *user)
{
	struct rig *rig = user;
	struct vh_backend *backend;

	rig->deaths++;
	spawn(rig);
	backend = connect_to(rig);
	if (vh_frontend_reconnect(rig->frontend, backend) < 0)
		fail_msg("%s", vh_frontend_fault(rig->frontend)->text);
	rig->dead = rig->backend;
	rig->backend = backend;
}

static void fill(uint8_t *data, unsigned int slot, unsigned int seed)
{
	for (unsigned int i = 0; i < DATA; i++)
		data[i] = (uint8_t)(slot * 7 + seed * 31 + i + i / 256);
}

static struct iovec part(unsigned int slot, size_t offset, size_t size)
{
	return (struct iovec){
	    (void *)(uintptr_t)(GUEST + offsetof(struct memory, slots) +
				slot * sizeof(struct slot) + offset),
	    size};
}

static void submit(struct rig *rig, unsigned int slot, uint32_t type)
{
	struct slot *s = &rig->memory->slots[slot];
	struct iovec parts[] = {
	    part(slot, 0, sizeof(s->header)),
	    part(slot, offsetof(struct slot, data), DATA),
	    part(slot, offsetof(struct slot, status), 1),
	};
	unsigned int readable = type == VIRTIO_BLK_T_OUT ? 2 : 1;

	s->header.type = type;
	s->header.sector = slot * SECTORS;
	s->status = 0xee;
	if (type == VIRTIO_BLK_T_OUT)
		fill(s->data, slot, ++rig->seed[slot]);
	else
		memset(s->data, 0, DATA);
	assert_int_equal(vh_driver_queue_add(rig->driver, parts, readable,
					     &parts[readable], 3 - readable, s),
			 0);
}

static void kick(struct rig *rig)
{
	if (vh_driver_queue_publish(rig->driver))
		assert_int_equal(vh_frontend_kick(rig->frontend, 0), 0);
}

/* What was written is read, and what was read is what was written. */
static void finish(struct rig *rig, struct slot *s)
{
	unsigned int slot = (unsigned int)(s - rig->memory->slots);
	uint8_t wanted[DATA];

	rig->done++;
	assert_int_equal(s->status, VIRTIO_BLK_S_OK);
	if (s->header.type == VIRTIO_BLK_T_OUT) {
		submit(rig, slot, VIRTIO_BLK_T_IN);
		return;
	}
	fill(wanted, slot, rig->seed[slot]);
	assert_memory_equal(s->data, wanted, DATA);
	submit(rig, slot, VIRTIO_BLK_T_OUT);
}

static void look_after(struct rig *rig)
{
	struct pollfd fds[] = {
	    {rig->call, POLLIN, 0},
	    {vh_frontend_fd(rig->frontend), POLLIN, 0},
	};
	eventfd_t count;

	assert_in_range(poll(fds, 2, PATIENCE), 1, 2);
	if (fds[0].revents)
		eventfd_read(rig->call, &count);
	assert_int_equal(vh_frontend_dispatch(rig->frontend), 0);
	vh_backend_free(rig->dead);
	rig->dead = NULL;
}

/* Until so many more requests are done. */
static void work(struct rig *rig, unsigned int requests)
{
	unsigned int goal = rig->done + requests;
	struct vh_driver_used used[8];

	while (rig->done < goal) {
		int n = vh_driver_queue_collect(rig->driver, used, 8);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			finish(rig, used[i].token);
		kick(rig);
		if (n == 0 && !vh_driver_queue_enable_calls(rig->driver))
			look_after(rig);
	}
}

static void boot(struct rig *rig, uint64_t features)
{
	struct vh_region region = {.guest = GUEST, .size = SIZE};
	VH_OPTS(vh_driver_queue_opts, queue);
	VH_OPTS(vh_frontend_events, events);
	VH_OPTS(vh_frontend_opts, opts);
	VH_OPTS(vh_frontend_ring, ring);
	struct vh_fault fault;

	spawn(rig);
	rig->backend = connect_to(rig);
	events.backend_gone = on_gone;
	opts.num_queues = 1;
	opts.features = features;
	opts.inflight = true;
	opts.events = &events;
	opts.user = rig;
	assert_int_equal(
	    vh_frontend_new(rig->backend, &opts, &fault, &rig->frontend), 0);
	region.fd = memfd_create("guest", MFD_CLOEXEC);
	assert_return_code(ftruncate(region.fd, SIZE), errno);
	rig->memory =
	    mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
	assert_ptr_not_equal(rig->memory, MAP_FAILED);
	region.user.raw = (uintptr_t)rig->memory;
	assert_int_equal(vh_frontend_set_memory(rig->frontend, &region, 1), 0);
	close(region.fd);
	assert_int_equal(vh_frontend_negotiate(rig->frontend, features), 0);
	queue.num = ring.num = QUEUE_SIZE;
	queue.features = features;
	queue.ring = rig->memory->ring;
	queue.ring_at = GUEST;
	assert_int_equal(vh_driver_queue_new(&queue, NULL, &rig->driver), 0);
	vh_driver_queue_addresses(rig->driver, &ring.descriptors,
				  &ring.available, &ring.used);
	assert_int_equal(vh_frontend_set_ring(rig->frontend, 0, &ring), 0);
	rig->call = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(vh_frontend_set_call(rig->frontend, 0, rig->call), 0);
	assert_int_equal(vh_frontend_start(rig->frontend), 0);
}

static void run(struct rig *rig, uint64_t features)
{
	boot(rig, features | VH_F_VERSION_1);
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		submit(rig, slot, VIRTIO_BLK_T_OUT);
	kick(rig);
	for (unsigned int i = 1; i <= KILLS; i++) {
		rig->random = rig->random * 6364136223846793005u + i;
		work(rig, (unsigned int)(rig->random >> 33) % 300);
		kill_it(rig);
		while (rig->deaths < i)
			look_after(rig);
	}
	/* Each slot comes round, so none was lost. */
	work(rig, 10 * SLOTS);
	for (unsigned int slot = 0; slot < SLOTS; slot++)
		assert_in_range(rig->seed[slot], 2, UINT32_MAX);
	assert_int_equal(vh_frontend_stop(rig->frontend), 0);
	assert_int_equal(vh_frontend_start(rig->frontend), 0);
	work(rig, SLOTS);
	assert_int_equal(rig->deaths, KILLS);
}

static void test_frontend_crash_split(void **state)
{
	run(*state, VH_F_EVENT_IDX);
}

static void test_frontend_crash_packed(void **state)
{
	run(*state, VH_F_RING_PACKED);
}

/* The driver gives up what was in flight, while nobody is there. */
static void test_frontend_crash_and_reset(void **state)
{
	struct rig *rig = *state;

	boot(rig, VH_F_VERSION_1);
	submit(rig, 0, VIRTIO_BLK_T_OUT);
	kick(rig);
	kill_it(rig);
	assert_int_equal(vh_frontend_reset(rig->frontend), 0);
	while (!rig->deaths)
		look_after(rig);
	assert_int_equal(vh_frontend_negotiate(rig->frontend, VH_F_VERSION_1),
			 0);
}

static int set_up(void **state)
{
	static struct rig rig;

	rig = (struct rig){.random = 4711};
	*state = &rig;
	return place_make(&rig.place, NULL, 1 << 20);
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	vh_frontend_free(rig->frontend);
	vh_backend_free(rig->backend);
	vh_driver_queue_free(rig->driver);
	munmap(rig->memory, SIZE);
	close(rig->call);
	kill_it(rig);
	place_remove(&rig->place);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    TEST(test_frontend_crash_split),
	    TEST(test_frontend_crash_packed),
	    TEST(test_frontend_crash_and_reset),
	};

	if (argc != 2)
		return 2;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
