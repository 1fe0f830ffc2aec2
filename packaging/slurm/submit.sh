#!/bin/bash
# Checks every qcow2 image in the folders on the nodes of a Slurm cluster:
#   submit.sh REPORTS FOLDER...
# REPORTS and the folders are seen under the same names by all nodes. Submits an
# array job of SHARDS tasks (4), each of which checks its share, and a job that
# merges their reports when all have ended. Prints the folder of this run's
# reports, below REPORTS: the merged one is all.ndjson, for people all.txt.
#
# SBATCH_... variables are sbatch's own, as are the options in the two scripts;
# QCOW2_FSCK_OPTIONS are for every check (--with-backing-files, for example).
set -euo pipefail

if (($# < 2)); then
  echo "usage: submit.sh REPORTS FOLDER..." >&2
  exit 16
fi
scripts="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
shards="${SHARDS:-4}"
mkdir -p "$1"
reports="$(realpath "$1")"
run="$reports/$(date +%Y-%m-%dT%H%M%S)"
shift
# Not that of another run that began in the same second.
mkdir "$run"

array="$(sbatch --parsable --array="0-$((shards - 1))" \
  --output="$run/shard-%a.log" "$scripts/check.sbatch" "$run" "$@")"
# After any end: a shard that did not come to its end is what the merge says.
sbatch --parsable --dependency="afterany:${array%%;*}" \
  --output="$run/merge.log" "$scripts/merge.sbatch" "$run" "$shards" >/dev/null
echo "$run"
