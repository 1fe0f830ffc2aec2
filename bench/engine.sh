#!/bin/sh
# Builds the optimised programs and measures qcow2-tool against qemu-img.
# Arguments go to engine.py (see engine.py --help).
set -eu
cd "$(dirname "$0")/.."
bazel build --config=opt //cli:qcow2-tool //bench:measure
built=$(bazel info --config=opt bazel-bin 2>/dev/null)
exec python3 bench/engine.py --tool="$built/cli/tool/qcow2-tool" \
  --measure="$built/bench/measure" "$@"
