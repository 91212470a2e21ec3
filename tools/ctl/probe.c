/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "ctl/probe.h"
#include "common/say.h"
#include "ctl/config.h"
#include "ctl/names.h"
#include <errno.h>
#include <inttypes.h>
#include <libvhost/libvhost.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MOST_CONFIG 256 /* vhost-user, and more than any type has */

enum kind { KIND_USER, KIND_NET, KIND_VSOCK, KIND_SCSI, KIND_VDPA };

struct target {
	const struct probe_opts *opts;
	enum kind kind;
	struct vh_backend *backend;
	uint32_t device;
	uint64_t features;
	struct json_object *report;
};

static const char *const kind_names[] = {
    [KIND_USER] = "vhost-user",	  [KIND_NET] = "vhost-net",
    [KIND_VSOCK] = "vhost-vsock", [KIND_SCSI] = "vhost-scsi",
    [KIND_VDPA] = "vhost-vdpa",
};

VH_PRINTF(2, 3)
static int wrong(struct vh_fault *fault, const char *format, ...)
{
	va_list args;

	*fault = (struct vh_fault){.section = ""};
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return EXIT_USAGE;
}

/* The kernel's name of a device, whatever the file is called. */
static void node_name(const struct stat *st, const char *path, char *name,
		      size_t size)
{
	char link[64], to[256];
	const char *base = strrchr(path, '/');
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major(st->st_rdev),
		 minor(st->st_rdev));
	n = readlink(link, to, sizeof(to) - 1);
	if (n > 0) {
		to[n] = '\0';
		base = strrchr(to, '/');
		path = to;
	}
	snprintf(name, size, "%s", base ? base + 1 : path);
}

static int find_kind(struct target *t, struct vh_fault *fault)
{
	const char *path = t->opts->target;
	struct stat st;
	char name[256];

	if (stat(path, &st) < 0)
		return wrong(fault, "%s: %s", path, error_text(errno));
	if (S_ISSOCK(st.st_mode)) {
		t->kind = KIND_USER;
		return EXIT_OK;
	}
	if (S_ISCHR(st.st_mode)) {
		node_name(&st, path, name, sizeof(name));
		for (t->kind = KIND_NET; t->kind <= KIND_VDPA; t->kind++)
			if (strncmp(name, kind_names[t->kind],
				    strlen(kind_names[t->kind])) == 0)
				return EXIT_OK;
	}
	return wrong(fault,
		     "%s: is neither a socket nor a device vhost-net, "
		     "vhost-vsock, vhost-scsi or vhost-vdpa-N",
		     path);
}

#define PROTOCOL(name) (UINT64_C(1) << VH_USER_PROTOCOL_F_##name)

/* No more is negotiated than what questions need. */
static int open_user(struct target *t, struct vh_fault *fault)
{
	VH_OPTS(vh_user_connect_opts, opts);

	opts.mode = VH_USER_CONNECT;
	opts.path = t->opts->target;
	opts.timeout_ms = t->opts->timeout_ms;
	opts.protocol_features =
	    PROTOCOL(MQ) | PROTOCOL(CONFIG) | PROTOCOL(CONFIGURE_MEM_SLOTS);
	return vh_user_connect(&opts, fault, &t->backend);
}

static int open_kernel(struct target *t, struct vh_fault *fault)
{
	VH_OPTS(vh_net_opts, net);
	VH_OPTS(vh_vsock_opts, vsock);
	VH_OPTS(vh_scsi_opts, scsi);
	VH_OPTS(vh_vdpa_opts, vdpa);

	net.path = vsock.path = scsi.path = vdpa.path = t->opts->target;
	switch (t->kind) {
	case KIND_NET:
		return vh_net_open(&net, fault, &t->backend);
	case KIND_VSOCK:
		return vh_vsock_open(&vsock, fault, &t->backend);
	case KIND_SCSI:
		return vh_scsi_open(&scsi, fault, &t->backend);
	default:
		return vh_vdpa_open(&vdpa, fault, &t->backend);
	}
}

static void find_device(struct target *t)
{
	uint32_t id;

	t->device = t->opts->device;
	if (t->kind == KIND_VDPA && vh_vdpa_get_device_id(t->backend, &id) >= 0)
		t->device = id;
	else if (t->kind != KIND_USER && t->kind != KIND_VDPA)
		t->device = device_id(kind_names[t->kind] + strlen("vhost-"));
}

static void add_number(struct target *t, const char *key, uint64_t value)
{
	json_object_object_add(t->report, key, json_object_new_uint64(value));
}

static void add_text(struct target *t, const char *key, const char *text)
{
	json_object_object_add(t->report, key, json_object_new_string(text));
}

static const char *name_feature(const struct target *t, unsigned int bit)
{
	/* vhost-net has a bit of its own in place of ANY_LAYOUT. */
	if (t->kind == KIND_NET && bit == 27)
		return "VIRTIO_NET_HDR";
	return feature_name(t->device, bit);
}

static const char *name_protocol_feature(const struct target *t,
					 unsigned int bit)
{
	(void)t;
	return vh_protocol_feature_name(bit);
}

static const char *name_backend_feature(const struct target *t,
					unsigned int bit)
{
	(void)t;
	return backend_feature_name(bit);
}

static void add_bits(struct target *t, const char *key, uint64_t bits,
		     const char *(*name_of)(const struct target *t,
					    unsigned int bit))
{
	struct json_object *object = json_object_new_object();
	struct json_object *names = json_object_new_array();
	char text[32];

	snprintf(text, sizeof(text), "0x%" PRIx64, bits);
	json_object_object_add(object, "value", json_object_new_string(text));
	for (unsigned int bit = 0; bit < 64; bit++) {
		const char *name = name_of(t, bit);

		if (!(bits >> bit & 1))
			continue;
		snprintf(text, sizeof(text), "bit %u", bit);
		json_object_array_add(
		    names, json_object_new_string(name ? name : text));
	}
	json_object_object_add(object, "names", names);
	json_object_object_add(t->report, key, object);
}

/* What of it can be read: the longest beginning that isn't refused. */
static uint32_t read_config(struct target *t, uint8_t bytes[MOST_CONFIG])
{
	uint32_t least = 0, most = MOST_CONFIG, size = config_size(t->device);
	int r = vh_backend_get_config_size(t->backend, &most);

	if (most > MOST_CONFIG)
		most = MOST_CONFIG;
	if (r >= 0 || !size)
		size = most;
	while (most > least && r != -ENODEV) {
		r = vh_backend_get_config(t->backend, 0, bytes, size);
		if (r >= 0)
			least = size;
		else
			most = size - 1;
		size = least + (most - least + 1) / 2;
	}
	/* What was refused may have left something there. */
	if (least && vh_backend_get_config(t->backend, 0, bytes, least) < 0)
		return 0;
	return least;
}

static void add_config(struct target *t)
{
	struct json_object *config, *fields;
	char text[2 * MOST_CONFIG + 1];
	uint8_t bytes[MOST_CONFIG];
	uint32_t size;

	if (!(vh_backend_capabilities(t->backend) & VH_CAP_CONFIG))
		return;
	size = read_config(t, bytes);
	for (size_t i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	text[2 * (size_t)size] = '\0';
	config = json_object_new_object();
	json_object_object_add(config, "size", json_object_new_uint64(size));
	fields = config_fields(t->device, t->features, bytes, size);
	if (fields)
		json_object_object_add(config, "fields", fields);
	json_object_object_add(config, "bytes", json_object_new_string(text));
	json_object_object_add(t->report, "config", config);
}

static void add_protocol(struct target *t)
{
	struct vh_user_client_info info = {.size = sizeof(info)};

	if (vh_user_client_get_info(t->backend, &info) >= 0)
		add_bits(t, "protocol_features", info.protocol_offered,
			 name_protocol_feature);
}

static void add_vdpa(struct target *t)
{
	vh_gpa first, last;
	uint32_t number;
	char text[64];

	if (vh_vdpa_get_max_vring_num(t->backend, &number) >= 0)
		add_number(t, "queue_size", number);
	if (vh_vdpa_get_group_num(t->backend, &number) >= 0)
		add_number(t, "groups", number);
	if (vh_vdpa_get_as_num(t->backend, &number) >= 0)
		add_number(t, "address_spaces", number);
	if (vh_vdpa_get_iova_range(t->backend, &first, &last) < 0)
		return;
	snprintf(text, sizeof(text), "0x%" PRIx64 "-0x%" PRIx64, first, last);
	add_text(t, "iova_range", text);
}

static int ask(struct target *t, struct vh_fault *fault)
{
	const char *type = device_name(t->device);
	uint64_t bits;
	uint32_t number;
	int r = vh_backend_get_features(t->backend, &t->features);

	if (r < 0) {
		*fault = *vh_backend_fault(t->backend);
		return EXIT_RUNTIME;
	}
	add_text(t, "target", t->opts->target);
	add_text(t, "kind", kind_names[t->kind]);
	if (type)
		add_text(t, "type", type);
	else if (t->device)
		add_number(t, "type", t->device);
	add_bits(t, "features", t->features, name_feature);
	if (t->kind == KIND_USER)
		add_protocol(t);
	if (vh_backend_get_backend_features(t->backend, &bits) >= 0)
		add_bits(t, "backend_features", bits, name_backend_feature);
	if (vh_backend_get_queue_num(t->backend, &number) >= 0)
		add_number(t, "queues", number);
	if (t->kind == KIND_VDPA)
		add_vdpa(t);
	if (vh_backend_get_max_mem_slots(t->backend, &number) >= 0)
		add_number(t, "memory_slots", number);
	add_config(t);
	/* Who broke off somewhere on the way hasn't told everything. */
	if (vh_backend_get_features(t->backend, &bits) < 0) {
		*fault = *vh_backend_fault(t->backend);
		return EXIT_RUNTIME;
	}
	return EXIT_OK;
}

/* What may work another time, and what can't. */
static int status_of(int error)
{
	switch (error) {
	case -ENOMEM:
	case -EMFILE:
	case -EBUSY:
	case -EPROTO:
	case -ENODEV:
	case -ETIMEDOUT:
	case -ECONNREFUSED:
		return EXIT_RUNTIME;
	default:
		return EXIT_USAGE;
	}
}

int probe(const struct probe_opts *opts, struct vh_fault *fault,
	  struct json_object **ret_report)
{
	struct target t = {.opts = opts};
	int status = find_kind(&t, fault);
	int r;

	if (status != EXIT_OK)
		return status;
	r = t.kind == KIND_USER ? open_user(&t, fault) : open_kernel(&t, fault);
	if (r < 0)
		return status_of(r);
	find_device(&t);
	t.report = json_object_new_object();
	status = ask(&t, fault);
	vh_backend_free(t.backend);
	if (status == EXIT_OK)
		*ret_report = t.report;
	else
		json_object_put(t.report);
	return status;
}
