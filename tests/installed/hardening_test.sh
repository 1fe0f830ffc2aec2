#!/bin/bash
# The optimised programs are built so that damage in memory is hard to use, and
# need no other libraries than is said of them:
#   hardening_test.sh PROGRAM...
set -euo pipefail

fail() {
  echo "$program: $1"
  exit 1
}

# The libraries that a program may ask for, as a regular expression.
libraries_of() {
  case "${1##*/}" in
    qcow2-fsck) echo 'lib[cm]\.so\.6|ld-linux.*' ;;
    qcow2-fsck-static | qcow2-tool) echo 'none' ;;
    # Those of Debian, which it depends on as a package.
    *.so) echo 'lib(absl_.*|crypto|z|zstd|stdc\+\+|gcc_s|c|m)\.so\..*|ld-linux.*' ;;
  esac
}

(($# > 0)) || exit 1
for program; do
  headers="$(readelf --wide --file-header --program-headers --dynamic "$program")"
  grep -q 'Type: *DYN' <<<"$headers" || fail "is not position-independent"
  grep -q GNU_RELRO <<<"$headers" || fail "has no RELRO"
  grep -q 'FLAGS.*BIND_NOW' <<<"$headers" || fail "binds lazily"
  grep -q 'GNU_STACK.* RW ' <<<"$headers" || fail "has an executable stack"
  ! grep -qE 'LOAD.* RWE ' <<<"$headers" || fail "has code that can be written"
  ! grep -q TEXTREL <<<"$headers" || fail "has relocations in its code"
  ! grep -qE 'RPATH|RUNPATH' <<<"$headers" || fail "looks for libraries elsewhere"
  others="$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$headers" |
    grep -vxE "$(libraries_of "$program")" || true)"
  [[ -z "$others" ]] || fail "needs $others"
  # What says so is gone from a program that carries its C library.
  if ! grep -q INTERP <<<"$headers" && [[ "$program" != *.so ]]; then continue; fi
  symbols="$(nm --dynamic --undefined-only "$program")"
  grep -q '__stack_chk_fail' <<<"$symbols" || fail "has no stack protector"
  [[ "$program" == *.so ]] || grep -q '__memcpy_chk' <<<"$symbols" ||
    fail "is not built with _FORTIFY_SOURCE"
done
