# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# User-Mode Linux: a kernel that runs as a process, without KVM and without
# root, and whose virtio_uml driver speaks vhost-user.

uml_memory=128

# uml_driver: virtio_blk is a module in Debian's kernel
uml_driver()
{
	local release

	release=$(linux.uml --version 2>/dev/null | head -n 1)
	find "/usr/lib/uml/modules/$release" -name 'virtio_blk.ko*' |
		head -n 1
}

# may_hold_memory FOLDER: the guest's memory is a file that it maps and runs
# code from; some containers have a small or a noexec /dev/shm.
may_hold_memory()
{
	local probe free

	free=$(df -Pm "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')
	[ "${free:-0}" -ge $((uml_memory * 2)) ] || return
	probe=$(mktemp -d "$1/vhost-uml.XXXXXX" 2>/dev/null) || return
	printf '#!/bin/sh\n' >"$probe/run"
	chmod +x "$probe/run"
	if "$probe/run" 2>/dev/null; then
		rm -r "$probe"
	else
		rm -r "$probe"
		return 1
	fi
}

memory_folder()
{
	local folder

	for folder in /dev/shm "${TMPDIR:-/tmp}" /var/tmp; do
		may_hold_memory "$folder" || continue
		echo "$folder"
		return
	done
	fail "no folder with $((uml_memory * 2)) MiB for the guest's memory"
}

# start_uml SCRIPT PARAMETER...: in the background, $guest
start_uml()
{
	local script=$1 memory

	shift
	memory=$(memory_folder)
	mkdir -p "$work/uml"
	start_guest env TMPDIR="$memory" HOME="$work" linux.uml \
		mem="${uml_memory}M" initrd="$initramfs" \
		uml_dir="$work/uml" umid=guest \
		virtio_uml.device="$socket:2" \
		con=null con0=null,fd:1 ssl=null quiet panic=-1 \
		vh_run="$script" "$@"
}

# run_uml SCRIPT PARAMETER...: until the guest has powered off
run_uml()
{
	start_uml "$@"
	await_guest
}
