#!/bin/sh
# Builds every *.bpf.c of this folder to its *.bpf.o, or only those named, into $OUT (default: here); each once for
# every hot-tier policy (hot_map.h): NAME.bpf.o is direct-mapped, NAME_set.bpf.o and NAME_lru.bpf.o are the others.
# The objects are committed: only who changes a program needs clang. No path of this machine gets into them.
set -eu
cd "$(dirname "$0")"
out=${OUT:-.}
[ $# -gt 0 ] || set -- *.bpf.c
for source in "$@"; do
  for policy in : _set:-DHOT_WAYS=4 _lru:-DHOT_LRU; do
    object=$out/$(basename "$source" .bpf.c)${policy%%:*}.bpf.o
    # shellcheck disable=SC2086 # no policy, no flag
    ${CLANG:-clang} -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter ${policy#*:} \
      -idirafter "/usr/include/$(uname -m)-linux-gnu" -fdebug-compilation-dir=. -ffile-prefix-map="$PWD=." \
      -c "$source" -o "$object"
    ${LLVM_STRIP:-llvm-strip} -g "$object" # DWARF out; BTF, which carries types and line numbers, stays
    echo "$object"
  done
done
