# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# The disk that a guest gets, and what the host says about it afterwards
# without the guest and without libvhost: e2fsck, debugfs and sha256sum.
#
# The image: an ext4 file system of $disk_fs_mib that holds busybox, the
# guest's scripts and a random payload, and behind it a scratch area of
# $disk_scratch_mib that no file system knows about.

disk_fs_mib=192
disk_scratch_mib=32
disk_payload_mib=8

# copy_program ROOT PROGRAM: into /guest, with the libraries that it needs
copy_program()
{
	local root=$1 program=$2 library

	install -m 755 "$program" "$root/guest/"
	{ ldd "$program" 2>/dev/null || true; } | grep -o '/[^ ]*' |
	while read -r library; do
		install -D -m 755 "$library" "$root$library"
	done
}

# fill_root ROOT SCRIPT...: the file tree of the guest
fill_root()
{
	local root=$1 applet

	shift
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,made,guest}
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in $("$root/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"
	done
	# busybox has one, but it cannot write zeroes.
	copy_program "$root" "$(command -v blkdiscard)"
	install -m 755 "$VH_SCRIPTS/guest/init" "$root/init"
	install -m 644 "$VH_SCRIPTS"/guest/*.sh "$@" "$root/guest/"
	head -c "${disk_payload_mib}M" /dev/urandom >"$root/payload"
}

# format_disk: a new $image that holds $work/root
format_disk()
{
	rm -f "$image"
	truncate -s $((disk_fs_mib + disk_scratch_mib))M "$image"
	mke2fs -q -F -t ext4 -b 4096 -E root_owner=0:0 -d "$work/root" \
		"$image" "${disk_fs_mib}M" >"$work/mke2fs.log" 2>&1 ||
		fail "mke2fs could not make $image"
}

# make_disk SCRIPT...: $image, and $payload_sum
make_disk()
{
	local root=$work/root

	image=${image:-$work/disk.img}
	fill_root "$root" "$@"
	(cd "$root" && sha256sum payload >payload.sha256)
	payload_sum=$(cut -c 1-64 "$root/payload.sha256")
	format_disk
}

# check_file_system: $image must be whole
check_file_system()
{
	e2fsck -fn "$image" >"$work/e2fsck.log" 2>&1 ||
		fail "e2fsck -fn found errors in the file system"
}

# extract_made: what the guest made, into $work/made
extract_made()
{
	mkdir -p "$work/out"
	debugfs -R "rdump /made $work/out" "$image" >"$work/debugfs.log" 2>&1
	[ -d "$work/out/made" ] || fail "debugfs did not find /made"
	made=$work/out/made
}

# first_of LOG: its first line, without the folders of this run
first_of()
{
	local line

	line=$(head -n 1 "$work/$1")
	line=${line//"$made/"/}
	echo "${line//.\//}"
}

# check_manifest: each extracted file against the sums that the guest wrote,
# and no file may be missing or surplus
check_manifest()
{
	[ -s "$made/manifest" ] || fail "the guest left no manifest"
	(cd "$made" && find . -type f ! -name manifest | sort) \
		>"$work/found"
	cut -c 67- "$made/manifest" | sort >"$work/listed"
	diff "$work/found" "$work/listed" >"$work/manifest.log" ||
		fail "not in the manifest or not there:" \
			"$(sed -n 's/^[<>] //p' "$work/manifest.log")"
	(cd "$made" && sha256sum --quiet --strict -c manifest) \
		>"$work/manifest.log" 2>&1 ||
		fail "not as the manifest says: $(first_of manifest.log)"
	files_checked=$(wc -l <"$work/listed")
}

# check_known_files: what the host can make by the same recipe itself
check_known_files()
{
	local known=$work/known sum

	mkdir "$known"
	# shellcheck source=scripts/lib/guest/recipe.sh
	(. "$VH_SCRIPTS/guest/recipe.sh"
	 make_known_files "$known" "$work/root/payload")
	(cd "$known" && find . -type f -exec cmp {} "$made/known/{}" \; &&
		diff -rq . "$made/known") >"$work/known.log" 2>&1 || true
	[ ! -s "$work/known.log" ] ||
		fail "not as the host makes it: $(first_of known.log)"
	known_checked=$(find "$known" -type f | wc -l)
	sum=$(sha256sum <"$made/random" | cut -c 1-64)
	[ "$sum" = "$(guest_fact random_sha256)" ] ||
		fail "the random file is not what the guest said it wrote"
}

# scratch FROM COUNT: bytes of the scratch area, in MiB
scratch()
{
	dd if="$image" bs=1M skip=$((disk_fs_mib + $1)) count="$2" status=none
}

payload_part()
{
	dd if="$work/root/payload" bs=1M skip="$1" count="$2" status=none
}

# check_scratch: MiB 0-7 hold the payload, but 2 and 3 were zeroed and 4 and 5
# discarded (what they hold then is the device's affair)
check_scratch()
{
	cmp -s <(scratch 0 2) <(payload_part 0 2) ||
		fail "scratch area: wrong data before the zeroes"
	cmp -s <(scratch 6 2) <(payload_part 6 2) ||
		fail "scratch area: wrong data after the discarded part"
	[ "$(guest_fact write_zeroes)" = yes ] || return 0
	cmp -s <(scratch 2 2) <(head -c 2M /dev/zero) ||
		fail "scratch area: write-zeroes left other data"
}
