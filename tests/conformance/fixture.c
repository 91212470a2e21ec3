/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "fixture.h"

#include <stdlib.h>

#define UNIT 8192

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->before = resources_now();
	f->server.place.file = -1;
	*state = f;
	return 0;
}

static void free_blks(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < FIXTURE_BLKS; i++)
		blk_free(&f->blk[i]);
}

void fixture_close(struct fixture *f)
{
	free_blks(f);
	session_free(&f->session);
	server_stop(&f->server);
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	int ret;

	fixture_close(f);
	ret = resources_wait(&f->before);
	free(f);
	return ret;
}

void start_server(struct fixture *f, const struct server_opts *opts, bool echo)
{
	if (echo)
		must(server_start_echo(&f->server, opts));
	else
		must(server_start_blk(&f->server, opts));
}

void start_blk(struct fixture *f, unsigned int queues)
{
	struct server_opts opts = {.num_queues = queues, .serial = "conform"};

	opts.workers = queues > 1 ? 2 : 1;
	start_server(f, &opts, false);
}

void start_echo(struct fixture *f, unsigned int queues)
{
	struct server_opts opts = {.num_queues = queues};

	opts.workers = queues > 1 ? 2 : 1;
	start_server(f, &opts, true);
}

void new_session(struct fixture *f, const struct session_opts *opts)
{
	session_free(&f->session);
	memset(f->echo_area, 0, sizeof(f->echo_area));
	must(session_new(&f->session, opts));
}

void connect_session(struct fixture *f)
{
	must(session_connect(&f->session, f->server.place.socket));
}

void start_session(struct fixture *f)
{
	connect_session(f);
	must(session_start(&f->session));
}

void make_blks(struct fixture *f, uint32_t data_size)
{
	unsigned int i;

	free_blks(f);
	for (i = 0; i < f->session.opts.num_queues; i++)
		must(blk_new(&f->blk[i], &f->session, i, 4, data_size));
}

void open_blk(struct fixture *f, unsigned int queues)
{
	struct session_opts opts = {.num_queues = queues};

	start_blk(f, queues);
	new_session(f, &opts);
	start_session(f);
	make_blks(f, UNIT);
}

void open_echo(struct fixture *f, unsigned int queues)
{
	struct session_opts opts = {.num_queues = queues};

	start_echo(f, queues);
	new_session(f, &opts);
	start_session(f);
}

void must_do_io(struct fixture *f, unsigned int queue, unsigned int place)
{
	struct blk *blk = &f->blk[queue];
	uint64_t sector = (uint64_t)place * UNIT / BLK_SECTOR;
	uint8_t out[UNIT], in[UNIT];

	blk_pattern(out, UNIT, ((uint64_t)place << 32) + blk->headers);
	must(blk_write(blk, sector, out, UNIT));
	memset(in, 0, UNIT);
	must(blk_read(blk, sector, in, UNIT));
	assert_memory_equal(in, out, UNIT);
	must(blk_flush(blk));
	memset(in, 0, UNIT);
	assert_int_equal(
	    pread(f->server.place.file, in, UNIT, (off_t)(sector * BLK_SECTOR)),
	    UNIT);
	assert_memory_equal(in, out, UNIT);
}

void must_echo(struct fixture *f, unsigned int queue, uint32_t size)
{
	struct session *session = &f->session;
	uint64_t *area = &f->echo_area[queue];
	struct driver_buffer buffers[2] = {{.length = size},
					   {.length = size, .write = true}};
	struct driver_used used;
	uint8_t *from;

	if (!*area)
		*area = guest_alloc(&session->guest, 2 * ECHO_MAX, 64);
	from = guest_at(&session->guest, *area, 2 * ECHO_MAX);
	assert_true(from && size <= ECHO_MAX);
	buffers[0].gpa = *area;
	buffers[1].gpa = *area + ECHO_MAX;
	blk_pattern(from, size, *area + size);
	memset(from + ECHO_MAX, 0, size);
	assert_true(session_submit(session, queue, buffers, 2, false) >= 0);
	must(session_wait(session, queue, &used));
	assert_int_equal(used.length, size);
	assert_memory_equal(from, from + ECHO_MAX, size);
}

void must_live(struct fixture *f)
{
	unsigned int i;

	must(fe_sync(&f->session.fe));
	for (i = 0; i < f->session.opts.num_queues; i++) {
		if (f->server.echo)
			must_echo(f, i, 1000);
		else
			must_do_io(f, i, 100 + i);
	}
}

void must_serve_another(struct fixture *f)
{
	struct session_opts opts = {.num_queues = 1};

	new_session(f, &opts);
	start_session(f);
	if (!f->server.echo)
		make_blks(f, UNIT);
	must_live(f);
}
