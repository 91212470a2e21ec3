# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh disable=SC2154
#
# The main work of a guest: everything that a file system and its users ask
# of a disk, each answer checked.

. /guest/recipe.sh

write_random()
{
	# The sum is taken in memory, not of what the disk gives back.
	dd if=/dev/urandom of=/tmp/random bs=1M count=16 2>/dev/null &&
		random_sum=$(sha256sum </tmp/random) || return
	random_sum=${random_sum%% *}
	fact random_sha256 "$random_sum"
	begun=$(clock)
	cp /tmp/random /made/random && sync || return
	rate write_mib_s 16 "$begun"
	rm /tmp/random
}

random_is_right()
{
	begun=$(clock)
	dd if=/made/random of=/dev/null bs=1M 2>/dev/null || return
	rate read_mib_s 16 "$begun"
	sum=$(sha256sum </made/random)
	[ "${sum%% *}" = "$random_sum" ]
}

write_known()
{
	mkdir /made/known
	make_known_files /made/known /payload
}

write_manifest()
{
	(cd /made && find . -type f ! -name manifest -exec sha256sum {} +) \
		>/tmp/manifest
	cp /tmp/manifest /made/manifest
}

manifest_holds()
{
	(cd /made && sha256sum -c manifest >/tmp/log 2>&1) ||
		{ grep -v ': OK$' /tmp/log; false; }
}

write_direct()
{
	dd if=/payload of=/made/direct bs=64k oflag=direct conv=fsync \
		2>/dev/null && cmp /payload /made/direct
}

read_direct()
{
	begun=$(clock)
	dd if=/dev/vda of=/dev/null bs=1M count=128 iflag=direct 2>/dev/null ||
		return
	rate direct_mib_s 128 "$begun"
	begun=$(clock)
	dd if=/dev/vda of=/dev/null bs=4k count=2000 iflag=direct 2>/dev/null ||
		return
	rate direct_4k_s 2000 "$begun"
}

# Several readers at once, each with its own part of the payload
parallel_reads_agree()
{
	for part in 0 1 2 3 4 5 6 7; do
		dd if=/payload bs=64k skip="$((part * 16))" count=16 \
			iflag=direct 2>/dev/null >"/tmp/part.$part" &
	done
	wait
	cat /tmp/part.? | cmp - /payload && rm /tmp/part.?
}

scratch_offset()
{
	echo "$(($(cat /sys/block/vda/size) / 2048 - 32))"
}

# use_scratch: the payload's first 8 MiB, of which 2 are zeroed and 2 discarded
use_scratch()
{
	mib=$(scratch_offset)
	dd if=/payload of=/dev/vda bs=1M count=8 seek="$mib" conv=notrunc,fsync \
		2>/dev/null
}

zero_scratch()
{
	/guest/blkdiscard -f -z -o "$(((mib + 2) << 20))" -l 2097152 /dev/vda
}

discard_scratch()
{
	/guest/blkdiscard -f -o "$(((mib + 4) << 20))" -l 2097152 /dev/vda
}

part_is_zero()
{
	dd if=/dev/vda bs=1M skip="$((mib + 2))" count=2 iflag=direct \
		2>/dev/null | cmp - /tmp/zeroes
}

trim()
{
	cp /payload /made/short-lived && sync && rm /made/short-lived &&
		sync && fstrim /
}

check_special_requests()
{
	head -c 2097152 /dev/zero >/tmp/zeroes
	check "8 MiB written behind the file system" use_scratch
	if feature 14; then
		fact write_zeroes yes
		check "2 MiB of them zeroed by the device" zero_scratch
		check "they read back as zeroes" part_is_zero
	else
		fact write_zeroes no
	fi
	if feature 13; then
		check "2 MiB of them discarded" discard_scratch
		check "free space of the file system trimmed" trim
	fi
}

tell_disk
check "payload from the host is whole" \
	sh -c 'cd / && sha256sum -c payload.sha256 >/dev/null'
check "16 MiB of random data written and synced" write_random
check "200 small, 4 parallel, a patched and a long file written" write_known
check "8 MiB written around the page cache" write_direct
check "sums of all files written to a manifest" write_manifest
drop_caches
check "16 MiB of random data read back from the disk" random_is_right
check "all files agree with the manifest" manifest_holds
check "direct reads of 128 MiB, and of 2000 blocks of 4 KiB" read_direct
check "8 parallel direct readers agree" parallel_reads_agree
check_special_requests
