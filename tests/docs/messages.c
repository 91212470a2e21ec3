/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Prints docs/messages.md from the message table:
 *
 *	BUILD/tests/docs/messages > docs/messages.md
 */
#include <inttypes.h>
#include <libvhost/libvhost.h>
#include <stdio.h>

static const char introduction[] =
    "<!-- SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause -->\n"
    "<!-- Made from the message table by tests/docs/messages.c. -->\n"
    "\n"
    "# The vhost-user messages\n"
    "\n"
    "Every message that libvhost knows, as `vh_message_info()` describes it:\n"
    "the decoder refuses whatever doesn't fit its row. Which of them the\n"
    "server grants is in the [README](../README.md#what-is-supported).\n"
    "\n"
    "- *Payload*: its layout, which is the member of `struct vh_message` that\n"
    "  counts, and its size in bytes, without the 12 bytes of the header.\n"
    "  Those of memory regions reach further with XEN_MMAP: 40 bytes for each\n"
    "  region instead of 32.\n"
    "- *Fds*: how many file descriptors come with it.\n"
    "- *Reply*: its layout and size. *Ack* stands for a 64-bit number, 0 for\n"
    "  success, that is sent only if REPLY_ACK is negotiated and the request\n"
    "  asks for it.\n"
    "- *Needs*: what must be negotiated before it may be sent: protocol\n"
    "  features, or feature bits by number.\n";

static const char *const layouts[] = {
    [VH_PAYLOAD_NONE] = "-",
    [VH_PAYLOAD_U64] = "u64",
    [VH_PAYLOAD_VRING_STATE] = "state",
    [VH_PAYLOAD_VRING_ADDR] = "addr",
    [VH_PAYLOAD_VRING_FD] = "vring_fd",
    [VH_PAYLOAD_MEM_TABLE] = "mem_table",
    [VH_PAYLOAD_MEM_REGION] = "mem_region",
    [VH_PAYLOAD_LOG] = "log",
    [VH_PAYLOAD_IOTLB] = "iotlb",
    [VH_PAYLOAD_CONFIG] = "config",
    [VH_PAYLOAD_VRING_AREA] = "area",
    [VH_PAYLOAD_INFLIGHT] = "inflight",
    [VH_PAYLOAD_CRYPTO] = "crypto",
    [VH_PAYLOAD_SHARED_OBJECT] = "object",
    [VH_PAYLOAD_DEVICE_STATE] = "device_state",
    [VH_PAYLOAD_MMAP] = "mmap",
    [VH_PAYLOAD_SHMEM_CONFIG] = "shmem",
};

static void print_payload(uint8_t layout, uint32_t min, uint32_t max)
{
	if (layout == VH_PAYLOAD_NONE)
		printf(" -");
	else if (min == max)
		printf(" %s, %" PRIu32, layouts[layout], min);
	else
		printf(" %s, %" PRIu32 "-%" PRIu32, layouts[layout], min, max);
}

static void print_fds(const struct vh_message_info *info)
{
	switch (info->fds_rule) {
	case VH_FDS_EXACT:
		printf(" %u", info->fds);
		break;
	case VH_FDS_AT_MOST:
		printf(" 0-%u", info->fds);
		break;
	case VH_FDS_UNLESS_NOFD:
		printf(" 1, or 0 with bit 8 set");
		break;
	case VH_FDS_PER_REGION:
		printf(" one a region");
		break;
	case VH_FDS_IF_LOG_SHMFD:
		printf(" 1 with LOG_SHMFD");
		break;
	default:
		printf(" ?");
		break;
	}
}

static void print_reply(const struct vh_message_info *info)
{
	if (info->reply != VH_REPLY_ALWAYS)
		printf(" ack");
	if (info->reply == VH_REPLY_IF_LOG_SHMFD)
		printf("; with LOG_SHMFD always");
	else if (info->reply == VH_REPLY_ACK && info->reply_size_max)
		printf("; during postcopy");
	if (info->reply == VH_REPLY_ALWAYS || info->reply_size_max)
		print_payload(info->reply_payload, info->reply_size_min,
			      info->reply_size_max);
	if (info->reply_fds)
		printf("; up to %u fds", info->reply_fds);
}

static void print_needs(const struct vh_message_info *info)
{
	const char *separator = " ";

	if (!info->protocol_features && !info->features)
		printf(" -");
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!(info->protocol_features >> bit & 1))
			continue;
		printf("%s%s", separator, vh_protocol_feature_name(bit));
		separator = ", ";
	}
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!(info->features >> bit & 1))
			continue;
		printf("%sbit %u", separator, bit);
		separator = ", ";
	}
}

static void print_rows(uint32_t direction, uint32_t last)
{
	puts("\n| id | name | payload | fds | reply | needs |\n"
	     "|---:|------|---------|-----|-------|-------|");
	for (uint32_t id = 0; id <= last; id++) {
		const struct vh_message_info *info =
		    vh_message_info(direction, id);

		if (!info)
			continue;
		printf("| %" PRIu32 " | %s |", id, info->name);
		print_payload(info->payload, info->size_min, info->size_max);
		printf(" |");
		print_fds(info);
		printf(" |");
		print_reply(info);
		printf(" |");
		print_needs(info);
		printf(" |\n");
	}
}

static void print_protocol_features(void)
{
	const char *name;

	puts("\n## Protocol features\n\n| bit | name |\n|----:|------|");
	for (unsigned int bit = 0; bit <= VH_USER_PROTOCOL_F_MAX; bit++) {
		name = vh_protocol_feature_name(bit);
		if (name)
			printf("| %u | %s |\n", bit, name);
	}
}

int main(void)
{
	fputs(introduction, stdout);
	puts("\n## From the front-end");
	print_rows(VH_USER_FROM_FRONTEND, VH_USER_REQUEST_MAX);
	puts("\n## From the back-end\n\n"
	     "Over the socket of SET_BACKEND_REQ_FD. Those that carry a "
	     "descriptor need\nBACKEND_SEND_FD as well.");
	print_rows(VH_USER_FROM_BACKEND, VH_USER_BACKEND_REQUEST_MAX);
	print_protocol_features();
	return fflush(stdout) == 0 ? 0 : 1;
}
