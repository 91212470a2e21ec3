# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# The example of a monitor drives disks behind vDPA, lab-frontend goes through
# all steps with them, and vhostctl looks at every kind of device. What is
# written must be in the file behind VDUSE.

set -eu
modprobe -a vhost_net vhost_vsock vhost_scsi vduse vdpa_sim_blk vdpa_sim_net \
	vhost_vdpa

die() {
	echo "$*"
	exit 1
}

# usage: says WORDS FILE
says() {
	grep -q -- "$1" "$2" || die "no \"$1\" in: $(cat "$2")"
}

# usage: probe TARGET WORDS...
probe() {
	target=$1
	shift
	vhostctl probe "$target" >/tmp/text || die "$target: $(cat /tmp/text)"
	vhostctl probe --json "$target" >/tmp/json
	for words; do
		says "$words" /tmp/text
	done
}

probe /dev/vhost-net 'kind *vhost-net' 'MRG_RXBUF' 'VIRTIO_NET_HDR' \
	'IOTLB_MSG_V2' 'queues *2' 'memory slots'
probe /dev/vhost-vsock 'kind *vhost-vsock' 'type *vsock' 'VERSION_1'
probe /dev/vhost-scsi 'kind *vhost-scsi' 'HOTPLUG'

dd if=/dev/zero of=/tmp/disk bs=1M count=1 2>/dev/null
qemu-storage-daemon --daemonize \
	--blockdev driver=file,node-name=disk,filename=/tmp/disk \
	--export type=vduse-blk,id=disk,node-name=disk,name=disk,writable=on,num-queues=2,queue-size=128
echo 10 >/sys/class/vduse/disk/msg_timeout
vdpa dev add name disk mgmtdev vduse
vdpa=/dev/vhost-vdpa-0
probe $vdpa 'kind *vhost-vdpa' 'type *blk' 'capacity *2048' 'queues *2' \
	'queue size *128' 'iova range' 'num_queues *2'
disk vdpa $vdpa 3 'by VDUSE' >/tmp/said
says '2048 sectors' /tmp/said
says 'by VDUSE' /tmp/said
[ "$(dd if=/tmp/disk bs=512 skip=3 count=1 2>/dev/null | tr -d '\0')" = \
	'by VDUSE' ] || die 'it is not in the file'
disk vdpa $vdpa 3 >/tmp/said
says 'by VDUSE' /tmp/said
disk vdpa $vdpa 2048 >/tmp/said 2>&1 && die 'beyond the end'
lab-frontend $vdpa
vdpa dev del disk

vdpa dev add name sim mgmtdev vdpasim_blk
probe $vdpa 'type *blk' 'capacity *262144' 'address spaces'
disk vdpa $vdpa 200000 'simulated' >/tmp/said
says 'simulated' /tmp/said
lab-frontend $vdpa
vdpa dev del sim

vdpa dev add name net mgmtdev vdpasim_net
probe $vdpa 'type *net' 'mtu *1500' 'groups *2' 'address spaces *2'
vdpa dev del net
