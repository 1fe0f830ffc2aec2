#!/bin/bash
# A repair on a file system that fills up: with any room left the image ends
# repaired or as it was, to the byte, and a repair that was made can be undone.
#
#   full_disk_test.sh QCOW2_FSCK DAMAGED_IMAGE.gz
#
# Needs a small file system of its own: in a mount namespace where the system
# allows that to this user. Where not, there is nothing to test on.
set -euo pipefail

fsck="$PWD/$1"
packed="$PWD/$2"

if [[ "${IN_NAMESPACE:-}" != 1 ]]; then
  if ! unshare --user --map-root-user --mount true 2>/dev/null; then
    echo "skipped: no mount namespaces for this user"
    exit 0
  fi
  IN_NAMESPACE=1 exec unshare --user --map-root-user --mount "$0" "$1" "$2"
fi

place="$(mktemp -d)"
output="$(mktemp)"
mount -t tmpfs -o size=5m tmpfs "$place"
cd "$place"
gzip -dc "$packed" > image.qcow2
sum_of() { sha256sum < "$1"; }
original="$(sum_of image.qcow2)"
repaired_sum=
repaired=0
refused=0

fail() {
  echo "with $1 KiB left: $2"
  cat "$output"
  exit 1
}

for left in 300 120 60 48 40 32 24 20 16 12 8 4 0; do
  free="$(df -k --output=avail . | tail -n 1)"
  head -c "$((free - left))k" /dev/zero > padding
  status=0
  "$fsck" --repair image.qcow2 > "$output" 2>&1 || status=$?
  now="$(sum_of image.qcow2)"
  rm padding
  if ((status == 1)); then
    repaired=$((repaired + 1))
    [[ "$now" == "${repaired_sum:-$now}" ]] || fail "$left" "another result"
    repaired_sum="$now"
    "$fsck" --undo image.qcow2 > "$output" 2>&1 || true
    [[ "$(sum_of image.qcow2)" == "$original" ]] || fail "$left" "not undone"
  else
    refused=$((refused + 1))
    ((status & 8)) || fail "$left" "exit code $status"
    [[ "$now" == "$original" ]] || fail "$left" "the image changed"
    grep -q "No space left" "$output" || fail "$left" "no word of the cause"
  fi
  [[ "$(ls)" == image.qcow2 ]] || fail "$left" "left behind: $(ls)"
done

if ((repaired == 0 || refused == 0)); then
  fail any "$repaired repaired, $refused refused: one of them was not tested"
fi
