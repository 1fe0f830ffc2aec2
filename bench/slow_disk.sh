#!/bin/bash
# Measures checks of images on a disk that takes its time: a loop device over
# nbdkit's delay filter, so that each request waits as that to a busy server
# does. Needs root, /dev/fuse, loop devices, nbdkit and nbdfuse (libnbd-bin).
#   bench/slow_disk.sh [--delay=TIME] [--read-ahead=KIB] [--only=NAME,...]
#     [--images=DIRECTORY] [ARGUMENT...]
# TIME is whole milliseconds, 1ms unless told; the system reads 128 KiB ahead,
# which is what Linux begins with; the images are the random one. Further
# arguments go to run.py.
set -euo pipefail
cd "$(dirname "$0")/.."

delay=1ms
read_ahead=128
only=random-64g
images=$(PYTHONPATH=bench python3 -B -c \
  'import images; print(images.default_directory())')
arguments=()
for argument; do
  case "$argument" in
    --delay=*) delay=${argument#--delay=} ;;
    --read-ahead=*) read_ahead=${argument#--read-ahead=} ;;
    --only=*) only=${argument#--only=} ;;
    --images=*) images=${argument#--images=} ;;
    *) arguments+=("$argument") ;;
  esac
done
python3 -B bench/make_images.py --only="$only" "$images"

folder=$(mktemp -d)
cleanup() {
  local disk
  for disk in "$folder"/*.qcow2; do
    if [[ -L "$disk" ]]; then losetup --detach "$(readlink "$disk")"; fi
  done
  for disk in "$folder"/*.disk; do umount "$disk" || true; done
  wait
  rm -rf "$folder"
}
trap cleanup EXIT

# serve NAME: the image in the folder, behind the slow disk.
serve() {
  local disk="$folder/$1.disk" device tries
  mkdir "$disk"
  nbdfuse --readonly --pidfile "$folder/$1.pid" "$disk/$1.qcow2" \
    --command nbdkit --single --readonly --exit-with-parent \
    --filter=delay --filter=truncate \
    file "$images/$1.qcow2" delay-read="$delay" round-up=512 &
  for ((tries = 0; tries < 100; ++tries)); do
    if [[ -s "$folder/$1.pid" ]]; then
      device=$(losetup --find --show --read-only --direct-io=on \
        "$disk/$1.qcow2")
      ln -s "$device" "$folder/$1.qcow2"
      blockdev --setra $((read_ahead * 2)) "$device"  # sectors
      return
    fi
    sleep 0.1
  done
  echo "slow_disk.sh: $1 cannot be served" >&2
  return 1
}

for name in ${only//,/ }; do serve "$name"; done
bench/run.sh --images="$folder" --only="$only" --cold=image --no-qemu-img \
  "${arguments[@]}"
