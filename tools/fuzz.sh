#!/bin/bash
# Installs what is missing and lets libFuzzer at every target of fuzz/, or at
# one, each for some seconds (60):
#   tools/fuzz.sh [TARGET] [SECONDS]
#   tools/fuzz.sh --list
# It starts from the seeds in corpus/ and from what earlier runs found, and keeps
# new inputs, minimised, in the folder of the cache that it names. An input that
# fails is reduced and kept there too; `bazel run //fuzz:TARGET_test -- FILE`
# runs it in any build. FUZZ_JOBS (the number of processors) run side by side.
# After all targets tools/coverage.sh says what the inputs come to, unless
# FUZZ_COVERAGE is no. The last line of stdout is "N passed, N failed", counting
# targets; the exit status is 0 if none failed.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=tools/setup.sh
source "$root/tools/setup.sh"

# A damaged input may make a file of some megabytes and check it five times.
limits=(-timeout=60 -rss_limit_mb=2048 -max_len=65536)
seconds_to_reduce=120

list_targets() {
  sed -n '/^fuzz_target(/{n;s/.*name = "\(.*\)",/\1/p}' "$root/fuzz/BUILD.bazel"
}

# dictionary_of TARGET: the one that fuzz/fuzz_target.bzl gives it, too.
dictionary_of() {
  local own="$root/fuzz/$1.dict"
  if [[ -e "$own" ]]; then echo "$own"; else echo "$root/fuzz/qcow2.dict"; fi
}

# seeds_of TARGET FOLDER: copies the seeds that the build knows to the folder.
seeds_of() {
  local seed
  bazel query --noshow_progress \
    "kind('source file', deps(labels(data, //fuzz:$1_test)))
     intersect //corpus/..." 2>/dev/null </dev/null |
    while read -r seed; do
      seed="${seed#//}"
      cp "$root/${seed/:/\/}" "$2/"
    done
}

# reduce TARGET INPUT: leaves the smallest input that fails as INPUT.reduced.
reduce() {
  "$programs/$1" -minimize_crash=1 -max_total_time="$seconds_to_reduce" \
    "${limits[@]}" -exact_artifact_path="$2.reduced" "$2" >"$2.log" 2>&1 || true
  [[ -s "$2.reduced" ]] || cp "$2" "$2.reduced"
}

# Leaves in `found` only inputs that reach what no other does.
minimise() {
  local smaller
  smaller="$(mktemp -d)"
  if quietly "$programs/$1" -merge=1 "${limits[@]}" "$smaller" "$2" "$3"; then
    rm -rf "$2"
    mv "$smaller" "$2"
  fi
  rm -rf "$smaller"
}

# fuzz TARGET: leaves the inputs that failed, each on a line, in `inputs` of the
# target's folder. Fails if the target did not run.
fuzz() {
  local found="$kept/$1/found" failed="$kept/$1/failed" seeds log
  log="$kept/$1/log"
  mkdir -p "$found" "$failed"
  seeds="$(mktemp -d)"
  if ! seeds_of "$1" "$seeds"; then
    say "$1: the seeds of the build are not known"
    return 1
  fi
  touch "$kept/$1/begin"
  "$programs/$1" -fork="$jobs" -ignore_crashes=1 -ignore_ooms=0 \
    -max_total_time="$seconds" "${limits[@]}" -artifact_prefix="$failed/" \
    -dict="$(dictionary_of "$1")" "$found" "$seeds" >"$log" 2>&1 || true
  if ! grep -q 'starting to fuzz' "$log"; then
    say "$1 did not run: $(tail -n 1 "$log")"
    return 1
  fi
  minimise "$1" "$found" "$seeds"
  grep -E '^#[0-9]+: cov' "$log" | tail -n 1 >&2 || true
  say "$1: $(find "$found" -type f | wc -l) inputs in $found"
  rm -rf "$seeds"
  find "$failed" -type f -newer "$kept/$1/begin" \
    \( -name 'crash-*' -o -name 'oom-*' -o -name 'timeout-*' -o -name 'leak-*' \) \
    >"$kept/$1/inputs"
}

target='' seconds=60
case "${1-}" in
  --list)
    list_targets
    exit
    ;;
  [0-9]*) seconds="$1" ;;
  ?*)
    target="$1"
    seconds="${2:-$seconds}"
    ;;
esac
mapfile -t targets < <(list_targets)
if [[ -n "$target" ]]; then
  if [[ " ${targets[*]} " != *" $target "* ]]; then
    say "there is no target '$target'; --list lists them"
    exit 16
  fi
  targets=("$target")
fi

ensure_packages "${packages_to_test[@]}" || exit 8
cd "$root"
kept="$cache/fuzz"
jobs="${FUZZ_JOBS:-$(nproc)}"
quietly bazel build --config=fuzz "${targets[@]/#///fuzz:}" || exit 8
programs="$(bazel info --config=fuzz bazel-bin 2>/dev/null </dev/null)/fuzz"

passed=0 failed=0
for target in "${targets[@]}"; do
  say "$target, for $seconds seconds"
  if ! fuzz "$target"; then
    echo "failed: $target did not run"
    failed=$((failed + 1))
    continue
  fi
  mapfile -t inputs <"$kept/$target/inputs"
  # One fault fails on many inputs; the first are enough to find it.
  for input in "${inputs[@]:0:3}"; do
    reduce "$target" "$input"
    echo "failed: $target $input.reduced"
  done
  ((${#inputs[@]} <= 3)) ||
    say "$target: $((${#inputs[@]} - 3)) more inputs fail, in $kept/$target/failed"
  if ((${#inputs[@]})); then failed=$((failed + 1)); else passed=$((passed + 1)); fi
done
if ((${#targets[@]} > 1)) && [[ "${FUZZ_COVERAGE-}" != no ]]; then
  tools/coverage.sh || say "the lines that were run could not be counted"
fi
echo "$passed passed, $failed failed"
((failed == 0))
