#!/bin/bash
# Installs what is missing and runs every test, those of the code that reads
# images again under AddressSanitizer and UndefinedBehaviorSanitizer, and
# libFuzzer for a few seconds (FUZZ_SECONDS) on each of its targets. What takes
# longer is in tools/nightly.sh. The last line of stdout is "N passed, N failed";
# the exit status is 0 if nothing failed. Arguments are handed to `bazel test`.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=tools/setup.sh
source "$root/tools/setup.sh"

nothing_ran() {
  say "$1"
  echo "0 passed, 1 failed"
  exit 1
}

ensure_packages "${packages_to_test[@]}" || nothing_ran "cannot start"
ensure_promtool || nothing_ran "cannot start"

cd "$root"
events="$(mktemp -d)"
trap 'rm -rf "$events"' EXIT

# run_tests NAME ARGUMENT...: one `bazel test`; what happened goes to a file of
# events. Its exit status is not asked, the events tell more.
run_tests() {
  local name="$1"
  shift
  say "bazel test $*"
  bazel test --keep_going --test_env=PATH="$promtool_folder:/usr/bin:/bin" \
    --build_event_json_file="$events/$name.json" "$@" </dev/null 2>&1 || true
}

run_tests plain //... "$@"
# As --config=asan, but the same build is that of the fuzzers.
run_tests sanitized --config=fuzz --build_tests_only \
  --test_tag_filters=-no-sanitizer --test_env=FUZZ_SECONDS \
  //checker/... //cli/picture/... //engine/... //fuzz/... //repair/... \
  //tests/corpus/... //tests/engine:model_test //fuzz:for_a_while
/usr/bin/python3 tools/count_tests.py "$events/plain.json" \
  "$events/sanitized.json"
