# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# vhost-net with the tap tap0, offered by vhost-user.

set -eu
modprobe -a tun vhost_net
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
tunctl -t tap0
ifconfig tap0 192.0.2.1 netmask 255.255.255.0 up

lab-served tap0
