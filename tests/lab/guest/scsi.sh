# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=sh
#
# vhost-scsi with the target naa.5001405000000001, portal group 1, whose LUN 0
# is a disk of 1024 pages in memory.

set -eu
wwn=naa.5001405000000001

modprobe -a target_core_mod vhost_scsi
mount -t configfs config /sys/kernel/config
cd /sys/kernel/config/target
mkdir -p core/rd_mcp_0/lab
echo rd_pages=1024 >core/rd_mcp_0/lab/control
echo 1 >core/rd_mcp_0/lab/enable
mkdir -p "vhost/$wwn/tpgt_1/lun/lun_0"
echo naa.5001405000000002 >"vhost/$wwn/tpgt_1/nexus"
ln -s "$PWD/core/rd_mcp_0/lab" "vhost/$wwn/tpgt_1/lun/lun_0/lab"
cd /

lab-probe scsi "$wwn"
lab-scsi "$wwn"
