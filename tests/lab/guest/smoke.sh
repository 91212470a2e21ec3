# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# All drivers of the laboratory load, and their device nodes are there.

set -eu
case $(uname -r) in
6.12.*) ;;
*) false ;;
esac
modprobe -a vhost_net vhost_vsock vsock_loopback vhost_scsi vduse vhost_vdpa \
	virtio_vdpa virtio_blk virtio_net
for node in vhost-net vhost-vsock vhost-scsi vsock vduse/control net/tun; do
	test -c "/dev/$node"
done
vdpa mgmtdev show vduse | grep 'supported_classes.*block'
qemu-storage-daemon --version
