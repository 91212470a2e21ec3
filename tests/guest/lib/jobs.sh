# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# The host's view of what the guest's writers left behind.

# shellcheck source=scripts/lib/guest/recipe.sh
. "$VH_SCRIPTS/guest/recipe.sh"
# shellcheck source=tests/guest/guest/jobs.sh
. "$VH_TESTS/guest/jobs.sh"

# check_announced: every file that the guest called safe is there and right
check_announced()
{
	local file name

	guest_lines progress >"$work/announced"
	[ -s "$work/announced" ] || fail "the guest announced no file"
	while read -r file; do
		name=${file##*/}
		make_job_file "$work/expected" "${name%.*}" "${name#*.}"
		cmp "$work/expected" "$work/out$file" ||
			fail "$file is not what the guest wrote"
	done <"$work/announced"
}

# check_jobs FOLDER: all files of all jobs, and the blocks that each rewrote
check_jobs()
{
	local job count

	count=$(find "$made/$1" -type f | wc -l)
	[ "$count" -eq $((4 * job_files)) ] ||
		fail "$count files in $1, expected $((4 * job_files))"
	for job in 1 2 3 4; do
		make_job_file "$work/expected" "$job" $((job_files - 1))
		head -c 131072 "$work/expected" | cmp - "$made/slot.$job" ||
			fail "slot.$job does not hold what was written last"
	done
}
