#!/bin/sh
# The hand-made reports pass the JSON Schema, as an array and line by line.
set -eu
samples=cli/print_samples
schema=docs/report.schema.json
for layout in json ndjson; do
  "$samples" "$layout" |
    /usr/bin/python3 cli/validate_reports.py "$schema" --damage
done
