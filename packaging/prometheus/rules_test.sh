#!/bin/sh
# promtool takes the alert rules, each alert fires when it should and not before,
# and every metric that they look at is one that qcow2-fsck writes.
set -eu
if ! command -v promtool >/dev/null; then
  echo "promtool (Debian's package prometheus) is not installed"
  exit 1
fi
folder=packaging/prometheus
promtool check rules "$folder/qcow2-fsck.rules.yml"
promtool test rules "$folder/qcow2-fsck.rules.test.yml"

metrics=$TEST_TMPDIR/fsck.prom
image=$TEST_TMPDIR/image
gzip -dc corpus/images/sample-damaged.qcow2.gz >"$image"
cli/qcow2-fsck --recursive --baseline="$TEST_TMPDIR/none" --output=ndjson \
  --metrics="$metrics" "$image" >"$TEST_TMPDIR/report" 2>&1 || [ $? -eq 4 ]
promtool check metrics <"$metrics"
used=$(grep -o 'qcow2_fsck_[a-z_]*' "$folder/qcow2-fsck.rules.yml" | sort -u)
for name in $used; do
  if ! grep -q "^# TYPE $name gauge" "$metrics"; then
    echo "there is no metric $name"
    exit 1
  fi
done
