#!/bin/bash
# A night as docs/nightly.md sets it up, under a systemd of its own: the units
# with everything they are confined by, their options, the baseline, and word of
# what is new.
#   systemd_test.sh PACKAGE IMAGE
# PACKAGE is the one with the units, IMAGE tests' damaged sample, unpacked. Needs
# root, debootstrap, and the network or a mirror in DEBIAN_MIRROR. Where no
# systemd can be started, in a container without privileges, it says so and exits
# with 77.
set -euo pipefail

package="$1" image="$2"
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
work="$(mktemp -d)"
root="$work/root"
group=
init=

clean_up() {
  # The first process takes all others of its system with it.
  if [[ -n "$init" ]]; then kill -KILL "$init" 2>/dev/null || true; fi
  wait
  if [[ -n "$group" ]]; then
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  fi
  umount "$work/groups" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

fail() {
  echo "$1" >&2
  exit 1
}

make_system() {
  debootstrap --variant=minbase --include=systemd-sysv bookworm "$root" \
    "$mirror" >"$work/log" 2>&1 || { cat "$work/log" >&2 && return 1; }
  cp "$package" "$root/tmp/package.deb"
  chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    dpkg --install /tmp/package.deb >"$work/log" 2>&1 ||
    { cat "$work/log" >&2 && return 1; }
  mkdir -p "$root/srv/vm-images"
  cp "$image" "$root/srv/vm-images/vm1.qcow2"
}

# In the new namespaces: what a system has mounted when its systemd starts.
# shellcheck disable=SC2016  # That shell's own arguments.
start_systemd='
  set -e
  root=$1
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  for folder in run tmp dev; do mount -t tmpfs tmpfs "$root/$folder"; done
  for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  exec chroot "$root" env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=basic.target --show-status=no'

# Leaves the process of the new system in `init`; fails where there is none.
boot() {
  mkdir "$work/groups"
  mount -t cgroup2 cgroup2 "$work/groups" || return
  group="$work/groups/qcow2-fsck-test.$$"
  mkdir "$group" || return
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    exec unshare --cgroup --pid --mount --uts --ipc --net --fork \
      sh -c "$start_systemd" sh "$root"
  ) >"$work/log" 2>&1 &
  local parent="$!" tries
  for ((tries = 0; tries < 120; tries++)); do
    init="$(cat "/proc/$parent/task/$parent/children" 2>/dev/null)" || break
    init="${init% }"
    if [[ -n "$init" ]] && inside systemctl is-active -q basic.target; then
      return 0
    fi
    sleep 0.5
  done
  return 1
}

inside() {
  nsenter --target "$init" --mount --pid --uts --ipc --net --cgroup --root \
    --wd=/ env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" 2>&1 </dev/null
}

# night RESULT: one run; RESULT is what systemd says of it.
night() {
  local result
  inside systemctl start "$service" >/dev/null || true
  result="$(inside systemctl show --property=Result --value "$service")"
  [[ "$result" == "$1" ]] ||
    fail "the service: $result, not $1: $(inside journalctl --no-pager -n 40)"
}

# What the stand-in for curl was given.
message="$root/var/lib/message"
set_up_message() {
  mkdir -p "$root/etc/qcow2-fsck"
  echo 'WEBHOOK_URL=https://chat.example.org/hooks/1' \
    >"$root/etc/qcow2-fsck/notify.conf"
  # shellcheck disable=SC2016  # That shell's own arguments.
  printf '#!/bin/sh\ncat >/dev/null\nfor last; do :; done\n%s\n' \
    'cp "${last#@}" /var/lib/message' >"$root/usr/bin/curl"
  chmod +x "$root/usr/bin/curl"
}

# has_message TEXT: it comes, for the service that tells it is only started.
has_message() {
  local tries
  for ((tries = 0; tries < 120; tries++)); do
    if grep -qsF -- "$1" "$message"; then return 0; fi
    sleep 0.5
  done
  fail "no message with '$1': $(cat "$message")$(inside journalctl -n 40)"
}

make_system
set_up_message
if ! boot; then
  echo "not tried: no systemd can be started here: $(tail -n 1 "$work/log")" >&2
  exit 77
fi
service="$(inside systemd-escape --path --template=qcow2-fsck@.service \
  /srv/vm-images)"
night exit-code
has_message '5 new findings'
rm "$message"
night success
[[ ! -e "$message" ]] || fail "known damage was told again"
cp "$image" "$root/srv/vm-images/vm2.qcow2"
mkdir -p "$root/etc/qcow2-fsck/srv" "$root/var/lib/prometheus/node-exporter"
cat >"$root/etc/qcow2-fsck/srv/vm-images.conf" <<'END'
QCOW2_FSCK_OPTIONS=--exclude=vm2.* --max-rate=200M
QCOW2_FSCK_METRICS=/var/lib/prometheus/node-exporter/qcow2-fsck.prom
END
night success
grep -q vm1 "$root/var/lib/prometheus/node-exporter/qcow2-fsck.prom" ||
  fail "the metrics are not where the options say"
rm "$root/etc/qcow2-fsck/srv/vm-images.conf"
night exit-code
has_message 'vm2.qcow2'
