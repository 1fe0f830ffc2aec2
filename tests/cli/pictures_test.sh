#!/bin/sh
# The pictures of every image of the corpus, damaged as it may be. See
# pictures_test.py.
set -eu
folder=$(mktemp -d "$TEST_TMPDIR/corpus.XXXXXX")
tests/cli/unpack_corpus.sh corpus/images "$folder"
/usr/bin/python3 tests/cli/pictures_test.py cli/qcow2-fsck "$folder"/*/*.qcow2
