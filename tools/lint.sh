#!/bin/bash
# Looks over the sources with clang-format, clang-tidy and shellcheck, sees
# whether the patches of tests/mutations still fit them, and changes nothing:
#   tools/lint.sh [FILE...]
# Without arguments, over all of them. The exit status is 0 if there is nothing
# to say.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=tools/setup.sh
source "$root/tools/setup.sh"

ensure_packages "${packages_to_lint[@]}" || exit 8
cd "$root"
if (($# == 0)); then
  mapfile -t files < <(git ls-files '*.cc' '*.h' '*.sh' .ci/run \
    packaging/systemd/{keep-report,notify} 'packaging/completions/*.bash' \
    'tests/mutations/*.patch')
  set -- "${files[@]}"
fi

sources=() units=() scripts=() patches=()
for file in "$@"; do
  case "$file" in
    *.cc) sources+=("$file") units+=("$file") ;;
    *.h) sources+=("$file") ;;
    *.patch) patches+=("$file") ;;
    *.sh | *.bash | */run | */keep-report | */notify) scripts+=("$file") ;;
  esac
done

# each COMMAND... < NAMES: the command once for every few of the names, side by
# side. Fails if one of them does.
each() { tr '\n' '\0' | xargs -0 -r -P "$(nproc)" -n 4 "$@"; }

tidy() {
  # Headers are looked at through the units that include them. The count of
  # warnings left out, which it prints for every unit, is of no interest.
  # shellcheck disable=SC2016
  each bash -c 'clang-tidy-14 --quiet "$@" -- -std=c++20 -I.' tidy 2>&1 |
    grep -vE '^[0-9]+ warnings? generated\.$|^$' || [[ ${PIPESTATUS[0]} == 0 ]]
}

status=0
if ((${#sources[@]})); then
  printf '%s\n' "${sources[@]}" |
    each clang-format-14 --dry-run -Werror || status=1
fi
if ((${#scripts[@]})); then
  printf '%s\n' "${scripts[@]}" | each shellcheck -x || status=1
fi
for patch in "${patches[@]}"; do
  git apply --check "$patch" || status=1
done
if ((${#units[@]})); then
  printf '%s\n' "${units[@]}" | tidy || status=1
fi
exit "$status"
