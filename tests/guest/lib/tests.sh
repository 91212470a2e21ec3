# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# To be sourced first by every guest test.
#
# A test finds the program in $VHOST_BLK, or in the build folder $BUILD_DIR.
# It exits with 0 (good), 77 (skipped, says why) or 1; it shows the logs when
# it fails and keeps its folder when $VH_KEEP is not empty.

set -euo pipefail
VH_TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for part in host disk initramfs guest-output uml; do
	# shellcheck source=/dev/null
	. "$VH_TESTS/../../scripts/lib/$part.sh"
done
# shellcheck source=tests/guest/lib/qemu.sh
. "$VH_TESTS/lib/qemu.sh"
