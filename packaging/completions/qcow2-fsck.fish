# Completions of fish for qcow2-fsck.
# Made by: bazel run //cli:generate_completions -- $PWD/packaging/completions

# Whether the command line begins with these subcommands.
function __qcow2_fsck_at
    set -l words (commandline -opc)
    set -l depth (math (count $argv) + 1)
    test (count $words) -ge $depth
    and test "$words[1..$depth]" = "$words[1] $argv"
end

complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -s h -l help -d 'Print this help and exit'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l version -d 'Print the version and exit'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l overlap-check -x -a 'none constant cached all' -d 'Which metadata is watched for overlaps'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l deep -d 'Also decode every compressed cluster, verify LUKS header digests and follow the whole backing chain'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l backing -x -a 'follow any same-dir none' -d 'Which files that an image names, backing and data files, are looked at'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l jobs -x -d 'Use N threads, for as many images side by side'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l memory-limit -x -d 'Use at most about SIZE bytes'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -s U -l force-share -d 'Check an image that another program has open'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l sandbox -d 'Once the image is open, let the kernel refuse this process all but reading, memory, threads, the sizes and dates of files and writing to standard output and error'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l remote-timeout -x -d 'How long the server of an image at an NBD address may give no sign of life'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l recursive -d 'Check every qcow2 image in the folders given and below them, found by content'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l exclude -x -d 'With --recursive: leave out files and folders whose name matches GLOB, or whose path does if GLOB has a slash'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l newer-than -x -d 'With --recursive: leave out what was last modified before TIME, a date or as long ago as a duration says'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l with-backing-files -d 'Also check the backing files of the images, wherever they are, each once'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l time-budget -x -d 'Begin no further image when DURATION'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l state -r -F -d 'Keep in FILE when each image was checked'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l baseline -r -F -d 'Report only what is new or gone since REPORT'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l shard -x -d 'Check only part I'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l max-rate -x -d 'Read at most BYTES'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l repair -a 'all leaks salvage' -d 'Repair the image'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l dry-run -d 'With --repair: plan and prove, print the plan, write nothing'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l free-suspects -d 'With --repair: also free leaked clusters that may be what is left of guest data, and lower refcounts of clusters that something damaged may name, too'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l drop-snapshot -x -d 'With --repair=salvage: give up the damaged snapshot with this name or ID'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l journal -r -F -d 'Where the journal is'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l undo-file -r -F -d 'Where the undo file is'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l no-undo -d 'With --repair: keep no undo file'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l recover -d 'Finish a repair that was cut short, then check the image'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l undo -d 'Take the last repair back, to the byte, then check the image'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l discard-freed -d 'Give the space of free clusters back, if the image is clean'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l moved-image -d 'With --recover or --undo: the image was moved or copied since the repair'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l output -x -a 'human json ndjson' -d 'What to print'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l report -r -F -d 'Also write the report to FILE'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l metrics -r -F -d 'Also write metrics to FILE for Prometheus\' textfile collector'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l html -r -F -d 'Also write a page to FILE with the report and a map of the image'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l map -r -F -d 'Also draw to FILE, as SVG, who owns which cluster and what is damaged'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l max-problems -x -d 'List at most N findings an image'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l explain -x -a 'list header-truncated header-magic header-overwritten header-version header-draft-v3 header-cluster-bits header-size-too-large header-size-unaligned header-crypt-method l1-table-unaligned l1-table-past-end l1-table-too-large l1-table-too-small refcount-table-unaligned refcount-table-past-end refcount-table-too-large refcount-table-missing refcount-order snapshot-table-unaligned snapshot-count snapshot-table-past-end unknown-incompatible-feature dirty-bit corrupt-bit header-length header-padding compression-type-unknown compression-type-bit backing-name-outside backing-name-too-long backing-name-invalid autoclear-without-extension autoclear-unknown extended-l2-cluster-size compatible-unknown header-length-unaligned extension-overflow extension-duplicate extension-length feature-name-table refcount-table-entry-reserved refcount-block-unaligned refcount-block-past-end refcount-block-duplicate refcount-block-shared refcount-block-missing refcount-block-unreadable refcount-too-low refcount-too-high cluster-leaked refcount-past-end refcount-overflow l1-entry-unaligned l1-entry-reserved l1-entry-past-end l1-copied-wrong l1-copied-missing l1-table-unreadable l2-table-referenced-twice l1-entry-no-offset l2-entry-unaligned l2-entry-reserved l2-entry-past-end l2-copied-wrong l2-copied-missing compressed-copied compressed-past-end zero-flag-version-2 zero-flag-extended-l2 subcluster-contradiction subcluster-without-offset compressed-bitmap compressed-data-file l2-table-unreadable guest-cluster-shared data-file-offset data-file-entry-past-end l2-table-is-refcount-block l2-table-is-guest-data l2-table-wiped orphan-l2-table overlap-metadata overlap-guest-data snapshot-unparseable snapshot-l1-unaligned snapshot-l1-past-end snapshot-l1-too-large snapshot-l1-too-small snapshot-extra-short snapshot-extra-long snapshot-duplicate-id snapshot-disk-size snapshot-data-file snapshot-table-too-large bitmaps-stale bitmap-extension bitmap-directory-past-end bitmap-directory-entry bitmap-count bitmap-table-past-end bitmap-table-entry bitmap-data-past-end bitmap-size bitmap-duplicate-name bitmap-in-use bitmap-tail luks-pointer-missing luks-pointer luks-magic luks-key-slot luks-digest luks-unexpected compressed-encrypted data-file-missing data-file-size raw-without-data-file raw-with-backing data-file-name-missing data-file-name-unexpected backing-missing backing-cycle backing-depth backing-damaged backing-format other-file-not-opened compressed-undecodable range-unreadable repair-pending repair-remains image-not-locked' -d 'Explain a problem by its code or number and exit'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l progress -d 'Show progress on standard error also if that is no terminal'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l no-progress -d 'Show no progress'
complete -c qcow2-fsck -n 'not __qcow2_fsck_at merge' -l compat -x -a 'qemu-img' -d 'With \'qemu-img\': take the options of `qemu-img check`'
complete -c qcow2-fsck -n 'test (count (commandline -opc)) -eq 1; and not __qcow2_fsck_at merge' -a merge -d 'Make one report of those of several runs'
complete -c qcow2-fsck -n '__qcow2_fsck_at merge' -s h -l help -d 'Print this help and exit'
complete -c qcow2-fsck -n '__qcow2_fsck_at merge' -l version -d 'Print the version and exit'
complete -c qcow2-fsck -n '__qcow2_fsck_at merge' -l output -x -a 'human json ndjson' -d 'What to print'
