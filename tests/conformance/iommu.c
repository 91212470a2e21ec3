/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "iommu.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define RING_IOVA UINT64_C(0x700000000000)
#define RING_STEP UINT64_C(0x100000000)

void iommu_open(struct iommu *mmu, struct fixture *f, unsigned int queues,
		uint64_t features, uint64_t protocol_features)
{
	struct server_opts server = {
	    .num_queues = queues,
	    .workers = queues > 1 ? 2 : 1,
	    .features = FE_F_ACCESS_PLATFORM,
	};
	struct session_opts opts = {.num_queues = queues, .regions = 2};
	int fds[2];

	*mmu = (struct iommu){.session = &f->session};
	start_server(f, &server, true);
	driven_session(f, &opts, features | FE_F_ACCESS_PLATFORM,
		       protocol_features);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	fe_attach(&mmu->reverse, fds[0]);
	mmu->theirs = fds[1];
	must(fe_set_fd(&f->session.fe, FE_SET_BACKEND_REQ_FD, mmu->theirs));
}

void iommu_close(struct iommu *mmu)
{
	fe_close(&mmu->reverse);
	close(mmu->theirs);
}

void iommu_map(struct iommu *mmu, uint64_t iova, uint64_t guest, uint64_t size,
	       uint8_t perm, bool backwards)
{
	uint64_t at, other;

	for (at = 0; at < size; at += IOMMU_PAGE) {
		assert_true(mmu->count < IOMMU_PAGES);
		other = backwards ? size - IOMMU_PAGE - at : at;
		mmu->pages[mmu->count++] = (struct iommu_page){
		    .iova = iova + at, .guest = guest + other, .perm = perm};
	}
}

static struct iommu_page *find(struct iommu *mmu, uint64_t iova)
{
	unsigned int i;

	for (i = 0; i < mmu->count; i++)
		if (mmu->pages[i].iova == iova / IOMMU_PAGE * IOMMU_PAGE)
			return &mmu->pages[i];
	fail_msg("nobody mapped IOVA 0x%llx", (unsigned long long)iova);
	return NULL;
}

void iommu_make(struct iommu *mmu, struct driven *d, unsigned int index,
		uint32_t num)
{
	size_t size = vh_driver_queue_size(num, mmu->session->features, 0);

	driven_make(d, mmu->session, index, num, 0);
	d->iova = RING_IOVA + index * RING_STEP;
	driven_renew(d);
	iommu_map(mmu, d->iova, d->block, size, IOMMU_RW, false);
	/* nothing else lies in its last page */
	guest_alloc(&mmu->session->guest, IOMMU_PAGE, IOMMU_PAGE);
}

/* In whole pages. */
static size_t ring_size(const struct iommu *mmu, const struct driven *d)
{
	size_t size = vh_driver_queue_size(d->num, mmu->session->features, 0);

	return (size + IOMMU_PAGE - 1) / IOMMU_PAGE * IOMMU_PAGE;
}

void iommu_scatter(struct iommu *mmu, struct driven *d)
{
	const struct guest *guest = &mmu->session->guest;
	size_t size = ring_size(mmu, d), at;

	d->view =
	    mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(d->view != MAP_FAILED);
	for (at = 0; at < size; at += IOMMU_PAGE) {
		uint64_t to = d->block + (size - IOMMU_PAGE - at);
		uint8_t *there = guest_at(guest, to, IOMMU_PAGE);

		assert_true(mmap((char *)d->view + at, IOMMU_PAGE,
				 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				 guest->fd, there - guest->map) != MAP_FAILED);
		find(mmu, d->iova + at)->guest = to;
	}
	driven_renew(d);
}

void iommu_gather(struct iommu *mmu, struct driven *d)
{
	munmap(d->view, ring_size(mmu, d));
	d->view = NULL;
}

static int update(struct iommu *mmu, const struct iommu_page *page)
{
	const struct fe_iotlb entry = {
	    .iova = page->iova,
	    .size = IOMMU_PAGE,
	    .user = guest_user(&mmu->session->guest, page->guest),
	    .perm = page->perm,
	    .type = FE_IOTLB_UPDATE,
	};

	return fe_send_iotlb(&mmu->session->fe, &entry);
}

int iommu_update(struct iommu *mmu, uint64_t iova)
{
	return update(mmu, find(mmu, iova));
}

void iommu_update_ring(struct iommu *mmu, struct driven *d)
{
	size_t size = vh_driver_queue_size(d->num, mmu->session->features, 0);
	uint64_t at;

	for (at = 0; at < size; at += IOMMU_PAGE)
		must(iommu_update(mmu, d->iova + at));
}

int iommu_invalidate(struct iommu *mmu, uint64_t iova, uint64_t size)
{
	const struct fe_iotlb entry = {
	    .iova = iova, .size = size, .type = FE_IOTLB_INVALIDATE};

	return fe_send_iotlb(&mmu->session->fe, &entry);
}

struct iommu_page *iommu_wait_miss(struct iommu *mmu)
{
	struct iommu_page *page;
	struct fe_iotlb miss;

	must(fe_receive_iotlb(&mmu->reverse, &miss));
	assert_int_equal(miss.type, FE_IOTLB_MISS);
	assert_true(miss.perm >= 1 && miss.perm <= 3);
	page = find(mmu, miss.iova);
	page->asked++;
	return page;
}

void iommu_answer(struct iommu *mmu)
{
	must(update(mmu, iommu_wait_miss(mmu)));
}

bool iommu_is_quiet(struct iommu *mmu)
{
	/* A round of its loop for what waits, and one more for the answer. */
	must(fe_sync(&mmu->session->fe));
	must(fe_sync(&mmu->session->fe));
	return fe_wait_readable(mmu->reverse.sock, 0) == -ETIMEDOUT;
}

/* Until there is a call or a miss was answered; -EIO: an err. */
static int wait_for_anything(struct iommu *mmu, struct driven *d)
{
	struct session_queue *queue = &mmu->session->queues[d->index];
	struct pollfd polls[3] = {
	    {.fd = queue->call, .events = POLLIN},
	    {.fd = queue->err, .events = POLLIN},
	    {.fd = mmu->reverse.sock, .events = POLLIN},
	};
	uint64_t value;

	assert_true(poll(polls, 3, FE_TIMEOUT_MS) > 0);
	if (polls[2].revents)
		iommu_answer(mmu);
	if (polls[1].revents)
		return -EIO;
	if (polls[0].revents)
		assert_int_equal(read(queue->call, &value, sizeof(value)), 8);
	return 0;
}

int iommu_wait(struct iommu *mmu, struct driven *d,
	       struct vh_driver_used *ret_used)
{
	int ret = 0;

	while (ret == 0 && driven_collect(d, ret_used, 1) == 0)
		if (!vh_driver_queue_enable_calls(d->ring))
			ret = wait_for_anything(mmu, d);
	return ret;
}

/* By pages; exactly one of the two is there. */
static void copy(struct iommu *mmu, uint64_t iova, const uint8_t *from,
		 uint8_t *to, size_t size)
{
	const struct guest *guest = &mmu->session->guest;

	while (size > 0) {
		size_t offset = iova % IOMMU_PAGE, n = IOMMU_PAGE - offset;
		uint64_t at = find(mmu, iova)->guest + offset;

		if (n > size)
			n = size;
		if (from)
			guest_write(guest, at, from, n);
		else
			guest_read(guest, at, to, n);
		from = from ? from + n : NULL;
		to = to ? to + n : NULL;
		iova += n;
		size -= n;
	}
}

void iommu_write(struct iommu *mmu, uint64_t iova, const void *data,
		 size_t size)
{
	copy(mmu, iova, data, NULL, size);
}

void iommu_read(struct iommu *mmu, uint64_t iova, void *data, size_t size)
{
	copy(mmu, iova, NULL, data, size);
}

void iommu_echo(struct iommu *mmu, struct driven *d, uint64_t area,
		uint32_t size)
{
	const struct iovec readable = driven_iov(area, size);
	const struct iovec writable = driven_iov(area + size, size);
	static uint8_t out[65536], in[65536];
	struct vh_driver_used used;

	assert_true(size <= sizeof(out));
	blk_pattern(out, size, area + d->tries++);
	memset(in, 0, size);
	iommu_write(mmu, area, out, size);
	iommu_write(mmu, area + size, in, size);
	driven_add(d, &readable, 1, &writable, 1, d);
	must(iommu_wait(mmu, d, &used));
	assert_int_equal(used.written, size);
	iommu_read(mmu, area + size, in, size);
	assert_memory_equal(in, out, size);
}

void iommu_bench_open_with(struct iommu_bench *b, struct fixture *f,
			   unsigned int queues, uint64_t features,
			   uint64_t protocol_features)
{
	unsigned int i;

	iommu_open(&b->mmu, f, queues, features, protocol_features);
	for (i = 0; i < queues; i++)
		iommu_make(&b->mmu, &b->d[i], i, 128);
	b->guest = guest_alloc(&f->session.guest, 2 * IOMMU_HALF, IOMMU_PAGE);
	assert_true(b->guest != 0);
	iommu_map(&b->mmu, IOMMU_BUFFERS, b->guest, 2 * IOMMU_HALF, IOMMU_RW,
		  true);
}

void iommu_bench_open(struct iommu_bench *b, struct fixture *f,
		      unsigned int queues, uint64_t features)
{
	iommu_bench_open_with(b, f, queues, features, 0);
}

void iommu_bench_close(struct iommu_bench *b, unsigned int queues)
{
	unsigned int i;

	for (i = 0; i < queues; i++)
		driven_free(&b->d[i]);
	iommu_close(&b->mmu);
}

struct iommu_page *iommu_page_of(struct iommu_bench *b, uint64_t iova)
{
	unsigned int i;

	for (i = 0; b->mmu.pages[i].iova != iova; i++)
		;
	return &b->mmu.pages[i];
}
