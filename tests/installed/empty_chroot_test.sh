#!/bin/bash
# The static program checks, repairs and explains in a folder that has nothing
# but itself and an image: no library, no /proc, no /dev.
#   empty_chroot_test.sh PROGRAM PACKED_IMAGE
set -euo pipefail

if ((EUID == 0)) && /usr/sbin/chroot / true 2>/dev/null; then
  enter=(/usr/sbin/chroot)
elif unshare --user --map-root-user /usr/sbin/chroot / true 2>/dev/null; then
  enter=(/usr/bin/unshare --user --map-root-user /usr/sbin/chroot)
else
  echo "SKIPPED: neither chroot nor user namespaces are allowed here"
  exit 0
fi

root="$TEST_TMPDIR/root"
mkdir "$root"
cp "$1" "$root/fsck"
gzip -dc "$2" >"$root/image"

# expect CODE ARGUMENT...: runs the program; what it prints goes to `output`.
expect() {
  local expected="$1" status=0
  shift
  output="$(env -i "${enter[@]}" "$root" /fsck "$@" 2>&1 </dev/null)" || status=$?
  if ((status != expected)); then
    echo "fsck $*: exit code $status in place of $expected"
    echo "$output"
    exit 1
  fi
}

expect 4 /image
grep -q 'CORRUPT: 3 corruptions, 4 leaks' <<<"$output"
expect 4 --recursive --report=/report.json /
expect 0 --explain=cluster-leaked
expect 1 --repair /image
expect 0 --jobs=4 --deep /image
expect 4 --undo /image
