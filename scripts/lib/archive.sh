# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# Fetches packages of a kernel from the distribution's archive, into the
# current folder; nothing is installed. To be sourced by bash.

archive_patience=(-o Acquire::Retries=2 -o Acquire::http::Timeout=20)

skip()
{
	echo "skipped: no kernel is cached, and $*"
	exit 77
}

# need COMMAND...
need()
{
	local command

	for command; do
		command -v "$command" >/dev/null ||
			skip "$command is not installed"
	done
	[ "$(dpkg --print-architecture)" = amd64 ] ||
		skip "the QEMU guests are amd64 ones"
}

# packages PATTERN APT-OPTION...: what apt knows by such names, newest first
packages()
{
	local pattern=$1

	shift
	apt-cache "$@" search --names-only "$pattern" |
		cut -d ' ' -f 1 | sort -rV
}

# companions PACKAGE APT-OPTION...: all that is wanted with a package, itself
# included; whoever sources this may say more.
companions()
{
	echo "$1"
}

# download TRIES PATTERN APT-OPTION...: the newest, or one of those before it
download()
{
	local tries=$1 pattern=$2 package wanted

	shift 2
	for package in $(packages "$pattern" "$@" | head -n "$tries"); do
		mapfile -t wanted < <(companions "$package" "$@")
		echo "downloading ${wanted[*]}"
		! apt-get -q "$@" "${archive_patience[@]}" download \
			"${wanted[@]}" || return 0
		rm -f ./*.deb
	done
	return 1
}

# download_by_new_lists PATTERN: apt's own lists may be old or empty, and what
# they name gone from the archive. They are not ours to change.
download_by_new_lists()
{
	local options=(-o "Dir::State::lists=$PWD/lists"
		-o "Dir::Cache=$PWD/cache")

	mkdir -p lists/partial cache/archives/partial
	apt-get -q "${options[@]}" "${archive_patience[@]}" \
		-o APT::Update::Error-Mode=any update ||
		skip "apt-get cannot reach an archive"
	[ -n "$(packages "$1" "${options[@]}")" ] ||
		skip "the archives have no $1"
	download 3 "$1" "${options[@]}"
}

# get_packages PATTERN: the newest that matches, with its companions
get_packages()
{
	download 1 "$1" || download_by_new_lists "$1" || {
		echo "the archives' lists are new, and yet nothing like $1" \
			"can be downloaded"
		exit 1
	}
}
