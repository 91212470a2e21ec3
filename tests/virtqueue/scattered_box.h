/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A ring behind an IOMMU that scatters its pages over guest memory, for tests
 * of the device side. The driver is the library's; its ring is mapped for it
 * here, page by page. The executable is linked with --wrap for mremap, so that
 * it can be counted and made to fail.
 */
#ifndef TESTS_VIRTQUEUE_SCATTERED_BOX_H
#define TESTS_VIRTQUEUE_SCATTERED_BOX_H

#include <libvhost/driver.h>
#include <libvhost/virtqueue.h>

/* cmocka wants these before itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PAGE	   UINT64_C(4096)
#define REGION	   32 /* pages in each of two regions */
#define PAGES	   (2 * REGION)
#define RING_PAGES 12
#define RING	   (UINT64_C(0x7000000000) + 3 * 64)
#define DATA	   UINT64_C(0x8000000000)
#define DATA_PAGE  48 /* of guest memory; the ring isn't in the last ones */
#define NUM	   1024
#define READ	   VH_ACCESS_READ
#define WRITE	   VH_ACCESS_WRITE
#define BOTH	   (READ | WRITE)

extern unsigned int mremap_calls;
extern int mremap_error; /* what the next one fails with; 0: it doesn't */

struct place {
	uint64_t features;
	int fd;
	char *flat; /* all guest memory */
	char *ring; /* the driver's own view of the ring's pages */
	struct vh_memory *guest;
	struct vh_memory *iotlb;
	struct vh_driver_queue *driver;
	struct vh_virtqueue *queue;
	struct vh_virtqueue_opts opts;
	unsigned int pages[RING_PAGES]; /* of guest memory; where they are */
	unsigned int mappings;		/* before there is a queue */
	struct vh_dirty_log *log;
	uint8_t *bits;
};

/* All but the queue and the log; the IOTLB has the buffers only. */
void open_place(struct place *p, uint64_t features);
/* Nothing is left over. */
void close_place(struct place *p);
/* Makes the queue. */
void start(struct place *p);

/* Where a page is in guest memory, in flat, and a page of the ring's IOVAs. */
vh_gpa guest_of(unsigned int page);
uint64_t offset_of(unsigned int page);
vh_gpa ring_page(unsigned int n);
unsigned int mappings_of_guest(void);

/* Only the IOTLB changes, until refresh(). */
void update(struct place *p, vh_gpa iova, vh_gpa guest, uint64_t size,
	    uint32_t access);
void invalidate(struct place *p, vh_gpa iova, uint64_t size);
void allow_page(struct place *p, unsigned int n);
void allow_ring(struct place *p);
void refresh(struct place *p);

/* Moves a page of the ring; for the driver, at once. */
void move_page(struct place *p, unsigned int n, unsigned int to);

/* So many chains of a readable and a writable buffer each. */
void send_many(struct place *p, unsigned int count);
void give(struct place *p, struct vh_chain *const chains[], int count);
/* The device does all that there is. */
void serve(struct place *p);
/* In order, and with what serve() says was written. */
void collect_many(struct place *p, unsigned int count);
/* All of that. */
void pass(struct place *p, unsigned int count);

#endif
