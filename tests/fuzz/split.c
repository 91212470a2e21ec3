/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Split rings: see ring.c. */
#include "ring.h"

const bool ring_is_packed = false;
