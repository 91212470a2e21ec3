/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The same report as text: a line for each fact, names in as many as needed. */
#include "ctl/probe.h"
#include <stdio.h>
#include <string.h>

#define WIDTH  78
#define COLUMN 20 /* where values begin */

static void print_names(struct json_object *names, int indent)
{
	size_t count = json_object_array_length(names);
	int at = 0;

	for (size_t i = 0; i < count; i++) {
		const char *name =
		    json_object_get_string(json_object_array_get_idx(names, i));

		if (at && at + 1 + (int)strlen(name) > WIDTH) {
			putchar('\n');
			at = 0;
		}
		at += at ? printf(" %s", name)
			 : printf("%*s%s", indent, "", name);
	}
	if (at)
		putchar('\n');
}

/* In words of 8 bytes, four a line. */
static void print_bytes(const char *hex, int indent)
{
	for (size_t i = 0; hex[i]; i++) {
		if (i % 64 == 0)
			printf("%s%*s", i ? "\n" : "", indent, "");
		else if (i % 16 == 0)
			putchar(' ');
		putchar(hex[i]);
	}
	if (*hex)
		putchar('\n');
}

static void print_key(const char *key, int indent)
{
	int width = COLUMN - indent;
	int at = printf("%*s", indent, "");

	for (; *key; key++, at++)
		putchar(*key == '_' ? ' ' : *key);
	printf("%*s", at < indent + width ? indent + width - at : 1, "");
}

static void print_fields(struct json_object *fields, int indent)
{
	json_object_object_foreach(fields, key, value)
	{
		/* These are the field's names in the specification. */
		printf("%*s%-32s %s\n", indent, "", key,
		       json_object_get_string(value));
	}
}

static void print_part(const char *key, struct json_object *part)
{
	struct json_object *value, *fields;

	print_key(key, 0);
	if (json_object_object_get_ex(part, "names", &fields)) {
		json_object_object_get_ex(part, "value", &value);
		printf("%s\n", json_object_get_string(value));
		print_names(fields, 2);
		return;
	}
	json_object_object_get_ex(part, "size", &value);
	printf("%s bytes\n", json_object_get_string(value));
	if (json_object_object_get_ex(part, "fields", &fields))
		print_fields(fields, 2);
	else if (json_object_object_get_ex(part, "bytes", &value))
		print_bytes(json_object_get_string(value), 2);
}

void probe_print(struct json_object *report)
{
	json_object_object_foreach(report, key, value)
	{
		if (json_object_is_type(value, json_type_object)) {
			print_part(key, value);
			continue;
		}
		print_key(key, 0);
		printf("%s\n", json_object_get_string(value));
	}
}
