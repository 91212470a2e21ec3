/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * lab-net TAP: vhost-net moves packets between our rings and a tap device, at
 * whose other end the kernel's own network, 192.0.2.1, answers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm.h"

#define NODE	   "/dev/vhost-net"
#define HEADER	   12 /* struct virtio_net_hdr_v1 */
#define BUFFER	   2048
#define NUM	   64
#define PINGS	   100
#define MRG_RXBUF  (UINT64_C(1) << 15)
#define IOVA_SHIFT (UINT64_C(1) << 40)
#define RX	   0
#define TX	   1

static const unsigned char our_mac[6] = {2, 0, 0, 0, 0, 0x99};
static const unsigned char our_ip[4] = {192, 0, 2, 2};
static const unsigned char peer_ip[4] = {192, 0, 2, 1};
static unsigned char peer_mac[6];

static int open_tap(const char *name)
{
	struct ifreq request = {.ifr_flags =
				    IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int header = HEADER;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	VMM_CHECK(fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0 &&
		      ioctl(fd, TUNSETVNETHDRSZ, &header) == 0,
		  "tap %s: %s", name, strerror(errno));
	return fd;
}

static void read_peer_mac(const char *tap)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", tap);
	VMM_CHECK(fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &request) == 0,
		  "address of %s: %s", tap, strerror(errno));
	memcpy(peer_mac, request.ifr_hwaddr.sa_data, sizeof(peer_mac));
	close(fd);
}

static void post(struct vmm *vmm, char *buffer)
{
	vmm_add(&vmm->rings[RX], NULL, 0, buffer, BUFFER);
}

static void send_frame(struct vmm *vmm, const void *frame, size_t size)
{
	static char *buffer;
	static const struct vmm *owner;

	if (owner != vmm) {
		owner = vmm;
		buffer = vmm_alloc(vmm, BUFFER);
	}
	memset(buffer, 0, HEADER);
	memcpy(buffer + HEADER, frame, size);
	vmm_add(&vmm->rings[TX], buffer, HEADER + size, NULL, 0);
	VMM_CHECK(vmm_wait(vmm, &vmm->rings[TX]).token == buffer,
		  "another buffer was sent");
}

/* The next frame of that type; its buffer goes back. */
static size_t receive(struct vmm *vmm, uint16_t type, void *frame)
{
	for (;;) {
		struct vh_driver_used used = vmm_wait(vmm, &vmm->rings[RX]);
		char *buffer = used.token;
		size_t size = used.written;
		struct ether_header *ether = frame;

		VMM_CHECK(size >= HEADER + sizeof(*ether) && size <= BUFFER,
			  "%zu bytes were received", size);
		memcpy(frame, buffer + HEADER, size - HEADER);
		post(vmm, buffer);
		if (ether->ether_type == htons(type))
			return size - HEADER;
	}
}

static void arp(struct vmm *vmm)
{
	struct {
		struct ether_header ether;
		struct ether_arp arp;
	} __attribute__((packed)) request = {0}, *reply;
	char frame[BUFFER];

	memset(request.ether.ether_dhost, 0xff, 6);
	memcpy(request.ether.ether_shost, our_mac, 6);
	request.ether.ether_type = htons(ETHERTYPE_ARP);
	request.arp.ea_hdr.ar_hrd = htons(ARPHRD_ETHER);
	request.arp.ea_hdr.ar_pro = htons(ETHERTYPE_IP);
	request.arp.ea_hdr.ar_hln = 6;
	request.arp.ea_hdr.ar_pln = 4;
	request.arp.ea_hdr.ar_op = htons(ARPOP_REQUEST);
	memcpy(request.arp.arp_sha, our_mac, 6);
	memcpy(request.arp.arp_spa, our_ip, 4);
	memcpy(request.arp.arp_tpa, peer_ip, 4);
	send_frame(vmm, &request, sizeof(request));

	VMM_CHECK(receive(vmm, ETHERTYPE_ARP, frame) >= sizeof(*reply),
		  "a short answer to ARP");
	reply = (void *)frame;
	memcpy(request.ether.ether_dhost, our_mac, 6);
	memcpy(request.ether.ether_shost, peer_mac, 6);
	request.arp.ea_hdr.ar_op = htons(ARPOP_REPLY);
	memcpy(request.arp.arp_sha, peer_mac, 6);
	memcpy(request.arp.arp_spa, peer_ip, 4);
	memcpy(request.arp.arp_tha, our_mac, 6);
	memcpy(request.arp.arp_tpa, our_ip, 4);
	VMM_CHECK(memcmp(reply, &request, sizeof(request)) == 0,
		  "the answer to ARP has other bytes");
}

static uint16_t checksum(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

struct ping {
	struct ether_header ether;
	struct iphdr ip;
	struct icmphdr icmp;
	unsigned char data[1400];
} __attribute__((packed));

static size_t make_ping(struct ping *ping, uint16_t sequence)
{
	size_t data = (sequence * 97u) % sizeof(ping->data);
	size_t icmp = sizeof(ping->icmp) + data;
	size_t ip = sizeof(ping->ip) + icmp;

	memset(ping, 0, sizeof(*ping));
	memcpy(ping->ether.ether_dhost, peer_mac, 6);
	memcpy(ping->ether.ether_shost, our_mac, 6);
	ping->ether.ether_type = htons(ETHERTYPE_IP);
	ping->ip.version = 4;
	ping->ip.ihl = 5;
	ping->ip.tot_len = htons((uint16_t)ip);
	ping->ip.ttl = 64;
	ping->ip.protocol = IPPROTO_ICMP;
	memcpy(&ping->ip.saddr, our_ip, 4);
	memcpy(&ping->ip.daddr, peer_ip, 4);
	ping->ip.check = checksum(&ping->ip, sizeof(ping->ip));
	ping->icmp.type = ICMP_ECHO;
	ping->icmp.un.echo.id = htons(0x1234);
	ping->icmp.un.echo.sequence = htons(sequence);
	for (size_t i = 0; i < data; i++)
		ping->data[i] = (unsigned char)(sequence * 31u + i * 7u);
	ping->icmp.checksum = checksum(&ping->icmp, icmp);
	return sizeof(ping->ether) + ip;
}

/* Each answer has the bytes that were sent. */
static void pings(struct vmm *vmm, uint16_t from, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		uint16_t sequence = (uint16_t)(from + i);
		struct ping ping, answer;
		char frame[BUFFER] = {0};
		size_t size = make_ping(&ping, sequence);
		size_t data = (sequence * 97u) % sizeof(ping.data);

		send_frame(vmm, &ping, size);
		VMM_CHECK(receive(vmm, ETHERTYPE_IP, frame) >= size,
			  "a short answer to ping %u", sequence);
		memcpy(&answer, frame, sizeof(answer));
		VMM_CHECK(answer.icmp.type == ICMP_ECHOREPLY &&
			      answer.icmp.un.echo.sequence == htons(sequence) &&
			      memcmp(answer.ether.ether_dhost, our_mac, 6) == 0,
			  "ping %u has another answer", sequence);
		VMM_CHECK(memcmp(answer.data, ping.data, data) == 0,
			  "ping %u came back with other bytes", sequence);
	}
}

static void open_net(struct vmm *vmm, int tap)
{
	struct vh_fault fault;
	VH_OPTS(vh_net_opts, opts);

	opts.path = NODE;
	opts.taps = &tap;
	opts.num_taps = 1;
	VMM_CHECK(vh_net_open(&opts, &fault, &vmm->backend) == 0, "%s",
		  fault.text);
}

static void set_up(struct vmm *vmm, uint64_t features)
{
	struct vh_region region = vmm_region(vmm);

	vmm->features = features;
	vmm->asks = vmm->shift;
	VMM_OK(vmm, vh_backend_set_owner(vmm->backend));
	VMM_OK(vmm, vh_backend_set_features(vmm->backend, features));
	VMM_OK(vmm, vh_backend_set_mem_table(vmm->backend, &region, 1));
}

static void start(struct vmm *vmm)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct vmm_ring *ring = vmm_ring(vmm, i, NUM);

		vmm_start_ring(vmm, ring, vh_driver_queue_base(ring->queue));
	}
	for (int i = 0; i < 16; i++)
		post(vmm, vmm_alloc(vmm, BUFFER));
	for (uint32_t i = 0; i < 2; i++)
		VMM_OK(vmm, vh_backend_set_vring_enable(vmm->backend, i, true));
}

/* Stops both rings and starts them again where they were. */
static void stop_and_go(struct vmm *vmm, uint32_t sent)
{
	uint32_t base[2] = {0};

	for (uint32_t i = 0; i < 2; i++)
		VMM_OK(vmm,
		       vh_backend_get_vring_base(vmm->backend, i, &base[i]));
	VMM_CHECK(base[TX] == sent, "the device took %u packets of %u",
		  base[TX], sent);
	for (uint32_t i = 0; i < 2; i++)
		vmm_start_ring(vmm, &vmm->rings[i], base[i]);
}

/* What is written to memory is marked, and what isn't is not. */
static void dirty(struct vmm *vmm)
{
	uint64_t pages = (VMM_RAM_GUEST + VMM_RAM_SIZE) / VH_DIRTY_LOG_PAGE;
	struct vh_log_area area = {.size = pages / 8};
	int fd = memfd_create("log", MFD_CLOEXEC);
	unsigned int marked = 0;
	unsigned char *log;

	VMM_CHECK(fd >= 0 && ftruncate(fd, (off_t)area.size) == 0, "memfd");
	log = mmap(NULL, area.size, PROT_READ, MAP_SHARED, fd, 0);
	VMM_CHECK(log != MAP_FAILED, "mmap");
	VMM_OK(vmm, vh_backend_set_log_base(vmm->backend, &area, fd));
	VMM_OK(vmm, vh_backend_set_features(vmm->backend,
					    vmm->features | VH_F_LOG_ALL));
	pings(vmm, 1, 4);
	VMM_OK(vmm, vh_backend_set_features(vmm->backend, vmm->features));
	for (uint64_t i = 0; i < pages; i++)
		marked += log[i / 8] >> i % 8 & 1;
	VMM_CHECK(marked >= 1 && marked <= 16, "%u pages are marked", marked);
	for (uint64_t i = 0; i < VMM_RAM_GUEST / VH_DIRTY_LOG_PAGE; i++)
		VMM_CHECK(!(log[i / 8] >> i % 8 & 1), "page %ju is marked",
			  (uintmax_t)i);
	VMM_OK(vmm, vh_backend_set_log_base(vmm->backend, &area, -1));
	munmap(log, area.size);
	close(fd);
}

/* Requests that this kernel has, and those that it hasn't for this device. */
static void requests(struct vmm *vmm)
{
	struct vh_backend *b = vmm->backend;
	uint64_t word = 0;
	uint32_t value = 0;
	bool flag = false;

	VMM_OK(vmm, vh_backend_get_backend_features(b, &word));
	VMM_CHECK(word == VH_BACKEND_F_IOTLB_MSG_V2, "back-end features 0x%jx",
		  (uintmax_t)word);
	VMM_FAILS(vmm, -EINVAL, vh_backend_set_backend_features(b, 1 << 2));
	VMM_OK(vmm, vh_kernel_set_vring_busyloop_timeout(b, TX, 50));
	VMM_OK(vmm, vh_kernel_get_vring_busyloop_timeout(b, TX, &value));
	VMM_CHECK(value == 50, "busy-loop time-out %u", value);
	VMM_OK(vmm, vh_kernel_set_vring_busyloop_timeout(b, TX, 0));
	VMM_OK(vmm, vh_backend_get_max_mem_slots(b, &value));
	VMM_CHECK(value == 64, "%u regions at most", value);
	VMM_FAILS(vmm, -EOPNOTSUPP, vh_kernel_get_vring_endian(b, TX, &flag));
	VMM_FAILS(vmm, -EOPNOTSUPP, vh_kernel_new_worker(b, &value));
	VMM_FAILS(vmm, -EOPNOTSUPP, vh_kernel_free_worker(b, 5));
	VMM_FAILS(vmm, -EOPNOTSUPP, vh_kernel_attach_vring_worker(b, TX, 5));
	VMM_FAILS(vmm, -EOPNOTSUPP, vh_kernel_get_vring_worker(b, TX, &value));
	VMM_FAILS(vmm, -EOPNOTSUPP, vh_kernel_get_features_array(b, &word, 1));
	VMM_FAILS(vmm, -EBUSY, vh_kernel_set_fork_from_owner(b, true));
	VMM_OK(vmm, vh_kernel_get_fork_from_owner(b, &flag));
}

/* What no driver takes: the device must go on afterwards. */
static void mistakes(struct vmm *vmm)
{
	struct vh_vring_addr addr = {
	    .descriptors = 0x1000, .available = 0x2000, .used = 0x3000};
	struct vh_backend *b = vmm->backend;
	struct vh_region region = vmm_region(vmm);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	VMM_FAILS(vmm, -EBUSY, vh_backend_set_vring_num(b, RX, NUM));
	VMM_FAILS(vmm, -EBUSY, vh_backend_set_vring_addr(b, RX, &addr));
	VMM_FAILS(vmm, -EBUSY, vh_backend_set_vring_endian(b, RX, false));
	VMM_FAILS(vmm, -EEXIST, vh_backend_add_region(b, &region));
	VMM_FAILS(vmm, -ENOTSOCK, vh_net_set_backend(b, TX, null));
	VMM_FAILS(vmm, -EINVAL, vh_backend_set_vring_call(b, TX, null));
	close(null);
}

static void check_kinds(void)
{
	struct vh_vsock_opts vsock = {.size = sizeof(vsock), .path = NODE};
	struct vh_scsi_opts scsi = {.size = sizeof(scsi), .path = NODE};
	struct vh_vdpa_opts vdpa = {.size = sizeof(vdpa), .path = NODE};
	struct vh_net_opts net = {.size = sizeof(net), .path = "/dev/net/tun"};
	struct vh_backend *b;

	VMM_CHECK(vh_vsock_open(&vsock, NULL, &b) == -ENOTTY &&
		      vh_scsi_open(&scsi, NULL, &b) == -ENOTTY &&
		      vh_vdpa_open(&vdpa, NULL, &b) == -ENOTTY &&
		      vh_net_open(&net, NULL, &b) == -ENOTTY,
		  "a device is taken for one of another kind");
}

static void plain(int tap)
{
	struct vmm vmm;
	bool fork = false;

	vmm_init(&vmm, 0);
	open_net(&vmm, tap);
	VMM_OK(&vmm, vh_kernel_set_fork_from_owner(vmm.backend, true));
	VMM_OK(&vmm, vh_kernel_get_fork_from_owner(vmm.backend, &fork));
	VMM_CHECK(fork, "not forked from the owner");
	set_up(&vmm, VH_F_VERSION_1 | MRG_RXBUF | VH_F_EVENT_IDX);
	VMM_FAILS(&vmm, -EOPNOTSUPP,
		  vh_backend_set_vring_endian(vmm.backend, TX, false));
	start(&vmm);
	arp(&vmm);
	pings(&vmm, 1, PINGS);
	requests(&vmm);
	mistakes(&vmm);
	pings(&vmm, 1, 4);
	stop_and_go(&vmm, 1 + PINGS + 4);
	pings(&vmm, 1, PINGS);
	dirty(&vmm);
	/* Another session on the same handle, with rings of its own. */
	VMM_OK(&vmm, vh_backend_release(vmm.backend));
	vmm_done(&vmm);
	{
		struct vh_backend *b = vmm.backend;

		vmm_init(&vmm, 0);
		vmm.backend = b;
	}
	set_up(&vmm, VH_F_VERSION_1);
	start(&vmm);
	arp(&vmm);
	pings(&vmm, 1, 8);
	vh_backend_free(vmm.backend);
	vmm_done(&vmm);
}

/* Nothing is translated before the kernel has asked for it. */
static void iommu(int tap, bool second)
{
	struct vmm vmm;

	vmm_init(&vmm, IOVA_SHIFT);
	open_net(&vmm, tap);
	if (second)
		VMM_OK(&vmm, vh_backend_set_backend_features(
				 vmm.backend, VH_BACKEND_F_IOTLB_MSG_V2));
	set_up(&vmm, VH_F_VERSION_1 | MRG_RXBUF | VH_F_ACCESS_PLATFORM);
	start(&vmm);
	arp(&vmm);
	pings(&vmm, 1, 8);
	VMM_CHECK(vmm.misses >= 3, "only %u misses", vmm.misses);
	vmm.misses = 0;
	VMM_OK(&vmm, vh_backend_iotlb_invalidate(vmm.backend,
						 VMM_RAM_GUEST + IOVA_SHIFT,
						 VMM_RAM_SIZE));
	pings(&vmm, 1, 8);
	VMM_CHECK(vmm.misses >= 3, "only %u misses after all was taken away",
		  vmm.misses);
	vh_backend_free(vmm.backend);
	vmm_done(&vmm);
}

int main(int argc, char **argv)
{
	int tap;

	VMM_CHECK(argc == 2, "usage: lab-net TAP");
	tap = open_tap(argv[1]);
	read_peer_mac(argv[1]);
	check_kinds();
	plain(tap);
	iommu(tap, false);
	iommu(tap, true);
	close(tap);
	return 0;
}
