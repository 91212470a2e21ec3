# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# Is reset in its first life while it writes, and goes on in its second.

. /guest/recipe.sh
. /guest/jobs.sh

if mkdir /made/first 2>/dev/null; then
	sync
	job_files=100000
	check "not to be reached" run_jobs /made/first
else
	say "second life"
	check "4 writers, each file synced and read back" \
		run_jobs /made/second
	drop_caches
fi
