# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# The whole work, and then some on each CPU, so that each queue gets its part.

. /guest/files.sh

each_cpu_reads()
{
	for cpu in $(seq 0 "$(($(nproc) - 1))"); do
		taskset -c "$cpu" dd if=/payload iflag=direct bs=64k \
			2>/dev/null | cmp - /payload || return
	done
}

interrupts()
{
	awk '/virtio[0-9]*-req/ { n = 0
		for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i
		if (n) used++ } END { print used + 0 }' /proc/interrupts
}

check "each CPU reads the payload" each_cpu_reads
fact queues_used "$(interrupts)"
