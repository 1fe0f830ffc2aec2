#compdef qcow2-fsck
# Completions of zsh.
# Made by: bazel run //cli:generate_completions -- $PWD/packaging/completions

_qcow2_fsck_first() {
  local -a commands=(
    'merge:Make one report of those of several runs'
  )
  _describe command commands
  _files
}

_qcow2_fsck() {
  if ((CURRENT > 2)); then
    case $words[2] in
      merge)
        shift words
        ((CURRENT--))
        _qcow2_fsck_merge
        return ;;
    esac
  fi
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--version)--version[Print the version and exit]' \
    '(--overlap-check)--overlap-check=[Which metadata is watched for overlaps]:CLASSES:(none constant cached all)' \
    '(--deep)--deep[Also decode every compressed cluster, verify LUKS header digests and follow the whole backing chain]' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are looked at]:POLICY:(follow any same-dir none)' \
    '(--jobs)--jobs=[Use N threads, for as many images side by side]:N: ' \
    '(--memory-limit)--memory-limit=[Use at most about SIZE bytes]:SIZE: ' \
    '(-U --force-share)-U[Check an image that another program has open]' \
    '(-U --force-share)--force-share[Check an image that another program has open]' \
    '(--sandbox)--sandbox[Once the image is open, let the kernel refuse this process all but reading, memory, threads, the sizes and dates of files and writing to standard output and error]' \
    '(--remote-timeout)--remote-timeout=[How long the server of an image at an NBD address may give no sign of life]:SECONDS: ' \
    '(--recursive)--recursive[Check every qcow2 image in the folders given and below them, found by content]' \
    '*--exclude=[With --recursive: leave out files and folders whose name matches GLOB, or whose path does if GLOB has a slash]:GLOB: ' \
    '(--newer-than)--newer-than=[With --recursive: leave out what was last modified before TIME, a date or as long ago as a duration says]:TIME: ' \
    '(--with-backing-files)--with-backing-files[Also check the backing files of the images, wherever they are, each once]' \
    '(--time-budget)--time-budget=[Begin no further image when DURATION]:DURATION: ' \
    '(--state)--state=[Keep in FILE when each image was checked]:FILE:_files' \
    '*--baseline=[Report only what is new or gone since REPORT]:REPORT:_files' \
    '(--shard)--shard=[Check only part I]:I/N: ' \
    '(--max-rate)--max-rate=[Read at most BYTES]:BYTES: ' \
    '(--repair)--repair=-[Repair the image]::MODE:(all leaks salvage)' \
    '(--dry-run)--dry-run[With --repair: plan and prove, print the plan, write nothing]' \
    '(--free-suspects)--free-suspects[With --repair: also free leaked clusters that may be what is left of guest data, and lower refcounts of clusters that something damaged may name, too]' \
    '*--drop-snapshot=[With --repair=salvage: give up the damaged snapshot with this name or ID]:NAME: ' \
    '(--journal)--journal=[Where the journal is]:PATH:_files' \
    '(--undo-file)--undo-file=[Where the undo file is]:PATH:_files' \
    '(--no-undo)--no-undo[With --repair: keep no undo file]' \
    '(--recover)--recover[Finish a repair that was cut short, then check the image]' \
    '(--undo)--undo[Take the last repair back, to the byte, then check the image]' \
    '(--discard-freed)--discard-freed[Give the space of free clusters back, if the image is clean]' \
    '(--moved-image)--moved-image[With --recover or --undo: the image was moved or copied since the repair]' \
    '(--output)--output=[What to print]:FORMAT:(human json ndjson)' \
    '(--report)--report=[Also write the report to FILE]:FILE:_files' \
    '(--metrics)--metrics=[Also write metrics to FILE for Prometheus'\'' textfile collector]:FILE:_files' \
    '(--html)--html=[Also write a page to FILE with the report and a map of the image]:FILE:_files' \
    '(--map)--map=[Also draw to FILE, as SVG, who owns which cluster and what is damaged]:FILE:_files' \
    '(--max-problems)--max-problems=[List at most N findings an image]:N: ' \
    '(--explain)--explain=[Explain a problem by its code or number and exit]:CODE:(list header-truncated header-magic header-overwritten header-version header-draft-v3 header-cluster-bits header-size-too-large header-size-unaligned header-crypt-method l1-table-unaligned l1-table-past-end l1-table-too-large l1-table-too-small refcount-table-unaligned refcount-table-past-end refcount-table-too-large refcount-table-missing refcount-order snapshot-table-unaligned snapshot-count snapshot-table-past-end unknown-incompatible-feature dirty-bit corrupt-bit header-length header-padding compression-type-unknown compression-type-bit backing-name-outside backing-name-too-long backing-name-invalid autoclear-without-extension autoclear-unknown extended-l2-cluster-size compatible-unknown header-length-unaligned extension-overflow extension-duplicate extension-length feature-name-table refcount-table-entry-reserved refcount-block-unaligned refcount-block-past-end refcount-block-duplicate refcount-block-shared refcount-block-missing refcount-block-unreadable refcount-too-low refcount-too-high cluster-leaked refcount-past-end refcount-overflow l1-entry-unaligned l1-entry-reserved l1-entry-past-end l1-copied-wrong l1-copied-missing l1-table-unreadable l2-table-referenced-twice l1-entry-no-offset l2-entry-unaligned l2-entry-reserved l2-entry-past-end l2-copied-wrong l2-copied-missing compressed-copied compressed-past-end zero-flag-version-2 zero-flag-extended-l2 subcluster-contradiction subcluster-without-offset compressed-bitmap compressed-data-file l2-table-unreadable guest-cluster-shared data-file-offset data-file-entry-past-end l2-table-is-refcount-block l2-table-is-guest-data l2-table-wiped orphan-l2-table overlap-metadata overlap-guest-data snapshot-unparseable snapshot-l1-unaligned snapshot-l1-past-end snapshot-l1-too-large snapshot-l1-too-small snapshot-extra-short snapshot-extra-long snapshot-duplicate-id snapshot-disk-size snapshot-data-file snapshot-table-too-large bitmaps-stale bitmap-extension bitmap-directory-past-end bitmap-directory-entry bitmap-count bitmap-table-past-end bitmap-table-entry bitmap-data-past-end bitmap-size bitmap-duplicate-name bitmap-in-use bitmap-tail luks-pointer-missing luks-pointer luks-magic luks-key-slot luks-digest luks-unexpected compressed-encrypted data-file-missing data-file-size raw-without-data-file raw-with-backing data-file-name-missing data-file-name-unexpected backing-missing backing-cycle backing-depth backing-damaged backing-format other-file-not-opened compressed-undecodable range-unreadable repair-pending repair-remains image-not-locked)' \
    '(--progress)--progress[Show progress on standard error also if that is no terminal]' \
    '(--no-progress)--no-progress[Show no progress]' \
    '(--compat)--compat=[With '\''qemu-img'\'': take the options of `qemu-img check`]:PROGRAM:(qemu-img)' \
    '1:file:_qcow2_fsck_first' \
    '*:file:_files'
}

_qcow2_fsck_merge() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--version)--version[Print the version and exit]' \
    '(--output)--output=[What to print]:FORMAT:(human json ndjson)' \
    '*:file:_files'
}

_qcow2_fsck "$@"
