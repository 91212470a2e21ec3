/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Views: what is scattered in host memory, mapped once more in one range. */
#include <errno.h>
#include <memory/translate.h>
#include <memory/view.h>
#include <sys/mman.h>
#include <unistd.h>

struct range {
	const struct vh_memory *memory;
	vh_gpa at;
	uint64_t size;
};

struct piece {
	char *host;
	uint64_t size; /* 0: there is none */
};

/* The piece that begins so many bytes behind a range's beginning. */
static struct piece piece_at(const struct range *range, uint64_t offset)
{
	uint64_t left = range->size - offset;
	struct vhi_hit hit;
	uint64_t inside;

	if (!vhi_memory_find(range->memory, range->at + offset, &hit))
		return (struct piece){NULL, 0};
	inside = range->at + offset - hit.base;
	if (left > hit.size - inside)
		left = hit.size - inside;
	return (struct piece){hit.host + inside, left};
}

/* How far a range goes on where its first piece lies. */
static uint64_t size_together(const struct range *range, const char *host)
{
	uint64_t done = 0;
	struct piece piece;

	while (done < range->size) {
		piece = piece_at(range, done);
		if (!piece.size || piece.host != host + done)
			break;
		done += piece.size;
	}
	return done;
}

/*
 * Puts all pieces into space that was reserved for them; the first may begin
 * within a page, and the last end there. An old size of 0 makes mremap()
 * leave the old mapping as it is, if that is a shared one.
 */
static int fill(const struct range *range, char *space, uintptr_t page)
{
	uint64_t done = 0;

	while (done < range->size) {
		struct piece piece = piece_at(range, done);
		uintptr_t offset = (uintptr_t)piece.host % page;
		char *to = space + done;
		size_t size;

		if (!piece.size)
			return -EFAULT;
		if (done == 0)
			space += offset;
		else if (offset || (uintptr_t)to % page)
			return -EDOM;
		size = (offset + piece.size + page - 1) / page * page;
		if (mremap(piece.host - offset, 0, size,
			   MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
			return -errno;
		done += piece.size;
	}
	return 0;
}

int vhi_view_open(const struct vh_memory *memory, vh_gpa at, uint64_t size,
		  struct vhi_view *ret_view)
{
	const struct range range = {memory, at, size};
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct piece first = piece_at(&range, 0);
	uintptr_t offset = (uintptr_t)first.host % page;
	struct vhi_view view = {.host = first.host};
	int err;

	if (!first.size)
		return -EFAULT;
	if (size_together(&range, first.host) == size) {
		*ret_view = view;
		return 0;
	}
	view.map_size = (offset + size + page - 1) / page * page;
	view.mapped = mmap(NULL, view.map_size, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (view.mapped == MAP_FAILED)
		return -errno;
	err = fill(&range, view.mapped, page);
	if (err < 0) {
		vhi_view_close(&view);
		return err;
	}
	view.host = view.mapped + offset;
	*ret_view = view;
	return 0;
}

void vhi_view_close(struct vhi_view *view)
{
	if (view->mapped)
		munmap(view->mapped, view->map_size);
	*view = (struct vhi_view){.mapped = NULL};
}

/* Somebody holds both, so equal addresses are of the same mapping. */
bool vhi_view_is_same(const struct vh_memory *a, const struct vh_memory *b,
		      vh_gpa at, uint64_t size)
{
	const struct range range = {a, at, size}, other = {b, at, size};
	uint64_t done = 0;

	while (done < size) {
		struct piece piece = piece_at(&range, done);
		struct piece same = piece_at(&other, done);

		if (!piece.size || piece.host != same.host)
			return false;
		done += piece.size < same.size ? piece.size : same.size;
	}
	return true;
}
