/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The client and qemu-storage-daemon's block device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <blk.h>
#include <bytes.h>
#include <cmocka.h>
#include <errno.h>
#include <place.h>
#include <poll.h>
#include <rig.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PROGRAM	  "/usr/bin/qemu-storage-daemon"
#define DISK_SIZE (UINT64_C(8) << 20)
#define LENGTH	  65536
#define FEATURES                                                               \
	(VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_INDIRECT_DESC | BLK_F_FLUSH |  \
	 BLK_F_MQ | BLK_F_SEG_MAX | BLK_F_DISCARD | BLK_F_WRITE_ZEROES)

struct qsd {
	struct place place;
	pid_t pid;
	char monitor[96];
	struct vh_backend *backend;
	struct rig rig;
};

static int set_up(void **state)
{
	static struct qsd qsd;
	char monitor[200];
	const char *const argv[] = {
	    PROGRAM,
	    "--chardev",
	    monitor,
	    "--monitor",
	    "chardev=monitor",
	    "--blockdev",
	    "driver=file,node-name=disk,discard=unmap,filename=DISK",
	    "--export",
	    "type=vhost-user-blk,id=export,node-name=disk,writable=on,"
	    "num-queues=2,addr.type=unix,addr.path=SOCKET",
	    NULL};

	qsd = (struct qsd){.pid = -1, .rig.fd = -1};
	*state = &qsd;
	if (access(PROGRAM, X_OK) < 0 ||
	    place_make(&qsd.place, NULL, DISK_SIZE) < 0)
		return -1;
	snprintf(qsd.monitor, sizeof(qsd.monitor), "%s/monitor",
		 qsd.place.folder);
	snprintf(monitor, sizeof(monitor),
		 "socket,id=monitor,server=on,wait=off,path=%s", qsd.monitor);
	qsd.pid = program_start(&qsd.place, argv);
	if (qsd.pid < 0 || rig_connect(qsd.place.socket, &qsd.backend) < 0)
		return -1;
	return rig_open(&qsd.rig, qsd.backend, FEATURES);
}

static int tear_down(void **state)
{
	struct qsd *qsd = *state;

	vh_backend_free(qsd->backend);
	rig_close(&qsd->rig);
	if (qsd->pid > 0)
		assert_int_equal(program_stop(qsd->pid), 0);
	unlink(qsd->monitor);
	place_remove(&qsd->place);
	return 0;
}

static void must_start(struct qsd *qsd, uint32_t queue)
{
	int r = rig_start(&qsd->rig, queue, 128);

	if (r < 0)
		fail_msg("queue %u: %s", queue,
			 vh_backend_fault(qsd->backend)->text);
}

/* What the file on the host has, by its own descriptor. */
static void compare_file(struct qsd *qsd, uint64_t sector,
			 const uint8_t *expected)
{
	uint8_t found[LENGTH];

	assert_int_equal(
	    pread(qsd->place.file, found, LENGTH, (off_t)(sector * BLK_SECTOR)),
	    LENGTH);
	assert_memory_equal(found, expected, LENGTH);
}

static void write_and_read(struct qsd *qsd, uint32_t queue, uint64_t sector)
{
	struct rig *rig = &qsd->rig;
	void *data = rig_at(rig, RIG_DATA);
	uint8_t expected[LENGTH];

	blk_pattern(expected, LENGTH, sector + queue);
	memcpy(data, expected, LENGTH);
	assert_int_equal(rig_blk(rig, queue, BLK_OUT, sector, LENGTH), BLK_OK);
	assert_int_equal(rig_blk(rig, queue, BLK_FLUSH, 0, 0), BLK_OK);
	compare_file(qsd, sector, expected);
	memset(data, 0, LENGTH);
	assert_int_equal(rig_blk(rig, queue, BLK_IN, sector, LENGTH), BLK_OK);
	assert_memory_equal(data, expected, LENGTH);
}

static void test_interop_qsd_writes_and_reads(void **state)
{
	struct qsd *qsd = *state;
	uint8_t config[60];
	uint32_t queues;

	assert_int_equal(vh_backend_get_queue_num(qsd->backend, &queues), 0);
	assert_int_equal(queues, 2);
	assert_int_equal(
	    vh_backend_get_config(qsd->backend, 0, config, sizeof(config)), 0);
	assert_int_equal(get64(config), DISK_SIZE / BLK_SECTOR);
	assert_int_equal(config[BLK_CONFIG_NUM_QUEUES], 2);
	for (unsigned int turn = 0; turn < 3; turn++) {
		for (uint32_t queue = 0; queue < 2; queue++) {
			must_start(qsd, queue);
			write_and_read(qsd, queue, 128 * turn + 256 * queue);
		}
		for (uint32_t queue = 0; queue < 2; queue++)
			assert_int_equal(rig_stop(&qsd->rig, queue), 0);
	}
}

/* The blocks are given back, and read as zeroes. */
static void test_interop_qsd_discards(void **state)
{
	struct qsd *qsd = *state;
	uint8_t *data = rig_at(&qsd->rig, RIG_DATA);
	static const uint8_t zeroes[LENGTH];
	struct stat before, after;

	must_start(qsd, 0);
	write_and_read(qsd, 0, 1024);
	assert_int_equal(fstat(qsd->place.file, &before), 0);
	memset(data, 0, 16);
	put64(data, 0, 1024);
	put32(data, 8, LENGTH / BLK_SECTOR);
	assert_int_equal(rig_blk(&qsd->rig, 0, BLK_DISCARD, 0, 16), BLK_OK);
	assert_int_equal(fstat(qsd->place.file, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	compare_file(qsd, 1024, zeroes);

	write_and_read(qsd, 0, 2048);
	memset(data, 0, 16);
	put64(data, 0, 2048);
	put32(data, 8, LENGTH / BLK_SECTOR);
	assert_int_equal(rig_blk(&qsd->rig, 0, BLK_WRITE_ZEROES, 0, 16),
			 BLK_OK);
	compare_file(qsd, 2048, zeroes);
	assert_int_equal(rig_blk(&qsd->rig, 0, 77, 0, 0), BLK_UNSUPP);
}

/* Regions come and go under the server's hands. */
static void test_interop_qsd_memory(void **state)
{
	struct qsd *qsd = *state;
	struct vh_region more = {
	    .guest = UINT64_C(0x300000000),
	    .size = 1 << 20,
	    .user = {UINT64_C(0x600000000000)},
	    .fd = qsd->rig.fd,
	};
	uint32_t slots;

	assert_int_equal(vh_backend_get_max_mem_slots(qsd->backend, &slots), 0);
	assert_true(slots >= 8);
	must_start(qsd, 1);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(vh_backend_add_region(qsd->backend, &more), 0);
		write_and_read(qsd, 1, 128 * i);
		assert_int_equal(vh_backend_remove_region(qsd->backend, &more),
				 0);
	}
	write_and_read(qsd, 1, 4096);
}

static FILE *open_monitor(const struct qsd *qsd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, qsd->monitor);
	assert_int_equal(connect(fd, (void *)&address, sizeof(address)), 0);
	return fdopen(fd, "r+");
}

/* Waits until lines with both words came, in any order; "": any line. */
static void expect(FILE *monitor, const char *one, const char *other)
{
	bool had_one = false, had_other = false;
	char line[1024];

	while (!had_one || !had_other) {
		assert_non_null(fgets(line, sizeof(line), monitor));
		if (strstr(line, "\"error\""))
			fail_msg("%s", line);
		had_one |= strstr(line, one) != NULL;
		had_other |= strstr(line, other) != NULL;
	}
}

static void command(FILE *monitor, const char *name, const char *arguments,
		    const char *event)
{
	fprintf(monitor, "{\"execute\": \"%s\", \"arguments\": {%s}}\n", name,
		arguments);
	fflush(monitor);
	expect(monitor, "\"return\"", event);
}

static void wait_until_gone(struct vh_backend *b)
{
	struct pollfd pfd = {.fd = vh_backend_fd(b), .events = POLLIN};

	do
		assert_int_equal(poll(&pfd, 1, RIG_PATIENCE), 1);
	while (vh_backend_dispatch(b) == 0);
	assert_int_equal(vh_backend_fault(b)->error, -ENODEV);
}

/*
 * This server's config space is that of the time when the export was made: so
 * the export goes and comes, and the front-end with it.
 */
static void test_interop_qsd_grows(void **state)
{
	struct qsd *qsd = *state;
	FILE *monitor = open_monitor(qsd);
	char export[300];
	uint8_t capacity[8];

	assert_non_null(monitor);
	must_start(qsd, 0);
	expect(monitor, "QMP", "");
	command(monitor, "qmp_capabilities", "", "");
	command(monitor, "block_resize",
		"\"node-name\": \"disk\", \"size\": 16777216", "");
	write_and_read(qsd, 0, 256);
	command(monitor, "block-export-del",
		"\"id\": \"export\", \"mode\": \"hard\"",
		"BLOCK_EXPORT_DELETED");
	wait_until_gone(qsd->backend);
	snprintf(export, sizeof(export),
		 "\"id\": \"again\", \"type\": \"vhost-user-blk\", "
		 "\"node-name\": \"disk\", \"writable\": true, "
		 "\"addr\": {\"type\": \"unix\", \"path\": \"%s\"}",
		 qsd->place.socket);
	command(monitor, "block-export-add", export, "");
	fclose(monitor);

	vh_backend_free(qsd->backend);
	rig_close(&qsd->rig);
	qsd->backend = NULL;
	assert_int_equal(rig_connect(qsd->place.socket, &qsd->backend), 0);
	assert_int_equal(rig_open(&qsd->rig, qsd->backend, FEATURES), 0);
	assert_int_equal(vh_backend_get_config(qsd->backend, 0, capacity, 8),
			 0);
	assert_int_equal(get64(capacity), 2 * DISK_SIZE / BLK_SECTOR);
	must_start(qsd, 0);
	write_and_read(qsd, 0, DISK_SIZE / BLK_SECTOR + 256);
}

/* It doesn't outlive its process, and we outlive it. */
static void test_interop_qsd_dies(void **state)
{
	struct qsd *qsd = *state;
	uint32_t base;

	must_start(qsd, 0);
	assert_int_equal(program_stop(qsd->pid), 0);
	qsd->pid = -1;
	wait_until_gone(qsd->backend);
	assert_int_equal(vh_backend_get_vring_base(qsd->backend, 0, &base),
			 -ENODEV);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_interop_qsd_writes_and_reads),
	    CASE(test_interop_qsd_discards),
	    CASE(test_interop_qsd_memory),
	    CASE(test_interop_qsd_grows),
	    CASE(test_interop_qsd_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
