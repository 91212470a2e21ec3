/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Real files that are no such device, opened as each kind. */
#include <errno.h>
#include <fcntl.h>
#include <libvhost/libvhost.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KINDS 4

static int open_as(int kind, const char *path, int fd, struct vh_fault *fault,
		   struct vh_backend **ret)
{
	struct vh_net_opts net = {sizeof(net), path, fd, NULL, 0};
	struct vh_vsock_opts vsock = {sizeof(vsock), path, fd, 0};
	struct vh_scsi_opts scsi = {sizeof(scsi), path, fd, NULL, 0, 0};
	struct vh_vdpa_opts vdpa = {sizeof(vdpa), path, fd, 0};

	switch (kind) {
	case 0:
		return vh_net_open(&net, fault, ret);
	case 1:
		return vh_vsock_open(&vsock, fault, ret);
	case 2:
		return vh_scsi_open(&scsi, fault, ret);
	default:
		return vh_vdpa_open(&vdpa, fault, ret);
	}
}

static void refuse(const char *path, int fd, int error)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct vh_backend *b = NULL;
		struct vh_fault fault = {0};
		int r = open_as(kind, path, fd, &fault, &b);

		if (r != error)
			fail_msg("kind %d, %s: %d, not %d", kind,
				 path ? path : "descriptor", r, error);
		assert_null(b);
		assert_int_equal(fault.error, error);
		assert_true(fault.text[0]);
	}
}

static void test_kernel_paths_no_device(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	refuse("/nonexistent/vhost-net", -1, -ENOENT);
	refuse("/", -1, -EISDIR);
	refuse("/dev/null", -1, -ENOTTY);
	refuse("/dev/zero", -1, -ENOTTY);
	refuse(NULL, -1, -EBADF);
	refuse(NULL, fd, -ENOTTY);
	close(fd);
}

static void test_kernel_paths_file(void **state)
{
	char path[] = "/tmp/libvhost-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	refuse(path, -1, -ENOTTY);
	/* Root may do anything, so it must be somebody else. */
	assert_int_equal(fchmod(fd, 0), 0);
	if (geteuid() == 0) {
		assert_int_equal(seteuid(65534), 0);
		refuse(path, -1, -EACCES);
		assert_int_equal(seteuid(0), 0);
	} else {
		refuse(path, -1, -EACCES);
	}
	unlink(path);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kernel_paths_no_device),
	    cmocka_unit_test(test_kernel_paths_file),
	};

	return cmocka_run_group_tests_name("kernel-paths", tests, NULL, NULL);
}
