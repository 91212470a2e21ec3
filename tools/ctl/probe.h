/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* vhostctl probe: asks a back-end what it is, and changes nothing. */
#ifndef TOOLS_CTL_PROBE_H
#define TOOLS_CTL_PROBE_H

#include <json-c/json.h>
#include <libvhost/base.h>

struct probe_opts {
	const char *target;
	uint32_t device;     /* what the user says; DEVICE_UNKNOWN */
	uint32_t timeout_ms; /* for each answer */
};

/* All that it says. Returns an exit status; *fault has words if not EXIT_OK. */
int probe(const struct probe_opts *opts, struct vh_fault *fault,
	  struct json_object **ret_report);

/* For people. */
void probe_print(struct json_object *report);

#endif
