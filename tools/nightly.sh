#!/bin/bash
# Installs what is missing and runs the tests that take too long for
# tools/test.sh, all of them or those that are named:
#   tools/nightly.sh [JOB...]
#   tools/nightly.sh --list
# The last line of stdout is "N passed, N failed, N skipped", counting jobs; those
# that failed, and those that cannot be tried on this machine, are named before
# it. The exit status is 0 if none failed.
#
# A job is a function job_NAME with a comment, which --list prints, and its name
# in `jobs`. It fails by its exit status, 77 if it could not be tried, and says on
# stderr why. Jobs run one after the other, each in a shell of its own.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=tools/setup.sh
source "$root/tools/setup.sh"

jobs=(programs threads package debian systemd slurm kubernetes damage mutations
  fuzz)

# The optimised programs: hardened, the static one in an empty folder, and what
# images made to hurt it may cost.
job_programs() {
  ensure_packages "${packages_to_run[@]}" nbdkit-plugin-dev || return
  quietly bazel test --config=opt --test_output=errors \
    //tests/installed:all_tests //tests/hostile:hostile_image_test || return
  # A test cannot tell Bazel that it was not tried.
  local logs
  logs="$(bazel info --config=opt bazel-testlogs 2>/dev/null </dev/null)" || return
  if grep -rsh --include=test.log '^SKIPPED' "$logs/tests/installed" >&2; then
    return 77
  fi
}

# What has threads, under ThreadSanitizer.
job_threads() {
  ensure_packages "${packages_to_test[@]}" || return
  quietly bazel test --config=tsan --build_tests_only --test_output=errors \
    --test_tag_filters=threads //...
}

# The packages: lintian has nothing to say, and they are the same when made
# again elsewhere at another time.
job_package() {
  ensure_packages lintian || return
  make_packages || return
  local again="$work/again"
  (umask 077 && tools/package.sh "$again" >/dev/null) || return
  diff -r "$packages" "$again" || return
  # lintian looks at its caller's temporary files, which another user may own.
  TMPDIR="$work" lintian --fail-on error,warning --tag-display-limit 0 \
    "$packages"/*.deb >&2
}

# The packages on a bare Debian 12: installed, run, removed and purged.
job_debian() {
  make_packages || return
  prepare_debian || return
  in_debian tests/installed/debian_test.sh "$(version)" "$work/image" \
    "$packages"/*.deb >&2
}

# The units of the package, under a systemd that is started for it.
job_systemd() {
  make_packages || return
  prepare_debian || return
  in_debian tests/installed/systemd_test.sh \
    "$packages"/qcow2-fsck_*.deb "$work/image" >&2
}

# The array job, on a Slurm of one node that the test starts.
job_slurm() {
  ensure_packages "${packages_to_test[@]}" slurm-wlm munge || return
  quietly bazel test --test_output=errors //packaging/slurm:slurm_test
}

# The manifests, against the schema of the Kubernetes API.
job_kubernetes() {
  if ! command -v npm >/dev/null; then ensure_packages nodejs npm || return; fi
  if ! command -v kubectl >/dev/null; then
    ensure_packages kubernetes-client || return
  fi
  cp packaging/kubernetes/schema/* "$work/" || return
  (cd "$work" && quietly npm ci --no-audit --no-fund) || return
  # As they are, and in the overlay of the page.
  cp -R packaging/kubernetes/base "$work/base" || return
  mkdir -p "$work/overlay" || return
  # shellcheck disable=SC2016  # Backquotes of Markdown.
  sed -n '/^# kustomization.yaml$/,/^```$/{/^```$/!p}' docs/nightly.md \
    >"$work/overlay/kustomization.yaml" || return
  local folder
  for folder in base overlay; do
    kubectl kustomize "$work/$folder" >"$work/manifests" || return
    node "$work/validate.mjs" 2 <"$work/manifests" >&2 || return
  done
  if ! grep -q 'claimName: vm-disks' "$work/manifests"; then
    say "the overlay of docs/nightly.md changes nothing"
    return 1
  fi
}

# 10,000 images damaged at random (NIGHTLY_IMAGES): checked as qemu-img checks
# them, repaired, and held against both checks and the guest's bytes.
job_damage() {
  ensure_packages "${packages_to_test[@]}" || return
  local images="${NIGHTLY_IMAGES:-10000}"
  # Eleven kinds of images.
  quietly bazel test --test_output=errors --test_timeout=36000 \
    --test_env=DIFFERENTIAL_IMAGES="$((images / 11))" \
    --test_env=RANDOM_REPAIR_IMAGES="$((images / 11))" \
    //tests/differential:differential_test //tests/repair:random_repair_test
}

# The code broken on purpose, in one place at a time: a test must fail.
job_mutations() {
  tools/mutations.sh >&2
}

# libFuzzer, for an hour (NIGHTLY_FUZZ_SECONDS) at each of the four targets that
# reach most, and a twelfth of that at each of the others.
job_fuzz() {
  local long="${NIGHTLY_FUZZ_SECONDS:-3600}" target failed=0
  for target in $(tools/fuzz.sh --list); do
    case "$target" in
      check_image | repair_image | drive_engine | recover_journal)
        tools/fuzz.sh "$target" "$long" >&2 || failed=1
        ;;
      *) tools/fuzz.sh "$target" "$((long / 12))" >&2 || failed=1 ;;
    esac
  done
  return "$failed"
}

# A test that makes a Debian of its own, which sudo tells nothing of who calls it.
in_debian() {
  "${as_root[@]}" ${DEBIAN_MIRROR:+"DEBIAN_MIRROR=$DEBIAN_MIRROR"} "$@"
}

# What these tests need.
prepare_debian() {
  ensure_packages debootstrap || return
  find_root || { say "root is needed to make a Debian" && return 1; }
  gzip -dc corpus/images/sample-damaged.qcow2.gz >"$work/image"
}

# Makes the packages, once for all jobs, in the folder `packages`.
make_packages() {
  packages="$work/packages"
  if [[ ! -d "$packages" ]]; then
    # Only all of them are there under that name.
    tools/package.sh "$packages.new" >/dev/null || return
    mv "$packages.new" "$packages"
  fi
}

version() {
  sed -n 's/.*kToolVersion = "\(.*\)";/\1/p' cli/version.h
}

list_jobs() {
  local job
  for job in "${jobs[@]}"; do
    printf '%s:\n' "$job"
    sed -n "/^#/{H;d}; /^job_$job()/{x;s/^\n//;p;q}; s/.*//;x" "$0" | sed 's/^#/ /'
  done
}

if [[ "${1-}" == --list ]]; then
  list_jobs
  exit
fi
(($#)) || set -- "${jobs[@]}"
for job; do
  if ! declare -F "job_$job" >/dev/null; then
    say "there is no job '$job'; --list lists them"
    exit 16
  fi
done

cd "$root"
work="$(mktemp -d)"
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
passed=0 failed=() skipped=()
for job; do
  say "$job"
  status=0
  ("job_$job") || status=$?
  case "$status" in
    0) passed=$((passed + 1)) ;;
    77) skipped+=("$job") ;;
    *) failed+=("$job") ;;
  esac
done
for job in "${skipped[@]}"; do echo "skipped: $job"; done
for job in "${failed[@]}"; do echo "failed: $job"; done
echo "$passed passed, ${#failed[@]} failed, ${#skipped[@]} skipped"
((${#failed[@]} == 0))
