# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# A guest on a disk that cannot be written.

tell_disk

refused()
{
	! "$@" >/tmp/log 2>&1
}

check "payload from the host is whole" \
	sh -c 'cd / && sha256sum -c payload.sha256 >/dev/null'
check "remounting for writing is refused" refused mount -o remount,rw /
check "making a file is refused" refused touch /made/file
check "writing to the disk itself is refused" refused \
	dd if=/payload of=/dev/vda bs=4k count=1 conv=notrunc oflag=direct
check "discarding is refused" refused \
	/guest/blkdiscard -f -o 0 -l 4096 /dev/vda
