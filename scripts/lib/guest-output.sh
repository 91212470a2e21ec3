# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# Reads what a guest said on its console, $work/guest.log.

# guest_lines WORD: what follows "VH:WORD "
guest_lines()
{
	tr -d '\r' <"$work/guest.log" | sed -n "s/^.*VH:$1 //p"
}

# follow_guest: shows its checks as they happen, until $guest is gone
follow_guest()
{
	tail -n +1 -s 0.2 -F --pid="$guest" "$work/guest.log" 2>/dev/null |
	sed -un 's/\r$//; s/^.*VH:ok /  guest: /p
		s/^.*VH:FAIL /  guest: FAILED: /p'
}

guest_fact()
{
	guest_lines fact | sed -n "s/^$1 //p" | tail -n 1
}

guest_said()
{
	grep -q "VH:$1" "$work/guest.log"
}

expect_fact()
{
	local value

	value=$(guest_fact "$1")
	[ "$value" = "$2" ] ||
		fail "the guest sees $1 '$value', expected '$2'"
}

check_verdict()
{
	! guest_said FAIL || fail "guest: $(guest_lines FAIL | head -n 1)"
	guest_said "verdict ok" || fail "the guest did not reach its end"
}
