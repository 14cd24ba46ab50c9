#!/bin/sh
# Builds every *.bpf.c of this folder to its *.bpf.o, or only those named, into $OUT (default: here).
# The objects are committed: only who changes a program needs clang. No path of this machine gets into them.
set -eu
cd "$(dirname "$0")"
out=${OUT:-.}
[ $# -gt 0 ] || set -- *.bpf.c
for source in "$@"; do
  object=$out/$(basename "$source" .c).o
  ${CLANG:-clang} -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter \
    -idirafter "/usr/include/$(uname -m)-linux-gnu" -fdebug-compilation-dir=. -ffile-prefix-map="$PWD=." \
    -c "$source" -o "$object"
  ${LLVM_STRIP:-llvm-strip} -g "$object" # DWARF out; BTF, which carries types and line numbers, stays
  echo "$object"
done
