# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# Files whose contents follow from the payload and from arithmetic. The guest
# makes them on the disk and the host makes them elsewhere, so that they can be
# compared without believing the guest. No number occurs twice: a block that
# ends up in a wrong place is noticed.

# numbers FROM COUNT: nine bytes each
numbers()
{
	seq "$((10000000 + $1))" "$((10000000 + $1 + $2 - 1))"
}

# make_small_files FOLDER: 200 files, from nothing up to 1791 bytes
make_small_files()
{
	awk -v folder="$1" 'BEGIN {
		for (n = 0; n < 200; n++) {
			file = folder "/" n
			printf "" >file
			for (i = 0; i < n; i++)
				printf "%d\n", 10000000 + n * 1000 + i >file
			close(file)
		}
	}'
}

# make_stream FILE N: 2.1 MiB, in appended pieces of odd lengths
make_stream()
{
	piece=0
	while [ "$piece" -lt 5 ]; do
		numbers "$((1000000 * $2 + 50001 * piece))" 50001
		piece=$((piece + 1))
	done >"$1"
}

# make_patched FILE PAYLOAD: overwritten in place, across block borders
make_patched()
{
	cp "$2" "$1"
	n=0
	while [ "$n" -lt 30 ]; do
		numbers "$((n * 100))" 77 |
		dd of="$1" bs=11 seek="$((n * 24712 + 7))" conv=notrunc \
			2>/dev/null
		n=$((n + 1))
	done
}

# make_known_files FOLDER PAYLOAD
make_known_files()
{
	mkdir -p "$1/small" "$1/streams"
	cat "$2" "$2" >"$1/doubled"
	make_small_files "$1/small"
	make_patched "$1/patched" "$2"
	for n in 1 2 3 4; do
		make_stream "$1/streams/$n" "$n" &
	done
	wait
}
