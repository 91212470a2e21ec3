# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# /dev/vhost-vdpa-0 is a simulated disk of 128 MiB, full of zeroes.

set -eu
modprobe -a vdpa_sim_blk vhost_vdpa
vdpa dev add name disk mgmtdev vdpasim_blk

lab-probe block /dev/vhost-vdpa-0
lab-vdpa sim-blk /dev/vhost-vdpa-0
vdpa dev del disk
