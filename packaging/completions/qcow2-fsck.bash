# shellcheck shell=bash
# Completions of bash for qcow2-fsck.
# Made by: bazel run //cli:generate_completions -- $PWD/packaging/completions
_qcow2_fsck() {
  local cur prev words cword split
  _init_completion -s || return
  # The subcommand, as far as it is there.
  local command='' i
  for ((i = 1; i < cword; i++)); do
    case "$command/${words[i]}" in
      /merge)
        command+="/${words[i]}" ;;
      *) break ;;
    esac
  done
  # The value of an option.
  case "$command $prev" in
    ' --state' | \
      ' --baseline' | \
      ' --journal' | \
      ' --undo-file' | \
      ' --report' | \
      ' --metrics' | \
      ' --html' | \
      ' --map')
      _filedir; return ;;
    ' --repair')
      if [[ "$split" == true ]]; then mapfile -t COMPREPLY < <(compgen -W 'all leaks salvage' -- "$cur"); return; fi ;;
    ' --backing')
      mapfile -t COMPREPLY < <(compgen -W 'follow any same-dir none' -- "$cur"); return ;;
    ' --output' | \
      '/merge --output')
      mapfile -t COMPREPLY < <(compgen -W 'human json ndjson' -- "$cur"); return ;;
    ' --explain')
      mapfile -t COMPREPLY < <(compgen -W 'list header-truncated header-magic header-overwritten header-version header-draft-v3 header-cluster-bits header-size-too-large header-size-unaligned header-crypt-method l1-table-unaligned l1-table-past-end l1-table-too-large l1-table-too-small refcount-table-unaligned refcount-table-past-end refcount-table-too-large refcount-table-missing refcount-order snapshot-table-unaligned snapshot-count snapshot-table-past-end unknown-incompatible-feature dirty-bit corrupt-bit header-length header-padding compression-type-unknown compression-type-bit backing-name-outside backing-name-too-long backing-name-invalid autoclear-without-extension autoclear-unknown extended-l2-cluster-size compatible-unknown header-length-unaligned extension-overflow extension-duplicate extension-length feature-name-table refcount-table-entry-reserved refcount-block-unaligned refcount-block-past-end refcount-block-duplicate refcount-block-shared refcount-block-missing refcount-block-unreadable refcount-too-low refcount-too-high cluster-leaked refcount-past-end refcount-overflow l1-entry-unaligned l1-entry-reserved l1-entry-past-end l1-copied-wrong l1-copied-missing l1-table-unreadable l2-table-referenced-twice l1-entry-no-offset l2-entry-unaligned l2-entry-reserved l2-entry-past-end l2-copied-wrong l2-copied-missing compressed-copied compressed-past-end zero-flag-version-2 zero-flag-extended-l2 subcluster-contradiction subcluster-without-offset compressed-bitmap compressed-data-file l2-table-unreadable guest-cluster-shared data-file-offset data-file-entry-past-end l2-table-is-refcount-block l2-table-is-guest-data l2-table-wiped orphan-l2-table overlap-metadata overlap-guest-data snapshot-unparseable snapshot-l1-unaligned snapshot-l1-past-end snapshot-l1-too-large snapshot-l1-too-small snapshot-extra-short snapshot-extra-long snapshot-duplicate-id snapshot-disk-size snapshot-data-file snapshot-table-too-large bitmaps-stale bitmap-extension bitmap-directory-past-end bitmap-directory-entry bitmap-count bitmap-table-past-end bitmap-table-entry bitmap-data-past-end bitmap-size bitmap-duplicate-name bitmap-in-use bitmap-tail luks-pointer-missing luks-pointer luks-magic luks-key-slot luks-digest luks-unexpected compressed-encrypted data-file-missing data-file-size raw-without-data-file raw-with-backing data-file-name-missing data-file-name-unexpected backing-missing backing-cycle backing-depth backing-damaged backing-format other-file-not-opened compressed-undecodable range-unreadable repair-pending repair-remains image-not-locked' -- "$cur"); return ;;
    ' --overlap-check')
      mapfile -t COMPREPLY < <(compgen -W 'none constant cached all' -- "$cur"); return ;;
    ' --compat')
      mapfile -t COMPREPLY < <(compgen -W 'qemu-img' -- "$cur"); return ;;
    ' --jobs' | \
      ' --memory-limit' | \
      ' --remote-timeout' | \
      ' --exclude' | \
      ' --newer-than' | \
      ' --time-budget' | \
      ' --shard' | \
      ' --max-rate' | \
      ' --drop-snapshot' | \
      ' --max-problems')
      return ;;
  esac
  if [[ "$split" == true ]]; then return; fi
  if [[ "$cur" == -* ]]; then
    case "$command" in
      '')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --version --overlap-check= --deep --backing= --jobs= --memory-limit= -U --force-share --sandbox --remote-timeout= --recursive --exclude= --newer-than= --with-backing-files --time-budget= --state= --baseline= --shard= --max-rate= --repair --dry-run --free-suspects --drop-snapshot= --journal= --undo-file= --no-undo --recover --undo --discard-freed --moved-image --output= --report= --metrics= --html= --map= --max-problems= --explain= --progress --no-progress --compat=' -- "$cur") ;;
      '/merge')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --version --output=' -- "$cur") ;;
    esac
    if [[ "${COMPREPLY[0]-}" == *= ]]; then compopt -o nospace; fi
    return
  fi
  case "$command" in
    '')
      _filedir
      if ((cword == 1)) && [[ -n "$cur" ]]; then
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
          compgen -W 'merge' -- "$cur")
      fi ;;
    *) _filedir ;;
  esac
} &&
  complete -F _qcow2_fsck qcow2-fsck
