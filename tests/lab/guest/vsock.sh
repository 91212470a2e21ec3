# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# vhost-vsock: this machine is the host, with CID 2, and also 1 by way of
# vsock_loopback.

set -eu
modprobe -a vhost_vsock vsock_loopback

lab-probe vsock
lab-vsock
