/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Runs a fuzz target without libFuzzer: on each file of the corpus folder
 * that is given, and on mutations of it that are the same in every run.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUTATIONS 300
#define INPUT_MAX (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Targets may have one; libFuzzer calls it before all else. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

struct input {
	uint8_t bytes[INPUT_MAX];
	size_t size;
};

struct random {
	uint64_t state;
};

/* xorshift64* */
static uint64_t random_next(struct random *random)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return random->state * UINT64_C(2685821657736338717);
}

static size_t random_below(struct random *random, size_t limit)
{
	return limit ? (size_t)(random_next(random) >> 16) % limit : 0;
}

static void change_bytes(struct input *input, struct random *random)
{
	static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	size_t at = random_below(random, input->size);
	size_t count = 1 + random_below(random, 8);

	for (; count && at < input->size; count--, at++)
		input->bytes[at] = edges[random_below(random, sizeof(edges))];
}

static void insert_bytes(struct input *input, struct random *random)
{
	size_t at = random_below(random, input->size + 1);
	size_t count = 1 + random_below(random, 64);
	size_t i;

	if (input->size + count > sizeof(input->bytes))
		return;
	memmove(input->bytes + at + count, input->bytes + at, input->size - at);
	for (i = 0; i < count; i++)
		input->bytes[at + i] = (uint8_t)random_next(random);
	input->size += count;
}

static void remove_bytes(struct input *input, struct random *random)
{
	size_t at = random_below(random, input->size);
	size_t count = random_below(random, input->size - at + 1);

	memmove(input->bytes + at, input->bytes + at + count,
		input->size - at - count);
	input->size -= count;
}

static void copy_bytes(struct input *input, struct random *random)
{
	size_t from = random_below(random, input->size);
	size_t to = random_below(random, input->size);
	size_t count = random_below(random, 65);
	size_t room = input->size - (from > to ? from : to);

	memmove(input->bytes + to, input->bytes + from,
		count < room ? count : room);
}

static void mutate(struct input *input, struct random *random)
{
	size_t steps = 1 + random_below(random, 4);

	for (; steps; steps--) {
		switch (random_below(random, 5)) {
		case 0:
		case 1:
			change_bytes(input, random);
			break;
		case 2:
			insert_bytes(input, random);
			break;
		case 3:
			remove_bytes(input, random);
			break;
		default:
			copy_bytes(input, random);
		}
	}
}

/* A copy of exactly the input's size lets ASan see an overread. */
static int run(const struct input *input)
{
	uint8_t *data = malloc(input->size ? input->size : 1);

	if (!data)
		return -1;
	memcpy(data, input->bytes, input->size);
	(void)LLVMFuzzerTestOneInput(data, input->size);
	free(data);
	return 0;
}

static int load(int folder, const char *name, struct input *input)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t size;

	if (fd < 0)
		return -1;
	size = read(fd, input->bytes, sizeof(input->bytes));
	close(fd);
	if (size < 0)
		return -1;
	input->size = (size_t)size;
	return 0;
}

/* Seeded from the bytes alone, so that other files don't change the run. */
static struct random random_for(const struct input *input)
{
	struct random random = {UINT64_C(0x9e3779b97f4a7c15)};
	size_t i;

	for (i = 0; i < input->size; i++)
		random.state =
		    (random.state ^ input->bytes[i]) * UINT64_C(0x100000001b3);
	random.state |= 1;
	return random;
}

static int replay(const struct input *seed)
{
	static struct input mutant;
	struct random random = random_for(seed);
	int i;

	if (run(seed))
		return -1;
	for (i = 0; i < MUTATIONS; i++) {
		mutant = *seed;
		mutate(&mutant, &random);
		if (run(&mutant))
			return -1;
	}
	return 0;
}

static int replay_folder(const char *path)
{
	static struct input seed;
	DIR *folder = opendir(path);
	struct dirent *entry;
	int files = 0;

	if (!folder) {
		perror(path);
		return -1;
	}
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		if (load(dirfd(folder), entry->d_name, &seed) ||
		    replay(&seed)) {
			perror(entry->d_name);
			closedir(folder);
			return -1;
		}
		files++;
	}
	closedir(folder);
	return files;
}

int main(int argc, char **argv)
{
	int files;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	files = replay_folder(argv[1]);
	if (files <= 0) {
		fprintf(stderr, "%s: no input was run\n", argv[1]);
		return 1;
	}
	printf("%d files and %d mutations of each\n", files, MUTATIONS);
	return 0;
}
