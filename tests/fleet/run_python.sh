#!/bin/sh
# Runs a test in Python with the system's interpreter, whose modules it needs:
#   run_python.sh TEST.py
set -eu
exec /usr/bin/python3 -B "$1"
