#!/bin/bash
# Installs what is missing, builds qcow2-fsck optimised and runs it:
#   tools/run.sh [ARGUMENT...]
# Without arguments it checks a damaged sample image. The exit status is
# qcow2-fsck's, or 8 when it could not be built. stdout is the report alone.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=tools/setup.sh
source "$root/tools/setup.sh"

# Leaves the path of the built program in `program`.
build() {
  cd "$root"
  quietly bazel build --config=opt //cli:qcow2-fsck || return
  program="$(bazel info --config=opt bazel-bin 2>/dev/null </dev/null)" ||
    return
  program+="/cli/qcow2-fsck"
}

# Leaves the path of the unpacked sample in `sample`.
unpack_sample() {
  local packed="$root/corpus/images/sample-damaged.qcow2.gz" unfinished
  sample="$cache/sample-damaged.qcow2"
  if [[ -s "$sample" && ! "$packed" -nt "$sample" ]]; then return 0; fi
  mkdir -p "$cache" || return
  unfinished="$(mktemp "$cache/sample.XXXXXX")" || return
  gzip -dc "$packed" >"$unfinished" && mv "$unfinished" "$sample"
}

caller_folder="$PWD"
ensure_packages "${packages_to_run[@]}" || exit 8
if ! build; then
  say "qcow2-fsck could not be built"
  exit 8
fi
# The arguments may name files relative to where the caller is.
cd "$caller_folder"
if (($# == 0)); then
  unpack_sample || exit 8
  set -- "$sample"
  printf '$ qcow2-fsck %s\n' "$sample" >&2
fi
exec "$program" "$@"
