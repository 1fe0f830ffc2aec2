#compdef qcow2-tool
# Completions of zsh.
# Made by: bazel run //cli:generate_completions -- $PWD/packaging/completions

_qcow2_tool() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands=(
    'create:Make a new, empty image'
    'info:Say what an image is'
    'map:Show where the disk'\''s bytes are stored'
    'dump:Show every structure of an image'
    'read:Print bytes of the guest'\''s disk'
    'write:Replace bytes of the guest'\''s disk'
    'zero:Make bytes of the guest'\''s disk zeros'
    'discard:Give back clusters whose bytes are no longer needed'
    'convert:Copy a disk to a new image or raw file'
    'compare:Compare the contents of two disks'
    'resize:Make the disk longer or shorter'
    'snapshot:Create, apply, delete and list internal snapshots'
    'key:List, add and remove the passphrases of a LUKS image'
    'bitmap:Dirty bitmaps'
    'commit:Write what an image has to its backing file'
    'rebase:Give an image another backing file'
    'amend:Change what an image is'
    'fdisk:List and create partitions of the guest'\''s disk'
    'bench:Measure requests a second'
  )
  _arguments -C -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--version)--version[Print the version and exit]' \
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $words[1] in
      create) _qcow2_tool_create ;;
      info) _qcow2_tool_info ;;
      map) _qcow2_tool_map ;;
      dump) _qcow2_tool_dump ;;
      read) _qcow2_tool_read ;;
      write) _qcow2_tool_write ;;
      zero) _qcow2_tool_zero ;;
      discard) _qcow2_tool_discard ;;
      convert) _qcow2_tool_convert ;;
      compare) _qcow2_tool_compare ;;
      resize) _qcow2_tool_resize ;;
      snapshot) _qcow2_tool_snapshot ;;
      key) _qcow2_tool_key ;;
      bitmap) _qcow2_tool_bitmap ;;
      commit) _qcow2_tool_commit ;;
      rebase) _qcow2_tool_rebase ;;
      amend) _qcow2_tool_amend ;;
      fdisk) _qcow2_tool_fdisk ;;
      bench) _qcow2_tool_bench ;;
    esac ;;
  esac
}

_qcow2_tool_create() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[qcow2]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2]:FORMAT:(qcow2 raw)' \
    '(-u --unchecked-backing)-u[Do not look whether the backing file is there]' \
    '(-u --unchecked-backing)--unchecked-backing[Do not look whether the backing file is there]' \
    '(-o)-o+[Options by the names of qemu-img]:KEY=VALUE,...: ' \
    '(--compat)--compat=[0.10]:VERSION:(0.10 1.1)' \
    '(--cluster-size)--cluster-size=[512 to 2M]:BYTES: ' \
    '(--refcount-bits)--refcount-bits=[1, 2, 4, .]:N: ' \
    '(--lazy-refcounts)--lazy-refcounts=[Write refcounts late]:on|off:(on off)' \
    '(--extended-l2)--extended-l2=[Allocate in parts of a cluster]:on|off:(on off)' \
    '(--compression-type)--compression-type=[zlib]:TYPE:(zlib zstd)' \
    '(--preallocation)--preallocation=[off]:MODE:(off metadata falloc full)' \
    '(-b --backing-file)-b+[What unallocated clusters are read from]:FILE:_files' \
    '(-b --backing-file)--backing-file=[What unallocated clusters are read from]:FILE:_files' \
    '(-F --backing-format)-F+[Its format]:FORMAT:(qcow2 raw)' \
    '(-F --backing-format)--backing-format=[Its format]:FORMAT:(qcow2 raw)' \
    '(--data-file)--data-file=[Keep the guest'\''s data in FILE]:FILE:_files' \
    '(--data-file-raw)--data-file-raw=[Make that file a raw disk that others can read]:on|off:(on off)' \
    '(--encrypt)--encrypt=[luks, aes]:FORMAT:(luks aes off)' \
    '(--cipher)--cipher=[Of LUKS]:CIPHER:(aes-128 aes-192 aes-256)' \
    '(--cipher-mode)--cipher-mode=[xts]:MODE:(xts cbc)' \
    '(--ivgen)--ivgen=[plain, plain64]:NAME:(plain plain64 essiv)' \
    '(--ivgen-hash)--ivgen-hash=[Of essiv]:HASH: ' \
    '(--hash)--hash=[Of the passphrase]:HASH:(sha1 sha256 sha512)' \
    '(--iter-time)--iter-time=[How long deriving the key shall take]:MS: ' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '*:file:_files'
}

_qcow2_tool_info() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--output)--output=[human]:FORMAT:(human json)' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--backing-chain)--backing-chain[All images of the chain]' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_map() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--output)--output=[human]:FORMAT:(human json)' \
    '(--start-offset)--start-offset=[First byte]:BYTES: ' \
    '(--max-length)--max-length=[How many]:BYTES: ' \
    '(-l --snapshot)-l+[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-l --snapshot)--snapshot=[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '(-U --force-share)-U[Read an image that another program writes]' \
    '(-U --force-share)--force-share[Read an image that another program writes]' \
    '*:file:_files'
}

_qcow2_tool_dump() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--what)--what=[What to show]:LIST:(all header extensions l1 l2 refcount-table refcount-blocks snapshots bitmaps)' \
    '(--output)--output=[human]:FORMAT:(human json)' \
    '*:file:_files'
}

_qcow2_tool_read() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--offset)--offset=[First byte of the guest'\''s disk]:BYTES: ' \
    '(--length)--length=[How many]:BYTES: ' \
    '(--to)--to=[Where to]:FILE:_files' \
    '(-l --snapshot)-l+[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-l --snapshot)--snapshot=[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '(-U --force-share)-U[Read an image that another program writes]' \
    '(-U --force-share)--force-share[Read an image that another program writes]' \
    '*:file:_files'
}

_qcow2_tool_write() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--offset)--offset=[First byte of the guest'\''s disk]:BYTES: ' \
    '(--length)--length=[How many]:BYTES: ' \
    '(--pattern)--pattern=[Write that byte over and over]:BYTE: ' \
    '(--input)--input=[Write what FILE holds]:FILE:_files' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_zero() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--offset)--offset=[First byte of the guest'\''s disk]:BYTES: ' \
    '(--length)--length=[How many]:BYTES: ' \
    '(--no-unmap)--no-unmap[Keep clusters, for later writes]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_discard() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--offset)--offset=[First byte of the guest'\''s disk]:BYTES: ' \
    '(--length)--length=[How many]:BYTES: ' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_convert() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[Of SOURCE]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[Of SOURCE]:FORMAT:(qcow2 raw)' \
    '(-O --target-format)-O+[Of TARGET]:FORMAT:(qcow2 raw)' \
    '(-O --target-format)--target-format=[Of TARGET]:FORMAT:(qcow2 raw)' \
    '(-l --snapshot)-l+[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-l --snapshot)--snapshot=[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-c --compressed)-c[Store compressed clusters]' \
    '(-c --compressed)--compressed[Store compressed clusters]' \
    '(--threads)--threads=[How many]:N: ' \
    '(-S --sparse-size)-S+[Find zeros in blocks of that many bytes]:BYTES: ' \
    '(-S --sparse-size)--sparse-size=[Find zeros in blocks of that many bytes]:BYTES: ' \
    '(-p --progress)-p[Show progress on standard error]' \
    '(-p --progress)--progress[Show progress on standard error]' \
    '(-U --force-share)-U[Read an image that another program writes]' \
    '(-U --force-share)--force-share[Read an image that another program writes]' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '(--source-secret-file)--source-secret-file=[The passphrase of SOURCE is what FILE holds]:FILE:_files' \
    '(--source-secret-env)--source-secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(-o)-o+[Options by the names of qemu-img]:KEY=VALUE,...: ' \
    '(--compat)--compat=[0.10]:VERSION:(0.10 1.1)' \
    '(--cluster-size)--cluster-size=[512 to 2M]:BYTES: ' \
    '(--refcount-bits)--refcount-bits=[1, 2, 4, .]:N: ' \
    '(--lazy-refcounts)--lazy-refcounts=[Write refcounts late]:on|off:(on off)' \
    '(--extended-l2)--extended-l2=[Allocate in parts of a cluster]:on|off:(on off)' \
    '(--compression-type)--compression-type=[zlib]:TYPE:(zlib zstd)' \
    '(--preallocation)--preallocation=[off]:MODE:(off metadata falloc full)' \
    '(-b --backing-file)-b+[What unallocated clusters are read from]:FILE:_files' \
    '(-b --backing-file)--backing-file=[What unallocated clusters are read from]:FILE:_files' \
    '(-F --backing-format)-F+[Its format]:FORMAT:(qcow2 raw)' \
    '(-F --backing-format)--backing-format=[Its format]:FORMAT:(qcow2 raw)' \
    '(--data-file)--data-file=[Keep the guest'\''s data in FILE]:FILE:_files' \
    '(--data-file-raw)--data-file-raw=[Make that file a raw disk that others can read]:on|off:(on off)' \
    '(--encrypt)--encrypt=[luks, aes]:FORMAT:(luks aes off)' \
    '(--cipher)--cipher=[Of LUKS]:CIPHER:(aes-128 aes-192 aes-256)' \
    '(--cipher-mode)--cipher-mode=[xts]:MODE:(xts cbc)' \
    '(--ivgen)--ivgen=[plain, plain64]:NAME:(plain plain64 essiv)' \
    '(--ivgen-hash)--ivgen-hash=[Of essiv]:HASH: ' \
    '(--hash)--hash=[Of the passphrase]:HASH:(sha1 sha256 sha512)' \
    '(--iter-time)--iter-time=[How long deriving the key shall take]:MS: ' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '*:file:_files'
}

_qcow2_tool_compare() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '(-U --force-share)-U[Read an image that another program writes]' \
    '(-U --force-share)--force-share[Read an image that another program writes]' \
    '(-l --snapshot)-l+[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-l --snapshot)--snapshot=[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(--other-snapshot)--other-snapshot=[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-F --other-format)-F+[Of the second disk]:FORMAT:(qcow2 raw)' \
    '(-F --other-format)--other-format=[Of the second disk]:FORMAT:(qcow2 raw)' \
    '(-s --strict)-s[Sizes and allocation must be the same, too]' \
    '(-s --strict)--strict[Sizes and allocation must be the same, too]' \
    '(-q --quiet)-q[Print nothing]' \
    '(-q --quiet)--quiet[Print nothing]' \
    '(-p --progress)-p[Show progress on standard error]' \
    '(-p --progress)--progress[Show progress on standard error]' \
    '*:file:_files'
}

_qcow2_tool_resize() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--shrink)--shrink[The disk may become shorter and lose data]' \
    '(--preallocation)--preallocation=[Of what is added]:MODE:(off metadata falloc full)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '*:file:_files'
}

_qcow2_tool_snapshot() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands=(
    'list:Show the snapshots of an image'
    'create:Take a snapshot of the disk'
    'apply:Make the disk what it was when the snapshot was taken'
    'delete:Delete a snapshot'
  )
  _arguments -C -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $words[1] in
      list) _qcow2_tool_snapshot_list ;;
      create) _qcow2_tool_snapshot_create ;;
      apply) _qcow2_tool_snapshot_apply ;;
      delete) _qcow2_tool_snapshot_delete ;;
    esac ;;
  esac
}

_qcow2_tool_snapshot_list() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--output)--output=[human]:FORMAT:(human json)' \
    '*:file:_files'
}

_qcow2_tool_snapshot_create() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--id)--id=[Its id]:ID: ' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_snapshot_apply() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_snapshot_delete() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_key() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands=(
    'list:Show the key slots of an image'
    'add:Let another passphrase open an image'
    'remove:Let a passphrase no longer open an image'
  )
  _arguments -C -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $words[1] in
      list) _qcow2_tool_key_list ;;
      add) _qcow2_tool_key_add ;;
      remove) _qcow2_tool_key_remove ;;
    esac ;;
  esac
}

_qcow2_tool_key_list() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--output)--output=[human]:FORMAT:(human json)' \
    '*:file:_files'
}

_qcow2_tool_key_add() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--secret-file)--secret-file=[A passphrase that opens the image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--new-secret-file)--new-secret-file=[The new passphrase is what FILE holds]:FILE:_files' \
    '(--new-secret-env)--new-secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--slot)--slot=[The key slot for it, 0 to 7]:N: ' \
    '(--iter-time)--iter-time=[How long deriving the key shall take]:MS: ' \
    '*:file:_files'
}

_qcow2_tool_key_remove() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--old-secret-file)--old-secret-file=[The passphrase to remove, from all slots it opens, is what FILE holds]:FILE:_files' \
    '(--old-secret-env)--old-secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--slot)--slot=[The key slot to remove, 0 to 7]:N: ' \
    '*:file:_files'
}

_qcow2_tool_bitmap() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands=(
    'list:Show the dirty bitmaps of an image'
    'add:Add a dirty bitmap, in which nothing is dirty'
    'remove:Remove a dirty bitmap'
    'clear:Make nothing dirty in a bitmap'
    'enable:Have a bitmap record what is written'
    'disable:Have a bitmap stay as it is'
    'merge:Make dirty in a bitmap what is dirty in another one'
  )
  _arguments -C -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $words[1] in
      list) _qcow2_tool_bitmap_list ;;
      add) _qcow2_tool_bitmap_add ;;
      remove) _qcow2_tool_bitmap_remove ;;
      clear) _qcow2_tool_bitmap_clear ;;
      enable) _qcow2_tool_bitmap_enable ;;
      disable) _qcow2_tool_bitmap_disable ;;
      merge) _qcow2_tool_bitmap_merge ;;
    esac ;;
  esac
}

_qcow2_tool_bitmap_list() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--output)--output=[human]:FORMAT:(human json)' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '(-U --force-share)-U[Read an image that another program writes]' \
    '(-U --force-share)--force-share[Read an image that another program writes]' \
    '*:file:_files'
}

_qcow2_tool_bitmap_add() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-g --granularity)-g+[What a bit stands for]:BYTES: ' \
    '(-g --granularity)--granularity=[What a bit stands for]:BYTES: ' \
    '(--disabled)--disabled[It does not record what is written]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_bitmap_remove() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_bitmap_clear() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_bitmap_enable() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_bitmap_disable() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_bitmap_merge() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-b --source-image)-b+[The image that has SOURCE]:FILE:_files' \
    '(-b --source-image)--source-image=[The image that has SOURCE]:FILE:_files' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_commit() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-d --keep)-d[Do not empty the image]' \
    '(-d --keep)--keep[Do not empty the image]' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_rebase() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-b --backing-file)-b+[The new backing file]:FILE:_files' \
    '(-b --backing-file)--backing-file=[The new backing file]:FILE:_files' \
    '(-F --backing-format)-F+[Its format]:FORMAT:(qcow2 raw)' \
    '(-F --backing-format)--backing-format=[Its format]:FORMAT:(qcow2 raw)' \
    '(-u --unsafe)-u[Change the name only]' \
    '(-u --unsafe)--unsafe[Change the name only]' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_amend() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-o)-o+[compat, refcount_bits, lazy_refcounts, backing_file, backing_fmt]:KEY=VALUE,...: ' \
    '(--compat)--compat=[0.10]:VERSION:(0.10 1.1)' \
    '(--refcount-bits)--refcount-bits=[1, 2, 4, .]:N: ' \
    '(--lazy-refcounts)--lazy-refcounts=[Whether refcounts may be late]:on|off:(on off)' \
    '(-b --backing-file)-b+[The backing file'\''s name]:FILE:_files' \
    '(-b --backing-file)--backing-file=[The backing file'\''s name]:FILE:_files' \
    '(-F --backing-format)-F+[Its format]:FORMAT:(qcow2 raw)' \
    '(-F --backing-format)--backing-format=[Its format]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_fdisk() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands=(
    'list:Show the partitions of the guest'\''s disk'
    'create:Create a primary partition'
  )
  _arguments -C -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $words[1] in
      list) _qcow2_tool_fdisk_list ;;
      create) _qcow2_tool_fdisk_create ;;
    esac ;;
  esac
}

_qcow2_tool_fdisk_list() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--output)--output=[human]:FORMAT:(human json)' \
    '(-l --snapshot)-l+[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-l --snapshot)--snapshot=[The disk as that snapshot has it, told by its id, or else name]:SNAPSHOT: ' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '(-U --force-share)-U[Read an image that another program writes]' \
    '(-U --force-share)--force-share[Read an image that another program writes]' \
    '*:file:_files'
}

_qcow2_tool_fdisk_create() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(--type)--type=[0x07]:TYPE: ' \
    '(--start)--start=[First sector of 512 bytes]:SECTOR: ' \
    '(--sectors)--sectors=[How many]:N: ' \
    '(--bootable)--bootable[Mark it as the one to boot from]' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '*:file:_files'
}

_qcow2_tool_bench() {
  _arguments -s -S : \
    '(-h --help)-h[Print this help and exit]' \
    '(-h --help)--help[Print this help and exit]' \
    '(-c --count)-c+[Requests]:N: ' \
    '(-c --count)--count=[Requests]:N: ' \
    '(-d --depth)-d+[Requests at the same time, a thread each]:N: ' \
    '(-d --depth)--depth=[Requests at the same time, a thread each]:N: ' \
    '(-s --request-size)-s+[Of a request]:BYTES: ' \
    '(-s --request-size)--request-size=[Of a request]:BYTES: ' \
    '(-S --step)-S+[From one request to the next]:BYTES: ' \
    '(-S --step)--step=[From one request to the next]:BYTES: ' \
    '(-o --offset)-o+[Of the first request]:BYTES: ' \
    '(-o --offset)--offset=[Of the first request]:BYTES: ' \
    '(-w --write)-w[Write]' \
    '(-w --write)--write[Write]' \
    '(--pattern)--pattern=[The byte to write]:BYTES: ' \
    '(--flush-interval)--flush-interval=[Flush after that many requests]:N: ' \
    '(--output)--output=[human]:FORMAT:(human json)' \
    '(-f --format)-f+[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(-f --format)--format=[qcow2 or raw]:FORMAT:(qcow2 raw)' \
    '(--secret-file)--secret-file=[The passphrase of an encrypted image is what FILE holds]:FILE:_files' \
    '(--secret-env)--secret-env=[It is the value of the environment variable NAME]:NAME: ' \
    '(--tune)--tune=[How the image is opened]:KEY=VALUE,...: ' \
    '(--backing)--backing=[Which files that an image names, backing and data files, are opened]:POLICY:(follow any same-dir none)' \
    '(-U --force-share)-U[Read an image that another program writes]' \
    '(-U --force-share)--force-share[Read an image that another program writes]' \
    '*:file:_files'
}

_qcow2_tool "$@"
