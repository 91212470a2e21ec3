# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# An initramfs that does the one thing which a distribution's kernel needs it
# for: load the drivers that are modules, mount the disk, go there.

# add_module FOLDER MODULE: uncompressed, and in the order of loading
add_module()
{
	local name

	name=$(printf '%02d-' "$(find "$1" -type f | wc -l)")
	name+=$(basename "$2" | sed 's/\.ko\..*/.ko/')
	case $2 in
	*.xz) xz -dc "$2" ;;
	*.zst) zstd -qdc "$2" ;;
	*.gz) gzip -dc "$2" ;;
	*) cat "$2" ;;
	esac >"$1/$name"
}

# make_initramfs MODULE-FILE...: $initramfs
make_initramfs()
{
	local root=$work/initramfs.d module

	initramfs=$work/initramfs
	mkdir -p "$root"/{bin,dev,proc,disk,modules}
	cp "$(command -v busybox)" "$root/bin/busybox"
	install -m 755 "$VH_SCRIPTS/guest/initramfs-init" "$root/init"
	for module; do
		add_module "$root/modules" "$module"
	done
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$initramfs"
}
