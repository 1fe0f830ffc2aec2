#!/bin/bash
# Installs what is missing and prints, for each folder of the program, how many
# of its lines the corpus and the fuzz seeds come to:
#   tools/coverage.sh [--lines] [FOLDER...]
# With --lines, every line that they do not come to as well. Without a FOLDER:
# engine/format, checker and repair. Inputs that tools/fuzz.sh has kept count as
# seeds.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=tools/setup.sh
source "$root/tools/setup.sh"

show_lines=
if [[ "${1-}" == --lines ]]; then
  show_lines=1
  shift
fi
(($#)) || set -- engine/format checker repair

ensure_packages "${packages_to_test[@]}" llvm-14 || exit 8
cd "$root"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mapfile -t tests < <(
  # Of the tests those that go over the corpus.
  bazel query --noshow_progress \
    'kind(cc_test, //fuzz/... + rdeps(//tests/..., //corpus:images, 1))' \
    2>/dev/null </dev/null
)
# Not in a sandbox, which would throw the profiles away.
quietly bazel test --config=coverage --spawn_strategy=local \
  --cache_test_results=no --test_env=LLVM_PROFILE_FILE="$work/%m-%p.profraw" \
  "${tests[@]}" || say "not all of the tests pass"
built="$(bazel info --config=coverage bazel-bin 2>/dev/null </dev/null)"

# Over what the fuzzers found since.
for found in "$cache"/fuzz/*/found; do
  target="${found%/found}"
  target="${target##*/}"
  if [[ -x "$built/fuzz/${target}_test" ]]; then
    find "$found" -type f -print0 |
      LLVM_PROFILE_FILE="$work/found-$target-%p.profraw" \
        xargs -0 -r -n 200 "$built/fuzz/${target}_test" >"$work/log" 2>&1 ||
      say "$target: $(tail -n 1 "$work/log")"
  fi
done

llvm-profdata-14 merge --sparse -o "$work/profile" "$work"/*.profraw
objects=()
for label in "${tests[@]}"; do
  label="${label#//}"
  objects+=(-object "$built/${label/:/\/}")
done

llvm_cov() {
  llvm-cov-14 "$@" --instr-profile="$work/profile" "${objects[@]:1}"
}
# What only tests use is no part of the program.
bazel query --noshow_progress \
  'labels(srcs, attr(testonly, 1, //...)) + labels(hdrs, attr(testonly, 1, //...))' \
  2>/dev/null </dev/null | sed 's,^//,,; s,:,/,' >"$work/for_tests"
llvm_cov export --summary-only >"$work/summary.json"
[[ -z "$show_lines" ]] || llvm_cov show >"$work/listing"

for folder; do
  /usr/bin/python3 tools/coverage_lines.py "$work/summary.json" "$folder" \
    "$work/for_tests"
  if [[ -n "$show_lines" ]]; then
    /usr/bin/python3 tools/coverage_lines.py --missed "$work/listing" "$folder" \
      "$work/for_tests"
  fi
done
