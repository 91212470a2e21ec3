# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# Waits until the disk has grown, and uses what is new.

size()
{
	cat /sys/block/vda/size
}

grown()
{
	tries=0
	while [ "$(size)" -eq "$old_size" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || return
		usleep 100000
	done
}

new_end()
{
	dd if=/payload of=/dev/vda bs=1M seek="$((old_size / 2048))" \
		conv=notrunc,fsync 2>/dev/null
}

old_size=$(size)
fact old_size "$old_size"
say "waiting"
check "the disk grows" grown
fact new_size "$(size)"
check "the new part can be written" new_end
