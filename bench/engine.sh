#!/bin/sh
# Builds the optimised programs and measures qcow2-tool against qemu-img.
# Arguments go to engine.py (see engine.py --help).
set -eu
cd "$(dirname "$0")/.."
bazel build --config=opt //cli:qcow2-tool //nbdkit:nbdkit-qcow2-plugin.so \
  //bench:measure //bench:request_loop
built=$(bazel info --config=opt bazel-bin 2>/dev/null)
exec python3 bench/engine.py --tool="$built/cli/tool/qcow2-tool" \
  --plugin="$built/nbdkit/nbdkit-qcow2-plugin.so" \
  --measure="$built/bench/measure" --loop="$built/bench/request_loop" "$@"
