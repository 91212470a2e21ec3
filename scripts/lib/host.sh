# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# What the demo and every guest test have in common on the host: a folder
# of their own, the processes they start, the back-end, and a clean end.
# To be sourced by bash; begin() comes first.

VH_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/sbin:/sbin

children=()
litter=()

# begin NAME COMMAND...: makes $work; skips when a COMMAND is not installed.
begin()
{
	local name=$1 command base=${TMPDIR:-/tmp}

	shift
	for command; do
		command -v "$command" >/dev/null ||
			skip "$command is not installed"
	done
	# A socket's path holds at most 107 bytes.
	[ ${#base} -lt 60 ] || base=/tmp
	work=$(mktemp -d "$base/$name.XXXXXX")
	socket=$work/blk.sock
	trap end EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

end()
{
	local status=$? child

	trap - EXIT
	trap '' HUP INT TERM
	# User-Mode Linux ignores SIGTERM, leads a group of its own and leaves
	# helpers behind when it is killed.
	for child in "${children[@]}"; do
		kill -KILL "$child" 2>/dev/null || true
		kill -KILL -- "-$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	done
	[ "$status" -eq 0 ] || [ "$status" -eq 77 ] || show_logs
	if [ -n "${VH_KEEP:-}" ]; then
		echo "kept: $work" >&2
	else
		rm -rf "$work" "${litter[@]}"
	fi
	exit "$status"
}

show_logs()
{
	local log

	for log in "$work"/*.log; do
		[ -s "$log" ] || continue
		echo "---- the last lines of ${log##*/}" >&2
		tail -n "${VH_LOG_LINES:-60}" "$log" | tr -d '\r' >&2
	done
}

fail()
{
	echo "FAILED: $*" >&2
	exit 1
}

skip()
{
	echo "skipped: $*"
	exit 77
}

# mortal COMMAND...: it does not outlive this shell, however that ends
mortal()
{
	exec setpriv --pdeathsig KILL "$@"
}

# start_guest COMMAND...: in the background, $guest; its console is a file
start_guest()
{
	mortal "$@" </dev/null >>"$work/guest.log" 2>&1 &
	guest=$!
	children+=("$guest")
}

# await_guest: until it has powered off
await_guest()
{
	local status=0

	wait_for "${VH_GUEST_LIMIT:-240}" "the guest to end" stopped "$guest"
	wait "$guest" || status=$?
	check_verdict
	[ "$status" -eq 0 ] || fail "the guest's machine ended with $status"
}

running()
{
	kill -0 "$1" 2>/dev/null
}

stopped()
{
	! running "$1"
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds
wait_for()
{
	local deadline=$((SECONDS + $1)) what=$2

	shift 2
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] ||
			fail "waited in vain for $what"
		sleep 0.05
	done
}

# Where the back-end program is: $VHOST_BLK, or in the folder $BUILD_DIR
find_backend()
{
	vhost_blk=${VHOST_BLK:-${BUILD_DIR:?is not set}/tools/vhost-blk}
	[ -x "$vhost_blk" ] || fail "no program $vhost_blk"
}

# launch_backend OPTION...: starts it, without waiting
launch_backend()
{
	mortal "$vhost_blk" --blk-file="$image" --stats-json "$@" \
		</dev/null >>"$work/statistics" 2>>"$work/vhost-blk.log" &
	backend=$!
	children+=("$backend")
}

# listening SOCKET: somebody accepts there; whoever was killed leaves its file
listening()
{
	awk -v path="$1" '$4 == "00010000" && $8 == path { found = 1 }
		END { exit !found }' /proc/net/unix
}

backend_ready()
{
	running "$backend" || fail "vhost-blk ended before it was ready"
	listening "$socket"
}

# start_backend OPTION...: serves $image on $socket
start_backend()
{
	launch_backend --socket-path="$socket" "$@"
	wait_for 20 "the socket of vhost-blk" backend_ready
}

# stop_backend: as an operator would; its statistics become readable
stop_backend()
{
	local status=0

	running "$backend" || fail "vhost-blk had ended on its own"
	kill -TERM "$backend"
	wait_for 20 "vhost-blk to end after SIGTERM" stopped "$backend"
	wait "$backend" || status=$?
	[ "$status" -eq 0 ] || fail "vhost-blk ended with status $status"
}

kill_backend()
{
	running "$backend" || fail "vhost-blk had ended on its own"
	kill -KILL "$backend"
	wait "$backend" 2>/dev/null || true
}

# statistic NAME: one value of the last line of statistics, such as kicks or
# requests.in
statistic()
{
	local pattern='.*'

	[[ $1 != *.* ]] || pattern=".*\"${1%.*}\": *{[^}]*"
	pattern+="\"${1##*.}\": *\"*\([0-9a-z_]*\).*"
	tail -n 1 "$work/statistics" | sed -n "s/$pattern/\\1/p" | grep .
}

expect_statistic()
{
	local value

	value=$(statistic "$1") || fail "the statistics have no $1"
	test "$value" "$2" "$3" ||
		fail "statistics: $1 is $value, expected $2 $3"
}

# has_bit HEX BIT
has_bit()
{
	(( ($1 >> $2) & 1 ))
}
