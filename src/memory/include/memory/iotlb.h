/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What every entry of an IOTLB has to be, wherever it goes. */
#ifndef MEMORY_IOTLB_H
#define MEMORY_IOTLB_H

#include <libvhost/memory.h>

/* -EINVAL with words: it is empty, wraps, or allows what can't be. */
int vhi_iotlb_check_entry(const struct vh_iotlb_entry *entry,
			  struct vh_fault *fault);

#endif
