// Loads each program of an object by itself through libbpf: a line of JSON a program, with the end of the log.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

enum { LOG_BYTES = 1 << 24, SHOWN_BYTES = 600, MAX_PROGRAMS = 4096 };

static int silent(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return 0;
}

static void print_escaped(const char *text)
{
	for (; *text; text++) {
		unsigned char c = *text;
		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c == '\n')
			printf("\\n");
		else
			putchar(c < 32 || c > 126 ? '?' : c);
	}
}

static void load_only(const char *path, const char *name, char *log)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *program;
	const char *section = "";
	if (!object)
		return;
	log[0] = 0;
	bpf_object__for_each_program(program, object) {
		int is_this = !strcmp(bpf_program__name(program), name);
		bpf_program__set_autoload(program, is_this);
		if (!is_this)
			continue;
		section = bpf_program__section_name(program);
		bpf_program__set_log_buf(program, log, LOG_BYTES);
	}
	int error = bpf_object__load(object);
	size_t length = strlen(log);
	printf("{\"program\":\"%s\",\"section\":\"%s\",\"error\":%d,\"log\":\"", name, section, error);
	print_escaped(length > SHOWN_BYTES ? log + length - SHOWN_BYTES : log);
	printf("\"}\n");
	bpf_object__close(object);
}

int main(int argc, char **argv)
{
	static char names[MAX_PROGRAMS][128];
	struct bpf_program *program;
	int count = 0;
	char *log = malloc(LOG_BYTES);
	libbpf_set_print(silent);
	struct bpf_object *object = argc == 2 && log ? bpf_object__open(argv[1]) : NULL;
	if (!object)
		return 1;
	bpf_object__for_each_program(program, object)
		if (count < MAX_PROGRAMS)
			snprintf(names[count++], sizeof names[0], "%s", bpf_program__name(program));
	bpf_object__close(object);
	for (int i = 0; i < count; i++)
		load_only(argv[1], names[i], log);
	return 0;
}
