/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A device's process may die between any two of its stores. Whoever comes
 * next finds each request that the driver waits for, once and in the
 * driver's order.
 */
#include "inflight_area.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define NUM 8

/*
 * Every store of a life, one instruction after the other: a process does
 * what a device does and is stopped after each; at each change of what is
 * shared a crash is played on a copy.
 */
struct shared {
	uint8_t area[16 + 16 * NUM];
	uint8_t avail[6 + 2 * NUM];
	uint8_t used[6 + 8 * NUM];
};

static void look(struct shared *shared, const struct box *box,
		 const struct area *area)
{
	memcpy(shared->area, area, sizeof(shared->area));
	memcpy(shared->avail, box_host(box, BOX_AVAIL), sizeof(shared->avail));
	memcpy(shared->used, box_host(box, BOX_USED), sizeof(shared->used));
}

/* What the driver waits for, by the two rings, in its order. */
static unsigned int waited_for(const struct box *box, uint16_t start,
			       uint16_t heads[NUM])
{
	unsigned int offers = (uint16_t)(box->avail_index - start);
	unsigned int given = (uint16_t)(box_used_index(box) - start);
	unsigned int count = 0;
	bool done[NUM] = {false};

	assert_true(offers <= NUM && given <= offers);
	for (unsigned int u = 0; u < given; u++) {
		unsigned int i = 0;

		while (done[i] ||
		       *box_avail_word(box, 2 + (uint16_t)(start + i) % NUM) !=
			   box_used_id(box, (uint16_t)(start + u)))
			assert_true(++i < offers);
		done[i] = true;
	}
	for (unsigned int i = 0; i < offers; i++)
		if (!done[i])
			heads[count++] = *box_avail_word(
			    box, 2 + (uint16_t)(start + i) % NUM);
	return count;
}

static void crash_copy(const struct shared *shared, uint16_t start)
{
	struct area *area = new_area(NUM);
	struct vh_chain *chains[NUM];
	uint16_t heads[NUM];
	unsigned int count;
	struct box box;

	open_ring(&box, NUM, start);
	memcpy(area, shared->area, sizeof(shared->area));
	memcpy(box_host(&box, BOX_AVAIL), shared->avail, sizeof(shared->avail));
	memcpy(box_host(&box, BOX_USED), shared->used, sizeof(shared->used));
	box.avail_index = le16toh(*box_avail_word(&box, 1));
	count = waited_for(&box, start, heads);
	open_queue(&box, area, box_used_index(&box));
	expect_heads(&box, heads, count, chains);
	give_all(&box, chains, count);
	assert_int_equal(waited_for(&box, start, heads), 0);
	expect_clean(&box, area);
	close_all(&box, area);
}

static void need(bool good)
{
	if (!good)
		_exit(1);
}

static void live(struct box *box, void *area, uint16_t start)
{
	struct vh_chain *chains[NUM];

	need(try_queue(box, area, area_size(NUM), start, NULL) == 0);
	need(vh_virtqueue_pop(box->queue, chains, 3) == 3);
	vh_virtqueue_push(box->queue, chains[2], 0);
	vh_virtqueue_push(box->queue, chains[0], 0);
	need(vh_virtqueue_publish(box->queue) == 1);
	vh_virtqueue_free(box->queue);
	/* the second life begins with one in flight */
	need(try_queue(box, area, area_size(NUM), 99, NULL) == 0);
	box_send(box, 2);
	box_send(box, 0);
	need(vh_virtqueue_pop(box->queue, chains, NUM) == 1);
	need(vh_virtqueue_pop(box->queue, chains + 1, NUM) == 4);
	vh_virtqueue_push(box->queue, chains[4], 0);
	need(vh_virtqueue_publish(box->queue) == 1);
	vh_virtqueue_push(box->queue, chains[0], 0);
	vh_virtqueue_push(box->queue, chains[3], 0);
	vh_virtqueue_push(box->queue, chains[1], 0);
	need(vh_virtqueue_publish(box->queue) == 1);
}

static pid_t begin_life(struct box *box, void *area, uint16_t start)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	raise(SIGSTOP);
	live(box, area, start);
	_exit(0);
}

/* Returns the number of crashes, or -1 if nobody may be stopped here. */
static int crash_everywhere(struct box *box, void *area, uint16_t start)
{
	pid_t pid;
	struct shared last, now;
	int crashes = 0;
	int status;

	look(&last, box, area);
	crash_copy(&last, start);
	pid = begin_life(box, area, start);
	assert_true(waitpid(pid, &status, 0) == pid);
	/* If this fails nobody stays behind. */
	(void)ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL);
	while (WIFSTOPPED(status)) {
		look(&now, box, area);
		if (memcmp(&now, &last, sizeof(now)) != 0) {
			crashes++;
			crash_copy(&now, start);
			last = now;
		}
		assert_true(WSTOPSIG(status) == SIGTRAP ||
			    WSTOPSIG(status) == SIGSTOP);
		assert_true(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
		assert_true(waitpid(pid, &status, 0) == pid);
	}
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		return -1;
	assert_int_equal(WEXITSTATUS(status), 0);
	return crashes;
}

/* It begins where the indices go round. */
static void test_virtqueue_inflight_crash_after_every_store(void **state)
{
	const uint16_t start = 65533;
	struct area *area = mmap(NULL, area_size(NUM), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct box box;
	int crashes;

	(void)state;
	assert_true(area != MAP_FAILED);
	open_ring(&box, NUM, start);
	for (unsigned int head = 0; head < 5; head++)
		box_send(&box, head);
	crashes = crash_everywhere(&box, area, start);
	box_close(&box);
	munmap(area, area_size(NUM));
	if (crashes < 0)
		skip();
	/* 7 taken and given: at least 5 stores for each */
	assert_true(crashes >= 35);
}

/* A driver's view of each head while a device crashes now and then. */
enum where { FREE, OFFERED, TAKEN, PUSHED };

struct play {
	struct box box;
	struct area *area;
	uint32_t random;
	uint64_t turn;
	struct {
		enum where where;
		uint64_t turn; /* when it was offered */
		struct vh_chain *chain;
	} heads[16];
};

static unsigned int any(struct play *play, unsigned int limit)
{
	play->random = play->random * 1664525 + 1013904223;
	return (play->random >> 8) % limit;
}

static bool any_left(const struct play *play, enum where where)
{
	for (unsigned int i = 0; i < 16; i++)
		if (play->heads[i].where == where)
			return true;
	return false;
}

static void play_offer(struct play *play)
{
	unsigned int head = any(play, 16);

	if (play->heads[head].where != FREE)
		return;
	play->heads[head].where = OFFERED;
	play->heads[head].turn = play->turn++;
	box_send(&play->box, head);
}

/* Always the one that waits longest. */
static void play_pop(struct play *play)
{
	struct vh_chain *chain;
	unsigned int oldest = 16;

	for (unsigned int i = 0; i < 16; i++)
		if (play->heads[i].where == OFFERED &&
		    (oldest == 16 ||
		     play->heads[i].turn < play->heads[oldest].turn))
			oldest = i;
	if (oldest == 16) {
		assert_int_equal(vh_virtqueue_pop(play->box.queue, &chain, 1),
				 0);
		return;
	}
	chain = box_pop(&play->box);
	assert_int_equal(chain->head, oldest);
	play->heads[oldest].where = TAKEN;
	play->heads[oldest].chain = chain;
}

static void play_push(struct play *play)
{
	unsigned int head = any(play, 16);

	if (play->heads[head].where != TAKEN)
		return;
	vh_virtqueue_push(play->box.queue, play->heads[head].chain, 0);
	play->heads[head].where = PUSHED;
}

static void play_publish(struct play *play)
{
	(void)!vh_virtqueue_publish(play->box.queue);
	for (unsigned int i = 0; i < 16; i++)
		if (play->heads[i].where == PUSHED)
			play->heads[i].where = FREE;
}

static void play_crash(struct play *play)
{
	bool taken = any_left(play, TAKEN) || any_left(play, PUSHED);
	uint16_t base =
	    taken ? (uint16_t)any(play, 65536) : box_used_index(&play->box);

	vh_virtqueue_free(play->box.queue);
	open_queue(&play->box, play->area, base);
	for (unsigned int i = 0; i < 16; i++)
		if (play->heads[i].where != FREE)
			play->heads[i].where = OFFERED;
}

static void play_on(struct play *play)
{
	switch (any(play, 21)) {
	case 0:
		play_crash(play);
		break;
	case 1:
	case 2:
		play_publish(play);
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

/* More requests than the indices have values. */
static void test_virtqueue_inflight_random_crashes(void **state)
{
	struct play play = {.random = 1};

	(void)state;
	play.area = new_area(16);
	open_ring(&play.box, 16, 65000);
	open_queue(&play.box, play.area, 65000);
	while (play.turn < 70000)
		play_on(&play);
	close_all(&play.box, play.area);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_inflight_crash_after_every_store),
	    cmocka_unit_test(test_virtqueue_inflight_random_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
