/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* libvhost: everything. */
#ifndef LIBVHOST_LIBVHOST_H
#define LIBVHOST_LIBVHOST_H

#include <libvhost/backend.h>
#include <libvhost/base.h>
#include <libvhost/device.h>
#include <libvhost/driver.h>
#include <libvhost/frontend.h>
#include <libvhost/kernel.h>
#include <libvhost/memory.h>
#include <libvhost/protocol.h>
#include <libvhost/special.h>
#include <libvhost/user.h>
#include <libvhost/vdpa.h>
#include <libvhost/virtqueue.h>

#endif /* LIBVHOST_LIBVHOST_H */
