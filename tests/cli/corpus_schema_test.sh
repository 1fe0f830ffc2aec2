#!/bin/sh
# The JSON report of every image of the corpus passes the schema in docs/.
set -eu
folder=$(mktemp -d "$TEST_TMPDIR/corpus.XXXXXX")
tests/cli/unpack_corpus.sh corpus/images "$folder"
status=0
cli/qcow2-fsck --deep --output=ndjson "$folder"/*/*.qcow2 \
  >"$folder/reports.ndjson" || status=$?
# Damaged images are among them, and such as can be read only in part.
if [ "$status" -ne 12 ] && [ "$status" -ne 4 ]; then
  echo "exit code $status"
  exit 1
fi
/usr/bin/python3 cli/validate_reports.py docs/report.schema.json \
  <"$folder/reports.ndjson"
