/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A device's process may die between any two of its stores. Whoever comes
 * next finds each request that the driver waits for, once and in the
 * driver's order.
 */
#include "packed_area.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define NUM    8
#define OFFERS 32
#define BEGIN  PACKED_BASE(5, 1, 5, 1)

/*
 * What the driver knows. It lies in shared memory, for the process that lives
 * does what the driver does, too.
 */
struct driver {
	bool busy; /* what is shared isn't the device's work now */
	uint32_t used_base;
	unsigned int count;
	struct {
		uint16_t id;
		uint16_t descriptors;
		bool done;
	} offers[OFFERS];
};

/*
 * Every store of a life, one instruction after the other: a process does
 * what a device does and is stopped after each; at each change of what is
 * shared a crash is played on a copy.
 */
struct shared {
	uint8_t area[32 + 32 * NUM];
	uint8_t ring[16 * NUM];
	struct driver driver;
};

static void look(struct shared *shared, const struct packed_box *p,
		 const struct area *area, const struct driver *driver)
{
	memcpy(shared->area, area, sizeof(shared->area));
	memcpy(shared->ring, box_host(&p->box, BOX_DESCRIPTORS),
	       sizeof(shared->ring));
	memcpy(&shared->driver, driver, sizeof(*driver));
}

/* Offer number n has buffers of its own. */
static void offer(struct packed_box *p, struct driver *driver, uint16_t id,
		  uint16_t descriptors)
{
	unsigned int n = driver->count++;

	driver->offers[n].id = id;
	driver->offers[n].descriptors = descriptors;
	for (unsigned int i = 0; i < descriptors; i++)
		packed_send(p, id, BOX_DATA + 256 * n + i, 1,
			    i + 1 < descriptors ? F_NEXT : 0);
}

/* What is used at the driver's place; -1: nothing. */
static int used_id(const struct packed_box *p)
{
	const uint16_t *words =
	    box_host(&p->box, BOX_DESCRIPTORS + 16 * (vh_gpa)p->used);
	unsigned int bits = words[7] & (F_AVAIL | F_USED);

	return bits == (p->used_wrap ? F_AVAIL | F_USED : 0) ? words[6] : -1;
}

/* Collects what is used. False if that can't be. */
static bool collect(struct packed_box *p, struct driver *driver)
{
	int id;

	while ((id = used_id(p)) >= 0) {
		unsigned int n = 0;

		while (driver->offers[n].done || driver->offers[n].id != id)
			if (++n >= driver->count)
				return false;
		driver->offers[n].done = true;
		p->used = (uint16_t)(p->used + driver->offers[n].descriptors);
		if (p->used >= NUM) {
			p->used = (uint16_t)(p->used - NUM);
			p->used_wrap = !p->used_wrap;
		}
	}
	driver->used_base = PACKED_BASE(0, 0, p->used, p->used_wrap);
	return true;
}

static struct vh_chain *pop_offer(struct packed_box *p,
				  const struct driver *driver, unsigned int n)
{
	struct vh_chain *chain = box_pop(&p->box);

	assert_int_equal(chain->head, driver->offers[n].id);
	assert_int_equal(chain->descriptors, driver->offers[n].descriptors);
	for (unsigned int i = 0; i < chain->descriptors; i++)
		box_expect_piece(&p->box, &chain->readable[i],
				 BOX_DATA + 256 * n + i, 1);
	return chain;
}

static void crash_copy(const struct shared *shared)
{
	struct area *area = new_area(NUM);
	struct driver driver = shared->driver;
	struct vh_chain *chains[OFFERS], *more;
	unsigned int count = 0;
	struct packed_box p;

	packed_open_memory(&p, &(struct packed_opts){.num = NUM});
	memcpy(area, shared->area, sizeof(shared->area));
	memcpy(box_host(&p.box, BOX_DESCRIPTORS), shared->ring,
	       sizeof(shared->ring));
	packed_set_base(&p, driver.used_base);
	assert_true(collect(&p, &driver));
	/* Of an area that isn't fresh any more the base says nothing. */
	open_queue(&p, area, area->version ? PACKED_BASE(0, 1, 0, 1) : BEGIN);
	for (unsigned int n = 0; n < driver.count; n++)
		if (!driver.offers[n].done)
			chains[count++] = pop_offer(&p, &driver, n);
	assert_int_equal(vh_virtqueue_pop(p.box.queue, &more, 1), 0);
	assert_null(vh_virtqueue_fault(p.box.queue));
	while (count)
		vh_virtqueue_push(p.box.queue, chains[--count], 0);
	assert_true(vh_virtqueue_publish(p.box.queue) >= 0);
	assert_true(collect(&p, &driver));
	for (unsigned int n = 0; n < driver.count; n++)
		assert_true(driver.offers[n].done);
	expect_clean(&p, area);
	close_all(&p, area);
}

static void need(bool good)
{
	if (!good)
		_exit(1);
}

/* Nobody stops here, where nothing of the device's is stored. */
static void begin_unstopped(struct driver *driver)
{
	driver->busy = true;
}

static void end_unstopped(struct driver *driver)
{
	driver->busy = false;
	raise(SIGSTOP);
}

static void die(struct packed_box *p, struct driver *driver)
{
	begin_unstopped(driver);
	crash(p);
	end_unstopped(driver);
}

/* The driver's turn: it takes what there is and offers these. */
static void turn(struct packed_box *p, struct driver *driver,
		 const uint16_t offers[][2], unsigned int count)
{
	begin_unstopped(driver);
	need(collect(p, driver));
	for (unsigned int i = 0; i < count; i++)
		offer(p, driver, offers[i][0], offers[i][1]);
	end_unstopped(driver);
}

static void live(struct packed_box *p, void *area, struct driver *driver)
{
	static const uint16_t two[][2] = {{3, 2}, {7, 2}};
	static const uint16_t all[][2] = {{5, NUM}};
	static const uint16_t last[][2] = {{0, 1}, {1, 3}, {2, 4}};
	struct vh_chain *chains[NUM];
	struct vh_virtqueue **queue = &p->box.queue;

	need(try_queue(p, area, area_size(NUM), BEGIN, NULL) == 0);
	need(vh_virtqueue_pop(*queue, chains, 3) == 3);
	vh_virtqueue_push(*queue, chains[2], 0);
	vh_virtqueue_push(*queue, chains[0], 0);
	need(vh_virtqueue_publish(*queue) == 1);
	turn(p, driver, two, 1);
	/* Given back and not shown, while others are taken. */
	vh_virtqueue_push(*queue, chains[1], 0);
	need(vh_virtqueue_pop(*queue, chains, 1) == 1);
	die(p, driver);
	/* The second life begins with two in flight. */
	need(try_queue(p, area, area_size(NUM), 0, NULL) == 0);
	turn(p, driver, two + 1, 1);
	need(vh_virtqueue_pop(*queue, chains, NUM) == 2);
	need(vh_virtqueue_pop(*queue, chains + 2, NUM) == 1);
	vh_virtqueue_push(*queue, chains[2], 0);
	need(vh_virtqueue_publish(*queue) == 1);
	/* Of these two the second is written, the first isn't shown. */
	vh_virtqueue_push(*queue, chains[1], 0);
	vh_virtqueue_push(*queue, chains[0], 0);
	die(p, driver);
	need(try_queue(p, area, area_size(NUM), 0, NULL) == 0);
	need(vh_virtqueue_pop(*queue, chains, NUM) == 2);
	vh_virtqueue_push(*queue, chains[1], 0);
	need(vh_virtqueue_publish(*queue) == 1);
	vh_virtqueue_push(*queue, chains[0], 0);
	need(vh_virtqueue_publish(*queue) == 1);
	/* Of a whole ring the place is the same, the counter isn't. */
	turn(p, driver, all, 1);
	need(vh_virtqueue_pop(*queue, chains, NUM) == 1);
	vh_virtqueue_push(*queue, chains[0], 0);
	need(vh_virtqueue_publish(*queue) == 1);
	turn(p, driver, last, 3);
	need(vh_virtqueue_pop(*queue, chains, NUM) == 3);
	vh_virtqueue_push(*queue, chains[1], 0);
	vh_virtqueue_push(*queue, chains[0], 0);
	vh_virtqueue_push(*queue, chains[2], 0);
	need(vh_virtqueue_publish(*queue) == 1);
}

static pid_t begin_life(struct packed_box *p, void *area, struct driver *driver)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	raise(SIGSTOP);
	live(p, area, driver);
	_exit(0);
}

/* Returns the number of crashes, or -1 if nobody may be stopped here. */
static int crash_everywhere(struct packed_box *p, void *area,
			    struct driver *driver)
{
	static struct shared last, now;
	pid_t pid;
	int crashes = 0;
	int status;

	look(&last, p, area, driver);
	crash_copy(&last);
	pid = begin_life(p, area, driver);
	assert_true(waitpid(pid, &status, 0) == pid);
	/* If this fails nobody stays behind. */
	(void)ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL);
	while (WIFSTOPPED(status)) {
		look(&now, p, area, driver);
		if (!now.driver.busy && memcmp(&now, &last, sizeof(now)) != 0) {
			crashes++;
			crash_copy(&now);
			last = now;
		}
		assert_true(WSTOPSIG(status) == SIGTRAP ||
			    WSTOPSIG(status) == SIGSTOP);
		assert_true(
		    ptrace(now.driver.busy ? PTRACE_CONT : PTRACE_SINGLESTEP,
			   pid, NULL, NULL) == 0);
		assert_true(waitpid(pid, &status, 0) == pid);
	}
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		return -1;
	assert_int_equal(WEXITSTATUS(status), 0);
	return crashes;
}

static void *share(size_t size)
{
	void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(shared != MAP_FAILED);
	return shared;
}

static void test_virtqueue_packed_inflight_crash_after_every_store(void **state)
{
	struct area *area = share(area_size(NUM));
	struct driver *driver = share(sizeof(*driver));
	struct packed_box p;
	int crashes;

	(void)state;
	packed_open_memory(&p,
			   &(struct packed_opts){.num = NUM, .base = BEGIN});
	/* Nobody has used the ring from 5 on yet. */
	for (unsigned int i = 0; i < 5; i++)
		packed_write(&p, i, 0, 0, 0, F_AVAIL | F_USED);
	driver->used_base = BEGIN;
	offer(&p, driver, 6, 1);
	offer(&p, driver, 4, 3);
	offer(&p, driver, 3, 2);
	crashes = crash_everywhere(&p, area, driver);
	box_close(&p.box);
	munmap(area, area_size(NUM));
	munmap(driver, sizeof(*driver));
	if (crashes < 0)
		skip();
	/* 9 taken and given: at least 8 stores for each */
	assert_true(crashes >= 72);
}

/* A driver's view of its requests while a device crashes now and then. */
#define PLAY_NUM 13

enum where { FREE, OFFERED, TAKEN, PUSHED };

struct request {
	enum where where;
	uint64_t turn; /* when it was offered */
	unsigned int descriptors;
	struct vh_chain *chain;
};

struct play {
	struct packed_box p;
	struct area *area;
	bool in_order;
	uint32_t random;
	uint64_t turn;
	unsigned int room;
	struct request ids[PLAY_NUM];
};

static unsigned int any(struct play *play, unsigned int limit)
{
	play->random = play->random * 1664525 + 1013904223;
	return (play->random >> 8) % limit;
}

static vh_gpa place_of(uint64_t turn)
{
	return BOX_DATA + turn % 4096 * 16;
}

static void play_offer(struct play *play)
{
	unsigned int id = any(play, PLAY_NUM);
	struct request *request = &play->ids[id];
	unsigned int count = 1 + any(play, 3);

	if (request->where != FREE || count > play->room)
		return;
	play->room -= count;
	*request = (struct request){
	    .where = OFFERED,
	    .turn = play->turn++,
	    .descriptors = count,
	};
	for (unsigned int i = 0; i < count; i++)
		packed_send(&play->p, id, place_of(request->turn) + i, 1,
			    i + 1 < count ? F_NEXT : 0);
}

/* The one of a kind that was offered first, or NULL. */
static struct request *oldest(struct play *play, bool offered)
{
	struct request *found = NULL;

	for (unsigned int id = 0; id < PLAY_NUM; id++) {
		struct request *request = &play->ids[id];

		if (request->where == FREE ||
		    (offered && request->where != OFFERED))
			continue;
		if (!found || request->turn < found->turn)
			found = request;
	}
	return found;
}

static void play_pop(struct play *play)
{
	struct request *next = oldest(play, true);
	struct vh_chain *chain;

	if (!next) {
		assert_int_equal(vh_virtqueue_pop(play->p.box.queue, &chain, 1),
				 0);
		return;
	}
	chain = box_pop(&play->p.box);
	assert_int_equal(chain->head, next - play->ids);
	assert_int_equal(chain->descriptors, next->descriptors);
	box_expect_piece(&play->p.box, chain->readable, place_of(next->turn),
			 1);
	next->where = TAKEN;
	next->chain = chain;
}

static void play_push(struct play *play)
{
	struct request *request = &play->ids[any(play, PLAY_NUM)];

	if (request->where != TAKEN)
		return;
	vh_virtqueue_push(play->p.box.queue, request->chain, 0);
	request->where = PUSHED;
}

/* In order, one used descriptor may be of many: up to this id. */
static void play_collect(struct play *play)
{
	int id;

	while ((id = used_id(&play->p)) >= 0) {
		struct packed_box *p = &play->p;
		unsigned int skip = 0;
		struct request *done;

		assert_true(id < PLAY_NUM);
		do {
			done = play->in_order ? oldest(play, false)
					      : &play->ids[id];
			assert_non_null(done);
			assert_int_equal(done->where, PUSHED);
			done->where = FREE;
			skip += done->descriptors;
		} while (done != &play->ids[id]);
		play->room += skip;
		assert_true(play->room <= PLAY_NUM);
		p->used = (uint16_t)(p->used + skip);
		if (p->used >= PLAY_NUM) {
			p->used = (uint16_t)(p->used - PLAY_NUM);
			p->used_wrap = !p->used_wrap;
		}
	}
}

static void play_crash(struct play *play)
{
	crash(&play->p);
	open_queue(&play->p, play->area,
		   PACKED_BASE(any(play, PLAY_NUM), any(play, 2),
			       any(play, PLAY_NUM), any(play, 2)));
	for (unsigned int id = 0; id < PLAY_NUM; id++)
		if (play->ids[id].where != FREE)
			play->ids[id].where = OFFERED;
}

static void play_on(struct play *play)
{
	switch (any(play, 21)) {
	case 0:
		play_crash(play);
		break;
	case 1:
	case 2:
		(void)!vh_virtqueue_publish(play->p.box.queue);
		play_collect(play);
		break;
	default:
		if (any(play, 2))
			play_offer(play);
		else if (any(play, 2))
			play_pop(play);
		else
			play_push(play);
	}
}

static void play(bool in_order)
{
	struct play play = {
	    .random = 1,
	    .in_order = in_order,
	    .room = PLAY_NUM,
	    .area = new_area(PLAY_NUM),
	};

	packed_open_memory(
	    &play.p,
	    &(struct packed_opts){.num = PLAY_NUM,
				  .features = in_order ? BOX_IN_ORDER : 0});
	open_queue(&play.p, play.area, PACKED_BASE(0, 1, 0, 1));
	while (play.turn < 15000)
		play_on(&play);
	close_all(&play.p, play.area);
}

static void test_virtqueue_packed_inflight_random_crashes(void **state)
{
	(void)state;
	play(false);
}

static void test_virtqueue_packed_inflight_random_crashes_in_order(void **state)
{
	(void)state;
	play(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		test_virtqueue_packed_inflight_crash_after_every_store),
	    cmocka_unit_test(test_virtqueue_packed_inflight_random_crashes),
	    cmocka_unit_test(
		test_virtqueue_packed_inflight_random_crashes_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
