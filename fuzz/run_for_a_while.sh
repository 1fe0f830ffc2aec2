#!/bin/sh
# Lets libFuzzer run a target for a bounded time, starting from the seeds:
#   run_for_a_while.sh TARGET DICTIONARY [SEED...]
# FUZZ_SECONDS says how long (10). Fails on the first input that fails; it is
# printed in base64.
set -eu
target=$1
dictionary=$2
shift 2
found=$(mktemp -d)
seeds=$(mktemp -d)
for seed in "$@"; do cp "$seed" "$seeds"; done
exec "$target" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=25 \
  -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
  -dict="$dictionary" -artifact_prefix="$found/" "$found" "$seeds"
