# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# A second guest on the same disk: everything is still there.

again()
{
	(cd /made && sha256sum -c manifest >/tmp/log 2>&1)
}

check "all files of the guest before agree with its manifest" again
