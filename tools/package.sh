#!/bin/bash
# Installs what is missing, builds the programs optimised and makes Debian
# packages of them:
#   tools/package.sh [OUTPUT_FOLDER]
# The packages come into OUTPUT_FOLDER (default: dist), and their names to
# stdout. The same sources give the same bytes, whenever and wherever they are
# packed with the same versions of Debian's packages. The exit status is 0, or 8
# if something could not be done.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=tools/setup.sh
source "$root/tools/setup.sh"

# The one place that has the version.
version="$(sed -n 's/.*kToolVersion = "\(.*\)";/\1/p' "$root/cli/version.h")"
# The day of the version: what is packed has no other time.
day="$(sed -n "s/^## \[${version//./\\.}\] - //p" "$root/CHANGELOG.md")"

# Leaves what Bazel builds in the folder $1.
build() {
  local targets=(//cli:qcow2-fsck //cli:qcow2-fsck-static //cli:qcow2-tool
    //nbdkit:nbdkit-qcow2-plugin) built
  quietly bazel build --config=opt "${targets[@]}" || return
  built="$(bazel info --config=opt bazel-bin 2>/dev/null </dev/null)" || return
  install -D -t "$1" "$built/cli/qcow2-fsck" "$built/cli/qcow2-fsck-static" \
    "$built/cli/tool/qcow2-tool" "$built/nbdkit/nbdkit-qcow2-plugin.so"
}

# Prints the sources whose code the programs carry, as a field of a package.
carried_libraries() {
  # shellcheck disable=SC2016  # The format is dpkg's.
  dpkg-query --show --showformat '${source:Package} (= ${source:Version})\n' \
    libabsl-dev libcli11-dev libseccomp-dev libssl-dev libstdc++-12-dev \
    libzstd-dev nlohmann-json3-dev zlib1g-dev "$@" | sort -u | paste --serial --delimiters=, |
    sed 's/,/, /g'
}

# Fills the folder $1 with what is packed, as packaging/debian/rules wants it.
stage() {
  local debian="$1/debian"
  mkdir -p "$1"
  cp -R "$root/CHANGELOG.md" "$root/docs" "$root/packaging" "$1"
  cp -R "$root/packaging/debian" "$1"
  {
    printf 'qcow2-fsck (%s-1) unstable; urgency=medium\n\n' "$version"
    printf '  * Version %s, see CHANGELOG.md.\n\n' "$version"
    printf ' -- The qcow2-fsck authors <qcow2-fsck@example.org>  %s\n' \
      "$(LC_ALL=C date --utc --date="$day" --rfc-email)"
  } >"$debian/changelog"
  # The terms once more, as the lines of a field.
  sed -e '1,4d' -e 's/^$/./' -e 's/^/ /' "$root/LICENSE" >"$1/terms"
  sed -i -e "/^@LICENSE@$/{r $1/terms" -e 'd}' "$debian/copyright"
  mkdir "$1/built"
  carried_libraries >"$1/built/carried"
  carried_libraries libc6-dev >"$1/built/carried-static"
}

output="${1:-$root/dist}"
if [[ -z "$version" || -z "$day" ]]; then
  say "CHANGELOG.md has no day for the version '$version' of cli/version.h"
  exit 8
fi
ensure_packages "${packages_to_package[@]}" || exit 8
if ! mkdir -p "$output" || ! output="$(cd "$output" && pwd)"; then
  say "there can be no packages in '$output'"
  exit 8
fi
cd "$root"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
tree="$work/qcow2-fsck-$version"

stage "$tree"
if ! build "$tree/built"; then
  say "the programs could not be built"
  exit 8
fi
SOURCE_DATE_EPOCH="$(date --utc --date="$day" +%s)"
export SOURCE_DATE_EPOCH
# -d: Bazel's own part is done, so that only debhelper is needed.
if ! (umask 022 && cd "$tree" &&
  quietly dpkg-buildpackage --build=binary --no-sign -d); then
  say "the packages could not be made"
  exit 8
fi
for package in "$work"/*.deb; do
  cp "$package" "$output/"
  printf '%s\n' "$output/${package##*/}"
done
