/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The client and virtiofsd: a file is read through a ring of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/fuse.h>
#include <place.h>
#include <rig.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM	   "/usr/lib/qemu/virtiofsd"
#define REQUESTS   1 /* the queue; 0 is for those of high priority */
#define ANSWER	   (RIG_DATA + (UINT64_C(1) << 20))
#define ANSWER_MAX 65536
#define CONTENT	   10000

static struct fs {
	struct place place;
	char file[100];
	pid_t pid;
	struct vh_backend *backend;
	struct rig rig;
	uint64_t unique;
} fs;

static uint8_t content_at(unsigned int i)
{
	return (uint8_t)(i * 7 + i / 256);
}

static int make_file(void)
{
	FILE *file;

	snprintf(fs.file, sizeof(fs.file), "%s/greeting", fs.place.folder);
	file = fopen(fs.file, "w");
	if (!file)
		return -errno;
	for (unsigned int i = 0; i < CONTENT; i++)
		fputc(content_at(i), file);
	return fclose(file);
}

static int set_up(void **state)
{
	char source[100];
	char socket[110];
	const char *const argv[] = {PROGRAM, socket,	       "-o", source,
				    "-o",    "sandbox=chroot", NULL};

	(void)state;
	if (access(PROGRAM, X_OK) < 0 || place_make(&fs.place, NULL, 0) < 0 ||
	    make_file() != 0)
		return -1;
	snprintf(source, sizeof(source), "source=%s", fs.place.folder);
	snprintf(socket, sizeof(socket), "--socket-path=SOCKET");
	fs.pid = program_start(&fs.place, argv);
	if (fs.pid < 0 || rig_connect(fs.place.socket, &fs.backend) < 0)
		return -1;
	return rig_open(&fs.rig, fs.backend,
			VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_INDIRECT_DESC);
}

/* It ends when its front-end leaves. */
static int tear_down(void **state)
{
	(void)state;
	vh_backend_free(fs.backend);
	rig_close(&fs.rig);
	if (fs.pid > 0)
		assert_true(WIFEXITED(program_stop(fs.pid)));
	unlink(fs.file);
	place_remove(&fs.place);
	return 0;
}

/*
 * Asks, and returns the answer's body, of which there must be at least size
 * bytes; *ret_size is all of it.
 */
static const void *ask(uint32_t opcode, uint64_t node, const void *body,
		       size_t body_size, size_t size, size_t *ret_size)
{
	const struct fuse_in_header in = {
	    .len = (uint32_t)(sizeof(in) + body_size),
	    .opcode = opcode,
	    .unique = ++fs.unique,
	    .nodeid = node,
	};
	const struct iovec readable[] = {
	    {(void *)RIG_DATA, sizeof(in)},
	    {(void *)(RIG_DATA + 4096), body_size},
	};
	const struct iovec writable = {(void *)ANSWER, ANSWER_MAX};
	const struct fuse_out_header *out = rig_at(&fs.rig, ANSWER);
	uint32_t written;

	memcpy(rig_at(&fs.rig, RIG_DATA), &in, sizeof(in));
	memcpy(rig_at(&fs.rig, RIG_DATA + 4096), body, body_size);
	assert_int_equal(
	    rig_offer(&fs.rig, REQUESTS, readable, 2, &writable, 1), 0);
	assert_int_equal(rig_wait(&fs.rig, REQUESTS, &written), 0);
	assert_int_equal(out->unique, fs.unique);
	assert_int_equal(out->error, 0);
	assert_int_equal(out->len, written);
	assert_true(out->len >= sizeof(*out) + size);
	if (ret_size)
		*ret_size = out->len - sizeof(*out);
	return out + 1;
}

static void start(void)
{
	const struct fuse_init_in init = {
	    .major = FUSE_KERNEL_VERSION,
	    .minor = 31,
	    .max_readahead = 65536,
	};
	const struct fuse_init_out *out;

	for (uint32_t queue = 0; queue < 2; queue++) {
		int r = rig_start(&fs.rig, queue, 128);

		if (r < 0)
			fail_msg("%s", vh_backend_fault(fs.backend)->text);
	}
	out = ask(FUSE_INIT, 0, &init, sizeof(init),
		  FUSE_COMPAT_22_INIT_OUT_SIZE, NULL);
	assert_int_equal(out->major, FUSE_KERNEL_VERSION);
}

static void test_interop_virtiofsd_reads_a_file(void **state)
{
	static const char name[] = "greeting";
	const struct fuse_open_in open = {.flags = 0};
	const struct fuse_entry_out *entry;
	const struct fuse_open_out *opened;
	struct fuse_read_in read = {.size = 16384};
	struct fuse_release_in release = {0};
	const uint8_t *data;
	uint64_t node;
	size_t size;

	(void)state;
	start();
	entry = ask(FUSE_LOOKUP, FUSE_ROOT_ID, name, sizeof(name),
		    sizeof(*entry), NULL);
	node = entry->nodeid;
	assert_int_equal(entry->attr.size, CONTENT);
	opened =
	    ask(FUSE_OPEN, node, &open, sizeof(open), sizeof(*opened), NULL);
	release.fh = read.fh = opened->fh;
	data = ask(FUSE_READ, node, &read, sizeof(read), 0, &size);
	assert_int_equal(size, CONTENT);
	for (unsigned int i = 0; i < CONTENT; i++)
		assert_int_equal(data[i], content_at(i));
	ask(FUSE_RELEASE, node, &release, sizeof(release), 0, NULL);

	/* The same again after a stop. */
	assert_int_equal(rig_stop(&fs.rig, REQUESTS), 0);
	assert_int_equal(rig_start(&fs.rig, REQUESTS, 128), 0);
	entry = ask(FUSE_LOOKUP, FUSE_ROOT_ID, name, sizeof(name),
		    sizeof(*entry), NULL);
	assert_int_equal(entry->attr.size, CONTENT);
	for (uint32_t queue = 0; queue < 2; queue++)
		assert_int_equal(rig_stop(&fs.rig, queue), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_interop_virtiofsd_reads_a_file,
					    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
