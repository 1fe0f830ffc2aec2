#!/bin/sh
# See page_test.py.
set -eu
export HOME="$TEST_TMPDIR"
exec /usr/bin/python3 tests/browser/page_test.py cli/qcow2-fsck
