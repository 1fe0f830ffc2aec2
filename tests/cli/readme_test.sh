#!/bin/sh
# See readme_test.py.
set -eu
exec /usr/bin/python3 tests/cli/readme_test.py README.md cli/qcow2-fsck \
  corpus/images
