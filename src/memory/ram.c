/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Memory for a machine whose monitor has none of its own making. */
#include <base/check.h>
#include <base/fd.h>
#include <errno.h>
#include <fcntl.h>
#include <libvhost/memory.h>
#include <sys/mman.h>
#include <unistd.h>

/* Whoever gets the file can write to it, and must not be able to cut it. */
static int make_file(uint64_t size)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = memfd_create("guest memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, seals) == 0)
		return fd;
	r = -errno;
	vhi_fd_close(&fd);
	return r;
}

int vh_region_new(vh_gpa guest, uint64_t size, struct vh_region *ret_region)
{
	struct vh_region region = {.guest = guest, .size = size};
	void *at;
	int r;

	if (vhi_range_wraps(guest, size) || size > INT64_MAX)
		return -EINVAL;
	region.fd = make_file(size);
	if (region.fd < 0)
		return region.fd;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd, 0);
	if (at == MAP_FAILED) {
		r = -errno;
		vhi_fd_close(&region.fd);
		return r;
	}
	region.user.raw = (uintptr_t)at;
	*ret_region = region;
	return 0;
}

void vh_region_free(struct vh_region *region)
{
	if (region->fd < 0)
		return;
	munmap((void *)(uintptr_t)region->user.raw, region->size);
	vhi_fd_close(&region->fd);
}
