#!/bin/bash
# A check in the sandbox says of every image of the corpus, byte for byte, what
# one outside says that looks at no other files; and a file that cannot be
# opened is told as always.
set -euo pipefail
folder=$(mktemp -d "$TEST_TMPDIR/corpus.XXXXXX")
tests/cli/unpack_corpus.sh corpus/images "$folder"
program=$PWD/cli/qcow2-fsck
compared=0 differing=0

# compare IMAGE OPTION...
compare() {
  local inside=0 outside=0 image=$1
  shift
  "$program" --sandbox "$@" "$image" >inside 2>inside.errors || inside=$?
  "$program" --backing=none "$@" "$image" >outside 2>outside.errors ||
    outside=$?
  # What a check took is not the same twice.
  sed -i -E '/"(seconds|peak_memory)"/d; s/ in [0-9.]+ m?s$//' inside outside
  compared=$((compared + 1))
  if [[ $inside != "$outside" ]] || ! diff outside inside ||
    ! diff outside.errors inside.errors; then
    echo "$image $*: exit codes $outside and $inside"
    differing=$((differing + 1))
  fi
}

cd "$folder"
for image in */*.qcow2; do
  compare "$image"
  compare "$image" --deep --jobs=4 --memory-limit=1K --output=json
done
compare nowhere.qcow2
compare .
echo "$compared compared, $differing differ"
[[ $compared -gt 400 && $differing == 0 ]]
