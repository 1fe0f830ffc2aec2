#!/bin/bash
# --compat=qemu-img prints on standard output what the real `qemu-img check`
# prints, and exits as it does, for every image of the corpus on which the two
# are meant to agree.
set -euo pipefail
folder=$(mktemp -d "$TEST_TMPDIR/corpus.XXXXXX")
tests/cli/unpack_corpus.sh corpus/images "$folder"
program=$PWD/cli/qcow2-fsck
compared=0 differing=0

# Why an image is left out: qemu-img never comes back from a backing cycle, asks
# for the secret of an encrypted image before it looks at anything, and gives up
# without a report where the snapshot table cannot be loaded.
left_out() {
  case $1 in
    backing-cycle* | healthy-aes | healthy-luks* | luks-* | \
      compressed-encrypted | snapshot-extra-long | snapshot-table-too-large) return 0 ;;
  esac
  return 1
}

# compare NAME FORMAT, in the folder of the image
compare() {
  local theirs=0 ours=0
  timeout 60 qemu-img check --output="$2" "$1.qcow2" >theirs 2>theirs.errors ||
    theirs=$?
  "$program" --compat=qemu-img --output="$2" "$1.qcow2" >ours 2>ours.errors ||
    ours=$?
  # What qemu-img does not see is counted on purpose.
  "$program" --compat=qemu-img --output=json "$1.qcow2" >json 2>&1 || true
  if grep -q unseen json; then return 0; fi
  compared=$((compared + 1))
  if [[ $theirs != "$ours" ]] || ! diff theirs ours; then
    echo "$1, $2: exit codes $theirs and $ours"
    differing=$((differing + 1))
  fi
}

for image in "$folder"/*/; do
  name=$(basename "$image")
  if left_out "$name"; then continue; fi
  cd "$image"
  compare "$name" human
  compare "$name" json
done
echo "$compared outputs compared, $differing differ"
((differing == 0 && compared > 200))
