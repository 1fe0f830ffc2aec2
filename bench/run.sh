#!/bin/sh
# Builds the optimised programs, makes the benchmark images that are missing
# and measures. Arguments go to run.py (see run.py --help).
set -eu
cd "$(dirname "$0")/.."
bazel build --config=opt //cli:qcow2-fsck //bench:read_loop //bench:measure

images=
only=
for argument; do
  case "$argument" in
    --images=*) images=${argument#--images=} ;;
    --only=*) only=$argument ;;
  esac
done
python3 bench/make_images.py ${only:+"$only"} ${images:+"$images"}
# The convenience link bazel-bin points to whatever was built last.
built=$(bazel info --config=opt bazel-bin 2>/dev/null)
exec python3 bench/run.py --fsck="$built/cli/qcow2-fsck" \
  --read-loop="$built/bench/read_loop" --measure="$built/bench/measure" "$@"
