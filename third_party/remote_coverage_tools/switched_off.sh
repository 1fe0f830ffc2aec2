#!/bin/bash
echo "coverage is switched off in this workspace" >&2
exit 1
