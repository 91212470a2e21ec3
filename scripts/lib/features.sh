# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# shellcheck shell=bash
#
# Feature bits by their names in the specifications.

declare -A device_feature=(
	[1]=SIZE_MAX [2]=SEG_MAX [4]=GEOMETRY [5]=RO [6]=BLK_SIZE [9]=FLUSH
	[10]=TOPOLOGY [11]=CONFIG_WCE [12]=MQ [13]=DISCARD [14]=WRITE_ZEROES
	[16]=SECURE_ERASE [24]=NOTIFY_ON_EMPTY [27]=ANY_LAYOUT
	[28]=INDIRECT_DESC [29]=EVENT_IDX [30]=PROTOCOL_FEATURES
	[32]=VERSION_1 [33]=ACCESS_PLATFORM [34]=RING_PACKED [35]=IN_ORDER
	[38]=NOTIFICATION_DATA [40]=RING_RESET
)

declare -A protocol_feature=(
	[0]=MQ [1]=LOG_SHMFD [2]=RARP [3]=REPLY_ACK [4]=MTU [5]=BACKEND_REQ
	[6]=CROSS_ENDIAN [7]=CRYPTO_SESSION [8]=PAGEFAULT [9]=CONFIG
	[10]=BACKEND_SEND_FD [11]=HOST_NOTIFIER [12]=INFLIGHT_SHMFD
	[13]=RESET_DEVICE [14]=INBAND_NOTIFICATIONS
	[15]=CONFIGURE_MEM_SLOTS [16]=STATUS [17]=XEN_MMAP
	[18]=SHARED_OBJECT [19]=DEVICE_STATE
)

# feature_names TABLE HEX: the bits that are set, in words
feature_names()
{
	local -n table=$1
	local bit names=

	for ((bit = 0; bit < 64; bit++)); do
		(( ($2 >> bit) & 1 )) || continue
		names+=" ${table[$bit]:-bit-$bit}"
	done
	echo "${names# }"
}
