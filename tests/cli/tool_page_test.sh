#!/bin/sh
# The session of docs/qcow2-tool.md; see readme_test.py.
set -eu
exec /usr/bin/python3 tests/cli/readme_test.py docs/qcow2-tool.md \
  cli/tool/qcow2-tool .
