#!/bin/sh
# `qcow2-tool dump` shows every image of the corpus, damaged as it may be.
set -eu
folder=$(mktemp -d "$TEST_TMPDIR/corpus.XXXXXX")
tests/cli/unpack_corpus.sh corpus/images "$folder"
/usr/bin/python3 tests/cli/tool_dump_test.py cli/tool/qcow2-tool \
  "$folder"/*/*.qcow2
