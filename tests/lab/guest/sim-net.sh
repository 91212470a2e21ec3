# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# /dev/vhost-vdpa-0 is a simulated network card that receives what it sends,
# if that is for its own address, 02:00:00:00:00:01. It has a control queue,
# in an address space of its own.

set -eu
modprobe -a vdpa_sim_net vhost_vdpa
vdpa dev add name card mgmtdev vdpasim_net mac 02:00:00:00:00:01

lab-probe network /dev/vhost-vdpa-0
lab-vdpa sim-net /dev/vhost-vdpa-0
vdpa dev del card
