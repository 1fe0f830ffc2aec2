#!/bin/bash
# Breaks the code on purpose, in one place at a time, and sees whether the tests
# notice; in all the ways of tests/mutations, or in those that are named:
#   tools/mutations.sh [NAME...]
#   tools/mutations.sh --list
# NAME.patch there begins with comments. The first says what it breaks; each of
# the others names a test target, and the case in it if it is GoogleTest's, that
# must fail. It must fail of itself: a change that cannot be built, or that ends
# the test in another way, was not noticed.
# The last commit is what is broken, in a copy that is gone afterwards. What was
# built for it is kept in the cache. The last line of stdout is "N passed,
# N failed"; a change passes if the tests noticed it. Those that failed are named
# before it. The exit status is 0 if none did.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=tools/setup.sh
source "$root/tools/setup.sh"

patches="$root/tests/mutations"

# header_of NAME: the comments of a patch, without their signs.
header_of() { sed -n '/^# /!q; s/^# //p' "$patches/$1.patch"; }

list_names() {
  local patch
  for patch in "$patches"/*.patch; do basename "$patch" .patch; done
}

list_mutations() {
  local name
  for name in $(list_names); do
    printf '%s:\n' "$name"
    header_of "$name" | sed 's/^/  /'
  done
}

# In the copy, with a cache that is the same whatever the copy's name is.
bazel_in_copy() {
  (cd "$copy" && bazel --output_base="$cache/mutations" "$@" </dev/null 2>&1)
}

run_test() {
  bazel_in_copy test --test_runner_fail_fast --test_output=summary "$1" >"$log"
}

# notices TARGET CASE: whether the test fails, and fails there. 3 is Bazel's
# status where all was built and a test failed.
notices() {
  local status=0 logs
  run_test "$1" || status=$?
  logs="$copy/bazel-testlogs/${1#//}"
  case "$status" in
    0) echo "$1 passed" ;;
    3) if [[ -z "$2" ]] || grep -rqE "^\[  FAILED  \] ([^ ]*/)?$2([/, ]|\$)" \
      --include=test.log "${logs/://}"; then
      return
    else
      echo "$1 failed, but not $2"
    fi ;;
    *) echo "$1 could not be run" && tail -n 20 "$log" >&2 ;;
  esac
  return 1
}

# try NAME: why the change was not noticed, on stdout.
try() {
  local patch="$patches/$1.patch" target expected status=0
  git -C "$copy" apply "$patch" 2>"$log" ||
    { echo "the patch does not apply" && cat "$log" >&2 && return 1; }
  while read -r target expected; do
    notices "$target" "$expected" || status=1
  done < <(header_of "$1" | tail -n +2)
  git -C "$copy" apply --reverse "$patch"
  return "$status"
}

targets_of() {
  local name
  for name; do header_of "$name" | tail -n +2 | cut -d ' ' -f 1; done | sort -u
}

remove_copy() {
  bazel_in_copy shutdown >/dev/null || true
  git -C "$root" worktree remove --force "$copy" || true
  rm -rf "$work"
}

if [[ "${1-}" == --list ]]; then
  list_mutations
  exit
fi
(($#)) || mapfile -t names < <(list_names)
(($#)) && names=("$@")
for name in "${names[@]}"; do
  if [[ ! -e "$patches/$name.patch" ]]; then
    say "there is no change '$name'; --list lists them"
    exit 16
  fi
done

ensure_packages "${packages_to_test[@]}" || exit 8
work="$(mktemp -d)"
copy="$work/copy" log="$work/log"
quietly git -C "$root" worktree add --detach "$copy" HEAD || exit 8
trap remove_copy EXIT

# A test that fails anyway notices nothing.
say "building, and running the tests before anything is broken"
mapfile -t targets < <(targets_of "${names[@]}")
if ! quietly bazel_in_copy test --test_runner_fail_fast --test_output=errors \
  "${targets[@]}"; then
  echo "0 passed, ${#names[@]} failed"
  exit 1
fi

passed=0 failed=0
for name in "${names[@]}"; do
  say "$name"
  if why="$(try "$name")"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $name: ${why//$'\n'/, }"
  fi
done
echo "$passed passed, $failed failed"
((failed == 0))
