# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
# For the checks of this folder, which run in the root of the sources.

# The project's own files, NUL-terminated: all, or those that match a pattern.
files() {
	local patterns=()
	for pattern; do
		patterns+=(${patterns[0]:+-o} -name "$pattern")
	done
	find . \( -path ./.git -o -path ./build -o -path ./tests/fuzz/corpus \
		-o -name __pycache__ \) -prune -o -type f \
		\( "${patterns[@]:--true}" \) -print0 | sort -z
}

# Fails with the lines on standard input, if there are any.
none() {
	local lines
	lines=$(cat)
	[ -z "$lines" ] && return
	printf '%s:\n%s\n' "$1" "$lines"
	exit 1
}

# grep, to which it is no failure to find nothing.
matches() {
	grep "$@" || [ $? = 1 ]
}

# Skips the check where its program isn't installed.
need() {
	command -v "$1" >/dev/null && return
	echo "$1 isn't installed"
	exit 77
}
