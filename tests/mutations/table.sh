#!/bin/sh
# See table.py.
set -eu
exec /usr/bin/python3 -B tests/mutations/table.py "$@"
