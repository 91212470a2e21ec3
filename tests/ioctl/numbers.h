/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The requests' numbers, put together by hand: the direction (1 to the
 * kernel, 2 from it, 3 both) in the two highest bits, 14 bits of size, the
 * type 0xaf and the request.
 */
#ifndef TESTS_IOCTL_NUMBERS_H
#define TESTS_IOCTL_NUMBERS_H

#define N_GET_FEATURES		     0x8008af00UL
#define N_SET_FEATURES		     0x4008af00UL
#define N_SET_OWNER		     0x0000af01UL
#define N_RESET_OWNER		     0x0000af02UL
#define N_SET_MEM_TABLE		     0x4008af03UL
#define N_SET_LOG_BASE		     0x4008af04UL
#define N_SET_LOG_FD		     0x4004af07UL
#define N_NEW_WORKER		     0x8004af08UL
#define N_FREE_WORKER		     0x4004af09UL
#define N_SET_VRING_NUM		     0x4008af10UL
#define N_SET_VRING_ADDR	     0x4028af11UL
#define N_SET_VRING_BASE	     0x4008af12UL
#define N_GET_VRING_BASE	     0xc008af12UL
#define N_SET_VRING_ENDIAN	     0x4008af13UL
#define N_GET_VRING_ENDIAN	     0x4008af14UL
#define N_ATTACH_VRING_WORKER	     0x4008af15UL
#define N_GET_VRING_WORKER	     0xc008af16UL
#define N_SET_VRING_KICK	     0x4008af20UL
#define N_SET_VRING_CALL	     0x4008af21UL
#define N_SET_VRING_ERR		     0x4008af22UL
#define N_SET_VRING_BUSYLOOP_TIMEOUT 0x4008af23UL
#define N_GET_VRING_BUSYLOOP_TIMEOUT 0x4008af24UL
#define N_SET_BACKEND_FEATURES	     0x4008af25UL
#define N_GET_BACKEND_FEATURES	     0x8008af26UL
#define N_NET_SET_BACKEND	     0x4008af30UL
#define N_SCSI_SET_ENDPOINT	     0x40e8af40UL
#define N_SCSI_CLEAR_ENDPOINT	     0x40e8af41UL
#define N_SCSI_GET_ABI_VERSION	     0x4004af42UL
#define N_SCSI_SET_EVENTS_MISSED     0x4004af43UL
#define N_SCSI_GET_EVENTS_MISSED     0x4004af44UL
#define N_VSOCK_SET_GUEST_CID	     0x4008af60UL
#define N_VSOCK_SET_RUNNING	     0x4004af61UL
#define N_VDPA_GET_DEVICE_ID	     0x8004af70UL
#define N_VDPA_GET_STATUS	     0x8001af71UL
#define N_VDPA_SET_STATUS	     0x4001af72UL
#define N_VDPA_GET_CONFIG	     0x8008af73UL
#define N_VDPA_SET_CONFIG	     0x4008af74UL
#define N_VDPA_SET_VRING_ENABLE	     0x4008af75UL
#define N_VDPA_GET_VRING_NUM	     0x8002af76UL
#define N_VDPA_SET_CONFIG_CALL	     0x4004af77UL
#define N_VDPA_GET_IOVA_RANGE	     0x8010af78UL
#define N_VDPA_GET_CONFIG_SIZE	     0x8004af79UL
#define N_VDPA_GET_AS_NUM	     0x8004af7aUL
#define N_VDPA_GET_VRING_GROUP	     0xc008af7bUL
#define N_VDPA_SET_GROUP_ASID	     0x4008af7cUL
#define N_VDPA_SUSPEND		     0x0000af7dUL
#define N_VDPA_RESUME		     0x0000af7eUL
#define N_VDPA_GET_VRING_DESC_GROUP  0xc008af7fUL
#define N_VDPA_GET_VQS_COUNT	     0x8004af80UL
#define N_VDPA_GET_GROUP_NUM	     0x8004af81UL
#define N_VDPA_GET_VRING_SIZE	     0xc008af82UL
#define N_SET_FORK_FROM_OWNER	     0x4001af84UL
#define N_GET_FORK_FROM_OWNER	     0x8001af85UL
/* One version of Linux had this number for GET_VRING_SIZE. */
#define N_VDPA_GET_VRING_SIZE_OLD 0xc008af80UL
/* Newer than the headers of Linux 6.12. */
#define N_GET_FEATURES_ARRAY 0x8008af83UL
#define N_SET_FEATURES_ARRAY 0x4008af83UL

#endif
