# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# How a guest talks to the host: lines on the console that begin with "VH:".

failures=0

say()
{
	echo "VH:$*"
}

fact()
{
	say "fact $*"
}

# check TEXT COMMAND...: one line of the story, good or bad
check()
{
	text=$1
	shift
	if "$@"; then
		say "ok $text"
	else
		say "FAIL $text"
		failures=$((failures + 1))
	fi
}

# hundredths of a second since the kernel started
clock()
{
	read -r uptime rest </proc/uptime
	echo "${uptime%.*}${uptime#*.}"
}

# rate KEY MIB SINCE: MiB per second
rate()
{
	took=$(($(clock) - $3))
	[ "$took" -gt 0 ] || took=1
	fact "$1" "$(($2 * 100 / took))"
}

# feature BIT: whether driver and device agreed on it
feature()
{
	[ "$(cut -c "$(($1 + 1))" /sys/block/vda/device/features)" = 1 ]
}

tell_disk()
{
	fact kernel "$(uname -r)"
	fact size "$(cat /sys/block/vda/size)"
	fact serial "$(cat /sys/block/vda/serial)"
	fact queues "$(find /sys/block/vda/mq -mindepth 1 -maxdepth 1 |
		wc -l)"
	fact block_size "$(cat /sys/block/vda/queue/logical_block_size)"
	fact max_segments "$(cat /sys/block/vda/queue/max_segments)"
	fact write_cache "$(cat /sys/block/vda/queue/write_cache)"
	fact read_only "$(cat /sys/block/vda/ro)"
	fact features "$(cat /sys/block/vda/device/features)"
}

# no_io_errors: the kernel complained about nothing
no_io_errors()
{
	! dmesg | grep -E 'I/O error|EXT4-fs (error|warning)|JBD2:.*err|hung'
}

drop_caches()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

conclude()
{
	check "the kernel reported no I/O error" no_io_errors
	sync
	check "root mounted read-only at the end" mount -o remount,ro /
	if [ "$failures" -eq 0 ]; then
		say "verdict ok"
	else
		say "verdict FAILED"
	fi
	poweroff -f
}
