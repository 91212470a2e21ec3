# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# Writes all the time while the host troubles the back-end.

. /guest/recipe.sh
. /guest/jobs.sh

check "4 writers, each file synced and read back" run_jobs /made/jobs
drop_caches
