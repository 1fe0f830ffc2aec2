#!/bin/bash
# Repairs on a block device: with a journal elsewhere as on a file, to the byte;
# without one, or without room for what has to be rebuilt, refused.
#
#   block_device_test.sh QCOW2_FSCK DAMAGED_IMAGE.gz
#
# Needs a loop device. Where this user may not have one, there is nothing to
# test on.
set -euo pipefail

PATH="$PATH:/usr/sbin:/sbin"  # losetup
fsck="$PWD/$1"
packed="$PWD/$2"

folder="$(mktemp -d)"
device=
finish() {
  if [[ -n "$device" ]]; then losetup -d "$device"; fi
  rm -rf "$folder"
}
trap finish EXIT
cd "$folder"
gzip -dc "$packed" > image.qcow2

# attach BYTES: the image on a device of that length, what is behind the image
# filled with noise.
attach() {
  if [[ -n "$device" ]]; then losetup -d "$device"; fi
  device=
  cp image.qcow2 disk
  head -c "$(($1 - $(stat -c %s image.qcow2)))" /dev/urandom >> disk
  device="$(losetup --show -f disk)"
}
sum() { sha256sum < "$device"; }
fail() {
  echo "$1"
  cat output
  exit 1
}
# run CODE ARGUMENT...: qcow2-fsck on the device ends with that code.
run() {
  local wanted="$1" status=0
  shift
  "$fsck" "$@" "$device" > output 2>&1 || status=$?
  ((status == wanted)) || fail "$* ended with $status, not $wanted"
}
# says TEXT: the last run did, wherever its lines break.
says() {
  [[ "$(tr -s '\n ' ' ' < output)" == *"$1"* ]] || fail "no word of $1"
}

cluster=65536
length="$(stat -c %s image.qcow2)"
length=$(((length + cluster - 1) / cluster * cluster))
if ! attach "$((length + 16 * cluster))" 2> /dev/null; then
  echo "skipped: no loop devices for this user"
  exit 0
fi
original="$(sum)"

# A report does not take the place of an image, here neither.
for option in --html --map --report --metrics; do
  status=0
  "$fsck" "$option=$device" image.qcow2 > output 2>&1 || status=$?
  ((status == 16)) || fail "$option ended with $status"
  says "is a qcow2 image; not overwriting it"
done
[[ "$(sum)" == "$original" ]] || fail "a report is on the device"

# Nothing that writes does so without a place for its journal.
run 4
for option in --repair --recover --undo --discard-freed; do
  run 8 "$option"
  says "--journal=PATH"
done
run 1 --compat=qemu-img -r all
says "--journal=PATH"
run 4 --repair --dry-run
[[ "$(sum)" == "$original" ]] || fail "the device changed"
[[ -z "$(compgen -G "$device.*")" ]] || fail "something is beside the device"

# With one it is a repair as any other.
run 1 --repair --journal="$folder/journal"
undo="${device##*/}.fsck-undo"
[[ -e "$undo" ]] || fail "no undo file"
says "--undo --undo-file=$folder/$undo $device"
repaired="$(sum)"
run 0
run 0 --repair --journal="$folder/journal"
[[ "$(sum)" == "$repaired" ]] || fail "a second repair changed something"
run 4 --undo --journal="$folder/journal"
[[ "$(sum)" == "$original" ]] || fail "not undone"

# A repair that was cut short. The states of a journal are a block of 4096
# bytes each, the second of them says that it was applied.
run 1 --repair --journal="$folder/journal"
mv "$undo" journal
dd if=/dev/zero of=journal bs=4096 seek=2 count=1 conv=notrunc status=none
run 8 --discard-freed --journal="$folder/journal"
says "--recover"
run 1 --recover --journal="$folder/journal"
[[ "$(sum)" == "$repaired" ]] || fail "not recovered"

# Free clusters are given back where no repair can be undone any more.
run 8 --discard-freed --journal="$folder/journal"
says "--no-undo"
run 0 --discard-freed --no-undo --journal="$folder/journal"
run 0
[[ "$(stat -c %s disk)" == "$((length + 16 * cluster))" ]] ||
  fail "another length"
[[ "$(tail -c "$((8 * cluster))" "$device" | tr -d '\0' | wc -c)" == 0 ]] ||
  fail "what is past the end of the image was not discarded"

# No refcount table, and no free cluster for a new one.
printf '\xff' | dd of=image.qcow2 bs=1 seek=55 conv=notrunc status=none
attach "$length"
original="$(sum)"
run 4 --repair --journal="$folder/journal"
says "enlarge it, then repair again"
says "the reason in the plan's note"
[[ "$(sum)" == "$original" ]] || fail "changed without a repair"
[[ ! -e journal ]] || fail "a journal was left"
