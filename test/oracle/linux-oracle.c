// Asks the running Linux kernel what a program does: loads bytecode with bpf(), runs it under
// BPF_PROG_TEST_RUN and prints the result. Built and driven by linux-oracle.ts; needs CAP_BPF.
//
// Input, line by line; hex without spaces; an answer a `go`, ended by a line `done`:
//   map TYPE KEY VALUE MAX FLAGS     the next map, by number
//   inner                            the map made last has no number: it is the pattern of the next map's maps
//   set MAP KEYHEX VALUEHEX FLAGS    prints `set RESULT` (0 or -errno)
//   del MAP KEYHEX                   prints `del RESULT`
//   get MAP KEYHEX                   prints `get RESULT VALUEHEX`
//   prog TYPE BYTECODEHEX            wide loads of a map hold its number
//   tail MAP INDEX                   puts the program last loaded into a program array
//   lockmap TYPE KEY VALUE MAX OFFSET  a map whose value has a bpf_spin_lock at OFFSET
//   freeze MAP
//   btf BTFHEX FUNCINFOHEX           type information of the programs loaded after it, function records of 8 bytes
//   verify LEVEL TYPE ATTACH BYTECODEHEX  prints `verified RESULT NS` and the verifier's log, `| ` before each line
//   run REPEAT DATAHEX CTXHEX        prints `run RETVAL NS DATAHEX CTXHEX` ('-' for an empty field)
//   go
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_MAPS = 64, MAX_LINE = 1 << 20, MAX_DATA = 1 << 17, MAX_PROGS = 64 };

static char line[MAX_LINE];
static int maps[MAX_MAPS];
static __u32 value_bytes[MAX_MAPS];
static int map_types[MAX_MAPS];
static int map_count;
static int inner_fd = -1;
static int progs[MAX_PROGS];
static int prog_count;
static char log_text[1 << 20];
static int own_cpu;
static int prog_btf = -1;
static unsigned char func_info[1 << 16];
static __u32 func_count;

static long bpf(int cmd, union bpf_attr *attr) { return syscall(__NR_bpf, cmd, attr, sizeof(*attr)); }

static __u32 unhex(const char *text, unsigned char *out)
{
	__u32 n = 0;
	if (!text || text[0] == '-') return 0;
	for (; text[0] && text[1]; text += 2) {
		char two[3] = { text[0], text[1], 0 };
		out[n++] = strtoul(two, NULL, 16);
	}
	return n;
}

static void puthex(const unsigned char *bytes, __u32 n)
{
	if (!n) putchar('-');
	for (__u32 i = 0; i < n; i++) printf("%02x", bytes[i]);
}

static void end_of_block(void)
{
	for (int i = 0; i < map_count; i++) if (maps[i] >= 0) close(maps[i]);
	for (int i = 0; i < prog_count; i++) if (progs[i] >= 0) close(progs[i]);
	map_count = prog_count = 0;
	if (inner_fd >= 0) close(inner_fd);
	inner_fd = -1;
	if (prog_btf >= 0) close(prog_btf);
	prog_btf = -1;
	func_count = 0;
	puts("done");
	fflush(stdout);
}

static void load(int type, char *hex)
{
	static unsigned char code[MAX_DATA];
	__u32 bytes = unhex(hex, code);
	struct bpf_insn *insns = (struct bpf_insn *)code;
	for (__u32 i = 0; i < bytes / 8; i++) {
		if (insns[i].code != 0x18) continue;
		if (insns[i].src_reg == BPF_PSEUDO_MAP_FD || insns[i].src_reg == BPF_PSEUDO_MAP_VALUE) insns[i].imm = maps[insns[i].imm];
		i++;
	}
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.insns = (__u64)(unsigned long)code;
	attr.insn_cnt = bytes / 8;
	attr.license = (__u64)(unsigned long)"GPL";
	attr.log_buf = (__u64)(unsigned long)log_text;
	attr.log_size = sizeof(log_text);
	attr.log_level = 1;
	log_text[0] = 0;
	int fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0) {
		int error = errno;
		size_t n = strlen(log_text);
		// The last two lines say why.
		char *from = log_text + n;
		for (int lines = 0; from > log_text && lines < 4; from--) if (from[-1] == '\n') lines++;
		for (char *p = from; *p; p++) if (*p == '\n') *p = '|';
		printf("load %d %s\n", -error, from);
	}
	progs[prog_count++] = fd;
}

/* CPU time: the kernel verifies in the thread that asks, and what others do meanwhile is not its cost. */
static long long cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static __u32 patch_maps(char *hex, unsigned char *code)
{
	__u32 bytes = unhex(hex, code);
	struct bpf_insn *insns = (struct bpf_insn *)code;
	for (__u32 i = 0; i < bytes / 8; i++) {
		if (insns[i].code != 0x18) continue;
		if ((insns[i].src_reg == BPF_PSEUDO_MAP_FD || insns[i].src_reg == BPF_PSEUDO_MAP_VALUE) &&
		    insns[i].imm >= 0 && insns[i].imm < map_count)
			insns[i].imm = maps[insns[i].imm];
		i++;
	}
	return bytes;
}

static void load_btf(char *btf_hex, char *info_hex)
{
	static unsigned char blob[1 << 18];
	static char why[1 << 16];
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.btf = (__u64)(unsigned long)blob;
	attr.btf_size = unhex(btf_hex, blob);
	attr.btf_log_buf = (__u64)(unsigned long)why;
	attr.btf_log_size = sizeof(why);
	attr.btf_log_level = 1;
	prog_btf = bpf(BPF_BTF_LOAD, &attr);
	if (prog_btf < 0) {
		for (char *p = why; *p; p++) if (*p == '\n') *p = '|';
		printf("btf %d %s\n", -errno, why);
	}
	func_count = unhex(info_hex, func_info) / 8;
}

static void verify(int level, int type, int attach, char *hex)
{
	static unsigned char code[MAX_LINE];
	static char *big_log;
	enum { LOG = 1 << 26 };
	if (!big_log) big_log = malloc(LOG);
	__u32 bytes = patch_maps(hex, code);
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.expected_attach_type = attach;
	attr.insns = (__u64)(unsigned long)code;
	attr.insn_cnt = bytes / 8;
	attr.license = (__u64)(unsigned long)"GPL";
	if (prog_btf >= 0) {
		attr.prog_btf_fd = prog_btf;
		attr.func_info = (__u64)(unsigned long)func_info;
		attr.func_info_cnt = func_count;
		attr.func_info_rec_size = 8;
	}
	if (level) {
		attr.log_buf = (__u64)(unsigned long)big_log;
		attr.log_size = LOG;
		attr.log_level = level;
		big_log[0] = 0;
	}
	long long start = cpu_ns();
	int fd = bpf(BPF_PROG_LOAD, &attr);
	long long took = cpu_ns() - start;
	printf("verified %d %lld\n", fd < 0 ? -errno : 0, took);
	if (level)
		for (char *p = strtok(big_log, "\n"); p; p = strtok(NULL, "\n")) printf("| %s\n", p);
	if (prog_count < MAX_PROGS) progs[prog_count++] = fd;
}

/* BTF of `struct value { struct bpf_spin_lock lock at OFFSET; }`, as a map with a lock needs it. */
static int lock_btf(__u32 key_bytes, __u32 value_bytes_, __u32 offset)
{
	static const char names[] = "\0int\0bpf_spin_lock\0val\0value\0lock\0key";
	enum { N_INT = 1, N_LOCK = 5, N_VAL = 19, N_VALUE = 23, N_MEMBER = 29, N_KEY = 34 };
	__u32 types[] = {
		N_INT, BTF_KIND_INT << 24, 4, 32,                                  /* 1: int */
		N_LOCK, (BTF_KIND_STRUCT << 24) | 1, 4, N_VAL, 1, 0,               /* 2: struct bpf_spin_lock */
		N_VALUE, (BTF_KIND_STRUCT << 24) | 1, value_bytes_, N_MEMBER, 2, offset * 8, /* 3 */
		N_KEY, BTF_KIND_STRUCT << 24, key_bytes,                           /* 4 */
	};
	static unsigned char blob[1024];
	struct btf_header *h = (void *)blob;
	memset(h, 0, sizeof(*h));
	h->magic = 0xeB9F;
	h->version = 1;
	h->hdr_len = sizeof(*h);
	h->type_len = sizeof(types);
	h->str_off = sizeof(types);
	h->str_len = sizeof(names);
	memcpy(blob + sizeof(*h), types, sizeof(types));
	memcpy(blob + sizeof(*h) + sizeof(types), names, sizeof(names));
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.btf = (__u64)(unsigned long)blob;
	attr.btf_size = sizeof(*h) + sizeof(types) + sizeof(names);
	return bpf(BPF_BTF_LOAD, &attr);
}

static void lock_map(char **word)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.map_type = atoi(word[1]);
	attr.key_size = strtoul(word[2], NULL, 10);
	attr.value_size = strtoul(word[3], NULL, 10);
	attr.max_entries = strtoul(word[4], NULL, 10);
	int btf = lock_btf(attr.key_size, attr.value_size, strtoul(word[5], NULL, 10));
	attr.btf_fd = btf;
	attr.btf_key_type_id = attr.map_type == BPF_MAP_TYPE_ARRAY ? 1 : 4;
	attr.btf_value_type_id = 3;
	int fd = btf < 0 ? -1 : bpf(BPF_MAP_CREATE, &attr);
	printf("map %d\n", fd < 0 ? -errno : 0);
	if (btf >= 0) close(btf);
	value_bytes[map_count] = attr.value_size;
	map_types[map_count] = attr.map_type;
	maps[map_count++] = fd;
}

static void run(int repeat, char *data_hex, char *ctx_hex)
{
	static unsigned char in[MAX_DATA], out[MAX_DATA], ctx_in[512], ctx_out[512];
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = progs[0];
	attr.test.repeat = repeat;
	attr.test.data_in = (__u64)(unsigned long)in;
	attr.test.data_size_in = unhex(data_hex, in);
	attr.test.data_out = (__u64)(unsigned long)out;
	attr.test.data_size_out = sizeof(out);
	__u32 ctx = unhex(ctx_hex, ctx_in);
	if (ctx) {
		attr.test.ctx_in = (__u64)(unsigned long)ctx_in;
		attr.test.ctx_size_in = ctx;
		attr.test.ctx_out = (__u64)(unsigned long)ctx_out;
		attr.test.ctx_size_out = sizeof(ctx_out);
	}
	if (bpf(BPF_PROG_TEST_RUN, &attr) < 0) {
		printf("norun %d\n", -errno);
		return;
	}
	printf("run %u %u ", attr.test.retval, attr.test.duration);
	puthex(out, attr.test.data_size_out);
	putchar(' ');
	puthex(ctx_out, ctx ? attr.test.ctx_size_out : 0);
	putchar('\n');
}

static int is_percpu(int map)
{
	return map_types[map] == BPF_MAP_TYPE_PERCPU_ARRAY || map_types[map] == BPF_MAP_TYPE_PERCPU_HASH;
}

static __u32 stride_of(int map) { return (value_bytes[map] + 7) / 8 * 8; }

/* Every CPU's copy holds what one was given. */
static void spread(unsigned char *value, int map)
{
	__u32 stride = stride_of(map);
	for (__u32 cpu = 1; cpu < 64 && (cpu + 1) * stride <= MAX_DATA; cpu++)
		memcpy(value + cpu * stride, value, value_bytes[map]);
}

static long element(int cmd, int map, char *key_hex, char *value_hex, __u64 flags, unsigned char *out)
{
	static unsigned char key[1024], value[MAX_DATA];
	unhex(key_hex, key);
	if (value_hex) unhex(value_hex, value);
	if (value_hex && is_percpu(map)) spread(value, map);
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = maps[map];
	attr.key = (__u64)(unsigned long)key;
	if (value_hex || out) attr.value = (__u64)(unsigned long)(out ? out : value);
	attr.flags = flags;
	return bpf(cmd, &attr) < 0 ? -errno : 0;
}

static const char SWITCH[] = "/proc/sys/kernel/unprivileged_bpf_disabled";

static int set_switch(char value)
{
	int fd = open(SWITCH, O_RDWR);
	char old = 0;
	if (fd < 0 || read(fd, &old, 1) != 1 || pwrite(fd, &value, 1, 0) != 1) return -1;
	close(fd);
	return old;
}

/*
 * Goes on as nobody, with unprivileged bpf() allowed. A guard in a session of its own puts the setting back as
 * soon as this process is gone, whichever way it goes.
 */
static void become_nobody(void)
{
	int alive[2];
	if (pipe(alive) < 0) exit(3);
	int old = set_switch('0');
	if (old < 0) {
		perror(SWITCH);
		exit(3);
	}
	if (fork() == 0) {
		setsid();
		for (int signal_ = 1; signal_ < 32; signal_++) signal(signal_, SIG_IGN);
		close(alive[1]);
		char byte;
		while (read(alive[0], &byte, 1) > 0) continue;
		set_switch(old);
		_exit(0);
	}
	close(alive[0]);
	if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)) exit(3);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "unprivileged")) become_nobody();
	static unsigned char value[MAX_DATA];
	// Stays on one CPU: a per-CPU element read after a run is the one the run wrote.
	own_cpu = sched_getcpu();
	cpu_set_t own;
	CPU_ZERO(&own);
	CPU_SET(own_cpu, &own);
	sched_setaffinity(0, sizeof(own), &own);
	while (fgets(line, sizeof(line), stdin)) {
		char *word[8] = { 0 };
		int words = 0;
		for (char *t = strtok(line, " \n"); t && words < 8; t = strtok(NULL, " \n")) word[words++] = t;
		if (!words) continue;
		if (!strcmp(word[0], "go")) end_of_block();
		else if (!strcmp(word[0], "map")) {
			union bpf_attr attr;
			memset(&attr, 0, sizeof(attr));
			attr.map_type = atoi(word[1]);
			attr.key_size = strtoul(word[2], NULL, 10);
			attr.value_size = strtoul(word[3], NULL, 10);
			attr.max_entries = strtoul(word[4], NULL, 10);
			attr.map_flags = strtoul(word[5], NULL, 10);
			if (inner_fd >= 0) attr.inner_map_fd = inner_fd;
			int fd = bpf(BPF_MAP_CREATE, &attr);
			if (inner_fd >= 0) close(inner_fd);
			inner_fd = -1;
			printf("map %d\n", fd < 0 ? -errno : 0);
			value_bytes[map_count] = attr.value_size;
			map_types[map_count] = attr.map_type;
			maps[map_count++] = fd;
		} else if (!strcmp(word[0], "inner")) inner_fd = maps[--map_count];
		else if (!strcmp(word[0], "set"))
			printf("set %ld\n", element(BPF_MAP_UPDATE_ELEM, atoi(word[1]), word[2], word[3], strtoull(word[4], NULL, 10), NULL));
		else if (!strcmp(word[0], "del"))
			printf("del %ld\n", element(BPF_MAP_DELETE_ELEM, atoi(word[1]), word[2], NULL, 0, NULL));
		else if (!strcmp(word[0], "get")) {
			long result = element(BPF_MAP_LOOKUP_ELEM, atoi(word[1]), word[2], NULL, 0, value);
			printf("get %ld ", result);
			int map = atoi(word[1]);
			puthex(value + (is_percpu(map) ? own_cpu * stride_of(map) : 0), result ? 0 : value_bytes[map]);
			putchar('\n');
		} else if (!strcmp(word[0], "lockmap")) lock_map(word);
		else if (!strcmp(word[0], "freeze")) {
			union bpf_attr attr;
			memset(&attr, 0, sizeof(attr));
			attr.map_fd = maps[atoi(word[1])];
			bpf(BPF_MAP_FREEZE, &attr);
		} else if (!strcmp(word[0], "btf")) load_btf(word[1], word[2]);
		else if (!strcmp(word[0], "verify")) verify(atoi(word[1]), atoi(word[2]), atoi(word[3]), word[4]);
		else if (!strcmp(word[0], "prog")) load(atoi(word[1]), word[2]);
		else if (!strcmp(word[0], "tail")) {
			int index = atoi(word[2]), fd = progs[prog_count - 1];
			union bpf_attr attr;
			memset(&attr, 0, sizeof(attr));
			attr.map_fd = maps[atoi(word[1])];
			attr.key = (__u64)(unsigned long)&index;
			attr.value = (__u64)(unsigned long)&fd;
			printf("set %d\n", bpf(BPF_MAP_UPDATE_ELEM, &attr) < 0 ? -errno : 0);
		} else if (!strcmp(word[0], "run")) run(atoi(word[1]), word[2], word[3]);
	}
	return 0;
}
