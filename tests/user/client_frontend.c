/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A whole front-end before a back-end that knows its lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "scripted.h"

#include <bytes.h>
#include <cmocka.h>
#include <errno.h>
#include <libvhost/frontend.h>

/*
 * A front-end replaces the only region: the back-end is never without memory,
 * which not all survive.
 */
static void test_user_client_frontend_replaces_a_table(void **state)
{
	VH_OPTS(vh_frontend_opts, opts);
	struct vh_region regions[2];
	struct vh_frontend *f;
	struct script script;
	struct vh_backend *b;
	int fd = memory_file();

	(void)state;
	script_init(&script);
	script.protocol_features &= ~FE_PF_MEM_SLOTS;
	assert_int_equal(script_connect(&script, NULL, NULL, &b), 0);
	assert_int_equal(vh_backend_capabilities(b) & VH_CAP_REGIONS, 0);
	opts.num_queues = 1;
	assert_int_equal(vh_frontend_new(b, &opts, NULL, &f), 0);
	for (unsigned int i = 0; i < 2; i++) {
		regions[i] = memory_region(fd, i);
		assert_int_equal(vh_frontend_set_memory(f, &regions[i], 1), 0);
	}
	assert_int_equal(script_times(&script, FE_SET_MEM_TABLE), 2);
	for (unsigned int i = 0, table = 0; i < script.count; i++) {
		const struct script_entry *entry = &script.log[i];

		if (entry->id != FE_SET_MEM_TABLE)
			continue;
		assert_int_equal(get32(entry->payload), 1);
		assert_int_equal(get64(entry->payload + 8),
				 regions[table++].guest);
	}
	vh_frontend_free(f);
	vh_backend_free(b);
	script_end(&script);
	close(fd);
}

/* Those of network devices may say how many pairs of queues they have. */
static void test_user_client_frontend_counts_pairs(void **state)
{
	VH_OPTS(vh_frontend_opts, opts);
	struct vh_frontend *f;
	struct script script;
	struct vh_backend *b;

	(void)state;
	script_init(&script);
	script.queues = 2;
	assert_int_equal(script_connect(&script, NULL, NULL, &b), 0);
	opts.num_queues = 4;
	assert_int_equal(vh_frontend_new(b, &opts, NULL, &f), -ERANGE);
	opts.pairs = true;
	assert_int_equal(vh_frontend_new(b, &opts, NULL, &f), 0);
	vh_frontend_free(f);
	opts.num_queues = 5;
	assert_int_equal(vh_frontend_new(b, &opts, NULL, &f), -ERANGE);
	vh_backend_free(b);
	script_end(&script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_user_client_frontend_replaces_a_table),
	    cmocka_unit_test(test_user_client_frontend_counts_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
