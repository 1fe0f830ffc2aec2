#!/bin/sh
# A manual page is sound mdoc, for mandoc and for groff:
#   manual_test.sh PAGE
set -eu
mandoc -Tlint -W warning "$1"
warnings=$(LC_ALL=C.UTF-8 MANWIDTH=80 \
  man --warnings --encoding=UTF-8 --local-file --troff-device=utf8 --ditroff \
  "$1" 2>&1 >/dev/null)
if [ -n "$warnings" ]; then
  echo "$warnings"
  exit 1
fi
