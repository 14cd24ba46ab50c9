/*
 * Runs programs of one object in the running kernel, for tests. Reads commands from stdin, one a line, and
 * prints one line for each `run`, `get`, `time` and `info`; hex throughout.
 *   load FILE                 run PROGRAM PACKET [REPEAT]     -> RETVAL PACKET NS
 *   set MAP KEY VALUE         get MAP KEY                      -> VALUE or -
 *   del MAP KEY               time                             -> CLOCK_MONOTONIC ns
 *   info                      -> NAME INSNS PROCESSED for each program, then a dot
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct bpf_object *object;
static char line[400000], a[200000], b[200000], c[200000];
static unsigned char in[100000], out[100000], key[1024];
static char logs[32][65536];

static size_t bytes(const char *hex, unsigned char *to)
{
	size_t n = 0;
	unsigned v;
	if (!strcmp(hex, "-"))
		return 0;
	for (; sscanf(hex, "%2x", &v) == 1; hex += 2)
		to[n++] = v;
	return n;
}
static void print(const unsigned char *p, size_t n)
{
	if (n == 0)
		putchar('-');
	for (size_t i = 0; i < n; i++)
		printf("%02x", p[i]);
}
static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}
static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}
static int map_fd(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(object, name);
	if (fd < 0)
		fail(name);
	return fd;
}
static size_t value_size(const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);
	size_t n = bpf_map__value_size(map);
	enum bpf_map_type type = bpf_map__type(map);
	if (type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH)
		n = ((n + 7) & ~7ul) * libbpf_num_possible_cpus();
	return n;
}

int main(void)
{
	libbpf_set_print(quiet);
	while (fgets(line, sizeof line, stdin)) {
		char word[16] = "";
		struct bpf_program *program;
		int n = sscanf(line, "%15s %199999s %199999s %199999s", word, a, b, c);

		if (!strcmp(word, "load")) {
			int i = 0;
			object = bpf_object__open_file(a, NULL);
			if (!object)
				fail(a);
			bpf_object__for_each_program(program, object) {
				bpf_program__set_log_buf(program, logs[i], sizeof logs[i]);
				bpf_program__set_log_level(program, 4);
				i++;
			}
			if (bpf_object__load(object)) {
				for (int j = 0; j < i; j++)
					fprintf(stderr, "%s\n", logs[j]);
				fail("load");
			}
		} else if (!strcmp(word, "info")) {
			int i = 0;
			bpf_object__for_each_program(program, object) {
				char *p = strstr(logs[i++], "processed ");
				printf("%s %zu %s\n", bpf_program__name(program), bpf_program__insn_cnt(program),
				       p ? strtok(p + 10, " ") : "?");
			}
			puts(".");
		} else if (!strcmp(word, "set")) {
			bytes(b, key);
			memset(in, 0, sizeof in);
			bytes(c, in);
			if (bpf_map_update_elem(map_fd(a), key, in, 0))
				fail(line);
		} else if (!strcmp(word, "del")) {
			bytes(b, key);
			bpf_map_delete_elem(map_fd(a), key);
		} else if (!strcmp(word, "get")) {
			bytes(b, key);
			if (bpf_map_lookup_elem(map_fd(a), key, out))
				puts("-");
			else {
				print(out, value_size(a));
				puts("");
			}
		} else if (!strcmp(word, "run")) {
			LIBBPF_OPTS(bpf_test_run_opts, opts);
			program = bpf_object__find_program_by_name(object, a);
			if (!program)
				fail(a);
			opts.data_in = in;
			opts.data_size_in = bytes(b, in);
			opts.data_out = out;
			opts.data_size_out = sizeof out;
			opts.repeat = n > 3 ? atoi(c) : 1;
			if (bpf_prog_test_run_opts(bpf_program__fd(program), &opts))
				fail("run");
			printf("%d ", (int)opts.retval);
			print(out, opts.data_size_out);
			printf(" %u\n", opts.duration);
		} else if (!strcmp(word, "time")) {
			struct timespec t;
			clock_gettime(CLOCK_MONOTONIC, &t);
			printf("%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
		}
		fflush(stdout);
	}
	return 0;
}
