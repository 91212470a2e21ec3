# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# /dev/vhost-vdpa-0 is a disk of 1 MiB by way of VDUSE; its back-end is
# qemu-storage-daemon, with /tmp/disk. The disk's line N, 8 bytes long, is
# the number 1000000 + N.

set -eu
modprobe -a vduse vhost_vdpa
seq 1000000 1131071 >/tmp/disk
qemu-storage-daemon --daemonize \
	--blockdev driver=file,node-name=disk,filename=/tmp/disk \
	--export type=vduse-blk,id=disk,node-name=disk,name=disk,writable=on,num-queues=2,queue-size=128
# how long the kernel waits for a daemon that doesn't answer, in seconds
echo 10 >/sys/class/vduse/disk/msg_timeout
vdpa dev add name disk mgmtdev vduse

lab-probe block /dev/vhost-vdpa-0
lab-vdpa vduse /dev/vhost-vdpa-0 /tmp/disk
vdpa dev del disk
