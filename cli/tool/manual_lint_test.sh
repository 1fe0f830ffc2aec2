#!/bin/sh
# The manual page is sound mdoc.
set -eu
mandoc -Tlint -W warning docs/qcow2-tool.1
