# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# QEMU as the front-end, a distribution's kernel as the guest. No KVM.

qemu_memory=256
qemu_disk=
qemu_proxy=
RING_PACKED=34

# through_proxy WORD: whether a proxy of ours is between QEMU and the back-end
through_proxy()
{
	[ "$1" = proxy ] || return 1
	qemu_proxy=${PROXY:-${BUILD_DIR:?is not set}/examples/proxy}
	[ -x "$qemu_proxy" ] || fail "no program $qemu_proxy"
}

# qemu_ring WORD: how the guest's rings shall be. False: WORD is none of these
qemu_ring()
{
	case $1 in
	packed) qemu_disk=,packed=on ;;
	small) qemu_disk=,queue-size=16 ;;
	*) return 1 ;;
	esac
}

# check_ring: they were so
check_ring()
{
	local packed=no

	! has_bit "$(statistic features)" "$RING_PACKED" || packed=yes
	case $qemu_disk,$packed in
	*packed=on,yes | *queue-size=*,no | ,no) ;;
	*) fail "the guest's rings: packed: $packed, wanted: $qemu_disk" ;;
	esac
}

# begin_qemu NAME: a disk and a kernel to boot on it
begin_qemu()
{
	local cache=${BUILD_DIR:-/tmp}/guest-kernel status=0

	begin "$1" qemu-system-x86_64 busybox cpio xz mke2fs e2fsck debugfs \
		blkdiscard
	find_backend
	"$VH_TESTS/get-kernel" "$cache" >"$work/get-kernel.log" || status=$?
	[ "$status" -ne 77 ] || skip "$(sed -n 's/^skipped: //p' \
		"$work/get-kernel.log")"
	[ "$status" -eq 0 ] || fail "no kernel to boot"
	kernel=$cache/vmlinuz
	make_disk "$VH_TESTS"/guest/*.sh
	make_initramfs "$cache"/modules/*
}

proxy_ready()
{
	running "$proxy" || fail "the proxy ended before it was ready"
	listening "$work/proxy.sock"
}

# start_proxy: serves on another socket what is served on $socket
start_proxy()
{
	mortal "$qemu_proxy" --trace "$work/proxy.sock" "$socket" \
		</dev/null >>"$work/proxy.log" 2>&1 &
	proxy=$!
	children+=("$proxy")
	wait_for 20 "the socket of the proxy" proxy_ready
}

# await_proxy STATUS: it ends with that
await_proxy()
{
	local status=0

	wait_for 20 "the proxy to end" stopped "$proxy"
	wait "$proxy" || status=$?
	[ "$status" -eq "$1" ] || fail "the proxy ended with status $status"
}

# One thread runs all CPUs: with one for each, QEMU 7.2 sometimes lets a CPU
# trip over an instruction that the kernel patches on another one (int3 oops).
#
# start_qemu SCRIPT QUEUES CPUS CHARDEV-OPTIONS ARGUMENT...: in the background
start_qemu()
{
	local script=$1 queues=$2 cpus=$3 chardev=$4
	local memory=memory-backend-memfd,id=mem,share=on path=$socket

	shift 4
	if [ -n "$qemu_proxy" ]; then
		start_proxy
		path=$work/proxy.sock
	fi
	mkfifo "$work/qmp.in" "$work/qmp.out"
	start_guest qemu-system-x86_64 -M pc,memory-backend=mem \
		-accel tcg,thread=single -cpu max -smp "$cpus" \
		-m "$qemu_memory" -object "$memory,size=${qemu_memory}M" \
		-nodefaults -display none -serial stdio -no-reboot \
		-chardev "pipe,id=qmp,path=$work/qmp" \
		-mon chardev=qmp,mode=control \
		-chardev "socket,id=disk,path=$path$chardev" \
		-device "vhost-user-blk-pci,chardev=disk,num-queues=$queues$qemu_disk" \
		-kernel "$kernel" -initrd "$initramfs" -append \
		"console=ttyS0 quiet panic=-1 root=/dev/vda rw vh_run=$script" \
		"$@"
	exec {qmp_in}<>"$work/qmp.in" {qmp_out}<>"$work/qmp.out"
	qmp qmp_capabilities
}

# qmp COMMAND: waits for its answer
qmp()
{
	local line

	printf '{"execute":"%s"}\n' "$1" >&"$qmp_in"
	while read -r -t 60 -u "$qmp_out" line; do
		echo "$1: $line" >>"$work/qmp.log"
		case $line in
		*'"return"'*) return ;;
		*'"error"'*) fail "QEMU refused $1: $line" ;;
		esac
	done
	fail "QEMU did not answer $1"
}

# The guest writes "progress" on the console whenever a file is safe.
progress()
{
	guest_lines progress | wc -l
}

progress_is()
{
	running "$guest" || fail "the guest ended too early"
	[ "$(progress)" -ge "$1" ]
}

# await_progress N: N files more than there are now
await_progress()
{
	local goal=$(($(progress) + $1))

	wait_for 120 "$1 more files from the guest" progress_is "$goal"
}

guest_has_said()
{
	running "$guest" || fail "the guest ended too early"
	guest_said "$1"
}
