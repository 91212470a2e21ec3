/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "scattered_box.h"

#include <errno.h>
#include <resources.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST UINT64_C(0x1000000) /* the logs reach up to 0x8000000 */

unsigned int mremap_calls;
int mremap_error;

void *__real_mremap(void *old, size_t old_size, size_t new_size, int flags,
		    ...);
void *__wrap_mremap(void *old, size_t old_size, size_t new_size, int flags,
		    ...);

void *__wrap_mremap(void *old, size_t old_size, size_t new_size, int flags, ...)
{
	va_list args;
	void *to;

	va_start(args, flags);
	to = va_arg(args, void *);
	va_end(args);
	mremap_calls++;
	if (!mremap_error)
		return __real_mremap(old, old_size, new_size, flags, to);
	errno = mremap_error;
	mremap_error = 0;
	return MAP_FAILED;
}

/* The second region comes first in the file, and begins at page 40. */
vh_gpa guest_of(unsigned int page)
{
	return page < REGION ? GUEST + page * PAGE : GUEST + (page + 8) * PAGE;
}

uint64_t offset_of(unsigned int page)
{
	return (page < REGION ? page + REGION : page - REGION) * PAGE;
}

unsigned int mappings_of_guest(void)
{
	return mappings_of("memfd:scattered");
}

static void open_memory(struct place *p)
{
	struct vh_memory *more;

	p->fd = memfd_create("scattered", MFD_CLOEXEC);
	assert_int_equal(ftruncate(p->fd, PAGES * PAGE), 0);
	p->flat = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       p->fd, 0);
	assert_true(p->flat != MAP_FAILED);
	assert_int_equal(vh_memory_new(&p->guest), 0);
	for (unsigned int i = 0; i < 2; i++) {
		const struct vh_region region = {
		    .guest = guest_of(i * REGION),
		    .size = REGION * PAGE,
		    .user = {0x7f0000000000 + offset_of(i * REGION)},
		    .fd_offset = offset_of(i * REGION),
		    .fd = p->fd,
		};

		assert_int_equal(vh_memory_add(p->guest, &region, NULL, &more),
				 0);
		vh_memory_unref(p->guest);
		p->guest = more;
	}
	assert_int_equal(vh_iotlb_new(p->guest, &p->iotlb), 0);
}

void update(struct place *p, vh_gpa iova, vh_gpa guest, uint64_t size,
	    uint32_t access)
{
	const struct vh_iotlb_entry entry = {iova, size, guest, access};
	struct vh_memory *old = p->iotlb;

	assert_int_equal(vh_iotlb_update(old, &entry, NULL, &p->iotlb), 0);
	vh_memory_unref(old);
}

void invalidate(struct place *p, vh_gpa iova, uint64_t size)
{
	struct vh_memory *old = p->iotlb;

	assert_int_equal(vh_iotlb_invalidate(old, iova, size, NULL, &p->iotlb),
			 0);
	vh_memory_unref(old);
}

/* Puts a page of the ring where the driver and p->pages say. */
static void see_page(struct place *p, unsigned int n)
{
	void *at = p->ring + n * PAGE;

	assert_ptr_equal(mmap(at, PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, p->fd,
			      (off_t)offset_of(p->pages[n])),
			 at);
}

vh_gpa ring_page(unsigned int n)
{
	return RING / PAGE * PAGE + n * PAGE;
}

void allow_page(struct place *p, unsigned int n)
{
	update(p, ring_page(n), guest_of(p->pages[n]), PAGE, BOTH);
}

void allow_ring(struct place *p)
{
	for (unsigned int i = 0; i < RING_PAGES; i++)
		allow_page(p, i);
}

static void make_driver(struct place *p)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	VH_OPTS(vh_virtqueue_opts, device);

	opts.num = NUM;
	opts.features = p->features;
	opts.ring = p->ring + RING % PAGE;
	opts.ring_at = RING;
	assert_true(vh_driver_queue_size(NUM, p->features, 0) + RING % PAGE <=
		    RING_PAGES * PAGE);
	assert_int_equal(vh_driver_queue_new(&opts, NULL, &p->driver), 0);
	device.num = NUM;
	device.features = p->features;
	vh_driver_queue_addresses(p->driver, &device.descriptors,
				  &device.available, &device.used);
	device.base = vh_driver_queue_base(p->driver);
	p->opts = device;
}

void open_place(struct place *p, uint64_t features)
{
	/* no two side by side, and both regions */
	static const unsigned int pages[RING_PAGES] = {7,  40, 3, 5, 33, 20,
						       19, 44, 1, 9, 36, 12};

	memset(p, 0, sizeof(*p));
	p->features = features;
	memcpy(p->pages, pages, sizeof(pages));
	open_memory(p);
	p->ring = mmap(NULL, RING_PAGES * PAGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p->ring != MAP_FAILED);
	for (unsigned int i = 0; i < RING_PAGES; i++)
		see_page(p, i);
	make_driver(p);
	update(p, DATA, guest_of(DATA_PAGE), 4 * PAGE, BOTH);
	p->mappings = mappings_of_guest();
}

void close_place(struct place *p)
{
	vh_virtqueue_free(p->queue);
	assert_int_equal(mappings_of_guest(), p->mappings);
	vh_driver_queue_free(p->driver);
	vh_memory_unref(p->iotlb);
	vh_memory_unref(p->guest);
	munmap(p->ring, RING_PAGES * PAGE);
	munmap(p->flat, PAGES * PAGE);
	assert_int_equal(mappings_of_guest(), 0);
	close(p->fd);
	vh_dirty_log_unref(p->log);
	if (p->bits)
		munmap(p->bits, PAGE);
}

void move_page(struct place *p, unsigned int n, unsigned int to)
{
	unsigned int old = p->pages[n];

	memcpy(p->flat + offset_of(to), p->flat + offset_of(old), PAGE);
	memset(p->flat + offset_of(old), 0xff, PAGE);
	p->pages[n] = to;
	see_page(p, n);
	allow_page(p, n);
}

void start(struct place *p)
{
	struct vh_fault fault = {0};

	if (vh_virtqueue_new(&p->opts, p->iotlb, &fault, &p->queue) < 0)
		fail_msg("%s", fault.text);
}

void refresh(struct place *p)
{
	int r = vh_virtqueue_set_memory(p->queue, p->iotlb);

	if (r < 0)
		fail_msg("%d, %s", r, vh_virtqueue_fault(p->queue)->text);
}

void send_many(struct place *p, unsigned int count)
{
	struct iovec readable = {(void *)(uintptr_t)DATA, 8};
	struct iovec writable = {(void *)(uintptr_t)(DATA + 2 * PAGE), 64};

	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(vh_driver_queue_add(p->driver, &readable, 1,
						     &writable, 1,
						     (void *)(uintptr_t)i),
				 0);
	(void)!vh_driver_queue_publish(p->driver);
}

void give(struct place *p, struct vh_chain *const chains[], int count)
{
	for (int i = 0; i < count; i++) {
		assert_int_equal(chains[i]->readable_size, 8);
		assert_int_equal(chains[i]->writable_size, 64);
		vh_virtqueue_push(p->queue, chains[i], (uint32_t)i + 1);
	}
}

void serve(struct place *p)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	int n;

	(void)!vh_virtqueue_enable_kick(p->queue);
	do {
		n = vh_virtqueue_pop(p->queue, chains, VH_VIRTQUEUE_BURST);
		if (n < 0)
			fail_msg("%s", vh_virtqueue_fault(p->queue)->text);
		vh_virtqueue_disable_kick(p->queue);
		give(p, chains, n);
		assert_true(vh_virtqueue_publish(p->queue) >= 0);
	} while (n > 0);
}

void collect_many(struct place *p, unsigned int count)
{
	struct vh_driver_used used;

	for (unsigned int i = 0; i < count; i++) {
		if (vh_driver_queue_collect(p->driver, &used, 1) != 1)
			fail_msg("%u of %u came back", i, count);
		assert_int_equal((uintptr_t)used.token, i);
		if (!(p->features & VH_F_IN_ORDER))
			assert_int_equal(used.written,
					 i % VH_VIRTQUEUE_BURST + 1);
	}
	assert_int_equal(vh_driver_queue_collect(p->driver, &used, 1), 0);
}

void pass(struct place *p, unsigned int count)
{
	send_many(p, count);
	serve(p);
	collect_many(p, count);
}
