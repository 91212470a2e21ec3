/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The client and DPDK's testpmd, a network card that sends every packet back
 * with the two addresses of its head exchanged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <place.h>
#include <rig.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM	   "/usr/bin/dpdk-testpmd"
#define RX	   0
#define TX	   1
#define NET_HEADER 12
#define ADDRESS	   6
#define BUFFER	   2048
#define RX_BUFFERS 32
#define PACKETS	   100
#define LONGEST	   1400
#define TX_AT	   (RIG_DATA + (UINT64_C(1) << 20))
#define RING	   64

static struct pmd {
	struct place place;
	pid_t pid;
} pmd;

/* Its two threads may run wherever we may. */
static void say_cores(char *text, size_t size)
{
	char list[400] = "";
	cpu_set_t set;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0, n = 0; i < 128 && n < 390; i++)
		if (CPU_ISSET(i, &set))
			n += snprintf(list + n, sizeof(list) - (size_t)n,
				      "%s%d", n ? "," : "", i);
	snprintf(text, size, "--lcores=0@(%.200s),1@(%.200s)", list, list);
}

static int set_up(void **state)
{
	char cores[500];
	const char *const argv[] = {PROGRAM,
				    "--no-huge",
				    "-m",
				    "256",
				    "--no-pci",
				    "--no-shconf",
				    "--no-telemetry",
				    "--log-level=error",
				    cores,
				    "--vdev=net_vhost0,iface=SOCKET,queues=1",
				    "--",
				    "--forward-mode=macswap",
				    "--auto-start",
				    "--port-topology=loop",
				    "--no-mlockall",
				    "--total-num-mbufs=2048",
				    "--stats-period=3600",
				    NULL};

	(void)state;
	if (access(PROGRAM, X_OK) < 0 || place_make(&pmd.place, NULL, 0) < 0)
		return -1;
	say_cores(cores, sizeof(cores));
	pmd.pid = program_start(&pmd.place, argv);
	return pmd.pid < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (pmd.pid > 0)
		program_stop(pmd.pid);
	place_remove(&pmd.place);
	return 0;
}

/* The buffer that is offered next, in turn. */
static void offer_rx(struct rig *rig, unsigned int n)
{
	const struct iovec writable = {
	    (void *)(RIG_DATA + n % RX_BUFFERS * BUFFER), BUFFER};

	assert_int_equal(rig_offer(rig, RX, NULL, 0, &writable, 1), 0);
}

/* A frame that names its number; returns its length. */
static uint32_t make_frame(uint8_t *frame, unsigned int n, bool swapped)
{
	uint32_t length = 60 + n * 37 % (LONGEST - 60);

	memset(frame, swapped ? 0x22 : 0x02, ADDRESS);
	memset(frame + ADDRESS, swapped ? 0x02 : 0x22, ADDRESS);
	frame[12] = 0x88;
	frame[13] = 0xb5;
	for (uint32_t i = 14; i < length; i++)
		frame[i] = (uint8_t)(i * 3 + n);
	return length;
}

static void send_frame(struct rig *rig, unsigned int n)
{
	uint8_t *packet = rig_at(rig, TX_AT);
	struct iovec readable = {(void *)TX_AT, NET_HEADER};

	memset(packet, 0, NET_HEADER);
	readable.iov_len += make_frame(packet + NET_HEADER, n, false);
	assert_int_equal(rig_offer(rig, TX, &readable, 1, NULL, 0), 0);
	assert_int_equal(rig_wait(rig, TX, NULL), 0);
}

static void receive_frame(struct rig *rig, unsigned int n, unsigned int buffer)
{
	const uint8_t *packet =
	    rig_at(rig, RIG_DATA + buffer % RX_BUFFERS * BUFFER);
	uint8_t expected[LONGEST];
	uint32_t written, length = make_frame(expected, n, true);

	assert_int_equal(rig_wait(rig, RX, &written), 0);
	assert_int_equal(written, NET_HEADER + length);
	assert_memory_equal(packet + NET_HEADER, expected, length);
}

static void must_start(struct rig *rig)
{
	for (uint32_t queue = 0; queue < 2; queue++) {
		int r = rig_start(rig, queue, RING);

		if (r < 0)
			fail_msg("queue %u: %s", queue,
				 vh_backend_fault(rig->backend)->text);
	}
}

/* Buffers are used in the order in which they were offered. */
static void do_packets(struct rig *rig, unsigned int *n)
{
	for (unsigned int i = 0; i < PACKETS; i++, ++*n) {
		send_frame(rig, *n);
		receive_frame(rig, *n, *n);
		offer_rx(rig, *n);
	}
}

/* A front-end's life, with a pause in which buffers stay in the ring. */
static void live(uint64_t features)
{
	uint32_t bases[2];
	struct vh_backend *b;
	struct rig rig;
	unsigned int n = 0;

	assert_int_equal(rig_connect(pmd.place.socket, &b), 0);
	assert_int_equal(rig_open(&rig, b, features), 0);
	assert_int_equal(rig.features, features);
	must_start(&rig);
	for (unsigned int i = 0; i < RX_BUFFERS; i++)
		offer_rx(&rig, i);
	do_packets(&rig, &n);
	for (uint32_t queue = 0; queue < 2; queue++)
		assert_int_equal(
		    vh_backend_get_vring_base(b, queue, &bases[queue]), 0);
	for (uint32_t queue = 0; queue < 2; queue++)
		assert_int_equal(rig_start_at(&rig, queue, RING, bases[queue]),
				 0);
	do_packets(&rig, &n);
	vh_backend_free(b);
	rig_close(&rig);
}

static void exchange(uint64_t features)
{
	live(features);
	live(features);
}

static void test_interop_testpmd_split(void **state)
{
	(void)state;
	exchange(VH_F_VERSION_1);
}

static void test_interop_testpmd_packed(void **state)
{
	(void)state;
	exchange(VH_F_VERSION_1 | VH_F_RING_PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_interop_testpmd_split),
	    cmocka_unit_test(test_interop_testpmd_packed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
