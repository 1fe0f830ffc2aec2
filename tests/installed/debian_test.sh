#!/bin/bash
# The packages on a Debian 12 that has nothing but its base system: they are
# installed, do what they are for, and are removed without a trace.
#   debian_test.sh VERSION IMAGE PACKAGE...
# IMAGE is tests' damaged sample, unpacked. Needs root and debootstrap, and the
# network or a mirror in DEBIAN_MIRROR.
set -euo pipefail

version="$1" image="$2"
shift 2
mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
root="$(mktemp -d)"

# The system's /proc, if it may be mounted, goes with the namespace of mounts.
inside() {
  # shellcheck disable=SC2016  # That shell's own arguments.
  unshare --mount --fork sh -c '
    mount -t proc proc "$0/proc" 2>/dev/null || true
    exec chroot "$0" "$@"' "$root" \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive "$@"
}

fail() {
  echo "$1" >&2
  exit 1
}

# expect CODE COMMAND...: what it prints goes to `output`.
expect() {
  local expected="$1" status=0
  shift
  output="$(inside "$@" 2>&1 </dev/null)" || status=$?
  ((status == expected)) || fail "$*: exit code $status, not $expected: $output"
}

# What is in the system apart from what dpkg and apt note down.
files() {
  inside find / -xdev \( -path /proc -o -path /run -o -path /tmp -o -path /var/cache \
    -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/log \) -prune \
    -o -print | sort
}

install_packages() {
  expect 0 apt-get install -y --no-install-recommends "$@"
}

make_system() {
  debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 ||
    { cat "$root.log" >&2 && return 1; }
  cp /etc/resolv.conf "$root/etc/"
  cp "$image" "$root/tmp/image"
  cp "$@" "$root/tmp/"
}

check_programs() {
  local program page
  for program in qcow2-fsck qcow2-fsck-static qcow2-tool; do
    expect 0 "$program" --version
    [[ "$output" == *" $version" ]] || fail "$program: version $output"
  done
  expect 4 qcow2-fsck /tmp/image
  expect 4 qcow2-fsck-static --recursive /tmp
  expect 0 qcow2-tool info /tmp/image
  expect 0 nbdkit qcow2 --dump-plugin
  grep -qx "version=$version" <<<"$output" || fail "the plugin: $output"
  # The damaged image is served to be read; nbdkit sets the variable.
  # shellcheck disable=SC2016
  expect 0 nbdkit --readonly -U - qcow2 /tmp/image damaged=on \
    --run 'nbdinfo --size "$uri"'
  for page in 8/qcow2-fsck 1/qcow2-tool 8/qcow2-fsck-static; do
    expect 0 man --where "${page%/*}" "${page#*/}"
    expect 0 lexgrog "$output"
    [[ "$output" == *": \"${page#*/} - "* ]] || fail "whatis: $output"
  done
}

check_units() {
  expect 0 systemd-analyze verify 'qcow2-fsck@srv-images.service' \
    qcow2-fsck@srv-images.timer qcow2-fsck-notify@x.service
  [[ -z "$output" ]] || fail "systemd-analyze verify: $output"
  # Enabled as docs/nightly.md says, and with what a night leaves.
  local timer
  timer="$(inside systemd-escape --path --template=qcow2-fsck@.timer /srv/images)"
  expect 0 systemctl enable "$timer"
  [[ -L "$root/etc/systemd/system/timers.target.wants/$timer" ]] ||
    fail "the timer is not enabled"
  inside mkdir -p /var/lib/qcow2-fsck/srv-images
  inside touch /var/lib/qcow2-fsck/srv-images/state
}

check_completion() {
  expect 0 bash -c '. /usr/share/bash-completion/bash_completion
    _load_comp qcow2-fsck 2>/dev/null || __load_completion qcow2-fsck
    complete -p qcow2-fsck'
}

names=(qcow2-fsck qcow2-fsck-static nbdkit-plugin-qcow2)
trap 'rm -rf --one-file-system "$root" "$root.log"' EXIT
make_system "$@"
# By itself it needs nothing that the base system has not.
install_packages "/tmp/qcow2-fsck_${version}-1_$(dpkg --print-architecture).deb"
expect 4 qcow2-fsck /tmp/image
expect 0 apt-get purge -y qcow2-fsck
install_packages bash-completion libabsl20220623 libnbd-bin man-db nbdkit systemd
files >"$root/tmp/before"
# shellcheck disable=SC2046  # Names without blanks.
install_packages $(printf '/tmp/%s\n' "${@##*/}")
check_programs
check_completion
check_units
expect 0 apt-get remove -y "${names[@]}"
[[ -e "$root/var/lib/qcow2-fsck/srv-images/state" ]] ||
  fail "removing the package took the state with it"
expect 0 apt-get purge -y "${names[@]}"
files >"$root/tmp/after"
diff "$root/tmp/before" "$root/tmp/after" || fail "purging leaves the above"
