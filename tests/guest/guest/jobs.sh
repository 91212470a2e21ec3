# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# Four jobs that write all the time, so that whatever happens to the back-end
# happens while requests are in flight. Needs recipe.sh; the host uses it too.

job_files=24

# make_job_file FILE JOB NUMBER: 128 KiB and a bit
make_job_file()
{
	numbers "$((10000000 * $2 + 20000 * $3))" 14600 >"$1"
}

# rewrite FILE JOB: the same blocks again and again, so that an older write
# that comes late is seen
rewrite()
{
	head -c 131072 "$1" >"$1.even" &&
	dd if="$1.even" of="/made/slot.$2" bs=16k oflag=direct \
		conv=notrunc,fsync 2>/dev/null &&
	dd if="/made/slot.$2" bs=16k iflag=direct 2>/dev/null |
		cmp - "$1.even"
}

# write_once FILE JOB NUMBER
write_once()
{
	make_job_file "/tmp/job.$2" "$2" "$3" &&
	dd if="/tmp/job.$2" of="$1" bs=32k conv=fsync 2>/dev/null &&
	rewrite "/tmp/job.$2" "$2"
}

# job FOLDER JOB
job()
{
	i=0
	while [ "$i" -lt "$job_files" ]; do
		if ! write_once "$1/$2.$i" "$2" "$i"; then
			echo "$1/$2.$i" >>/tmp/failed
			return
		fi
		say "progress $1/$2.$i"
		i=$((i + 1))
	done
}

# run_jobs FOLDER
run_jobs()
{
	mkdir -p "$1"
	for n in 1 2 3 4; do
		job "$1" "$n" &
	done
	wait
	[ ! -e /tmp/failed ]
}
