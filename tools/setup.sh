# shellcheck shell=bash
# What tools/run.sh and tools/test.sh share: making sure that the Debian 12
# packages are there. Sourced, not run. Changes nothing that is as it should be.

# Where things are kept between runs.
cache="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/qcow2-fsck"

# To build the program.
packages_to_run=(
  bazel-bootstrap bazel-rules-java bazel-rules-proto g++
  libabsl-dev libcli11-dev libnbd-dev libseccomp-dev libssl-dev libzstd-dev
  nlohmann-json3-dev zlib1g-dev
)
# To test it as well: the second opinions and the sanitizers.
# shellcheck disable=SC2034  # Used by tools/test.sh.
packages_to_test=(
  "${packages_to_run[@]}"
  bash-completion chromium chromium-driver clang fish groff-base
  libbenchmark-dev libclang-rt-14-dev libgmock-dev libgtest-dev libnbd-bin
  man-db mandoc nbdkit nbdkit-plugin-dev python3 python3-jsonschema
  python3-seccomp python3-selenium python3-yaml qemu-utils systemd zsh
)
# To make packages.
# shellcheck disable=SC2034  # Used by tools/package.sh.
packages_to_package=(
  "${packages_to_run[@]}"
  debhelper dpkg-dev nbdkit-plugin-dev
)
# To look over the sources: the headers of the libraries and the tools.
# shellcheck disable=SC2034  # Used by tools/lint.sh.
packages_to_lint=(
  g++ libabsl-dev libbenchmark-dev libcli11-dev libgmock-dev libgtest-dev
  libnbd-dev libseccomp-dev libssl-dev libzstd-dev nbdkit-plugin-dev
  nlohmann-json3-dev zlib1g-dev
  clang-format-14 clang-tidy-14 shellcheck
)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# Runs a command whose output matters only when it fails.
quietly() {
  local log status=0
  log="$(mktemp)"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status != 0)); then cat "$log" >&2; fi
  rm -f "$log"
  return "$status"
}

# Prints those of the given packages that are not installed.
missing_packages() {
  local package state
  for package in "$@"; do
    state="$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" ||
      true
    if [[ "$state" != installed ]]; then printf '%s\n' "$package"; fi
  done
}

# Sets `as_root` to what a command has to be preceded by to run as root. Fails
# where that cannot be had without asking for a password.
find_root() {
  if ((EUID == 0)); then
    as_root=(env)
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n env)
  else
    return 1
  fi
}

apt_get() {
  quietly "${as_root[@]}" DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=600 "$@"
}

# Installs those of the given packages that are missing.
ensure_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is no Debian system. Needed are Debian 12's packages: $*"
    return 1
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then return 0; fi
  if ! find_root; then
    say "these packages are missing, and neither root nor a sudo without" \
      "password is at hand to install them: ${missing[*]}"
    say "have an administrator run: apt-get install ${missing[*]}"
    return 1
  fi
  say "installing ${missing[*]}"
  # A repository that cannot be refreshed is no reason not to try the others.
  apt_get update || say "not every list of packages could be refreshed"
  if ! apt_get install -y --no-install-recommends "${missing[@]}"; then
    say "these packages could not be installed: ${missing[*]}"
    return 1
  fi
}

# Makes sure of promtool and sets `promtool_folder` to where it is. Installing
# Debian's prometheus would start a server, and again at every boot, so only
# the one program is taken out of the package.
ensure_promtool() {
  local found folder
  if found="$(command -v promtool)"; then
    promtool_folder="${found%/*}"
    return 0
  fi
  promtool_folder="$cache/promtool"
  if [[ -x "$promtool_folder/promtool" ]]; then return 0; fi
  say "fetching promtool out of Debian's prometheus package"
  folder="$(mktemp -d)"
  if (cd "$folder" && quietly apt-get download prometheus &&
    dpkg-deb --fsys-tarfile prometheus_*.deb |
    tar -x ./usr/bin/promtool) && mkdir -p "$promtool_folder"; then
    mv "$folder/usr/bin/promtool" "$promtool_folder/"
  fi
  rm -rf "$folder"
  if [[ ! -x "$promtool_folder/promtool" ]]; then
    say "promtool is missing: Debian's prometheus package could not be fetched"
    return 1
  fi
}
