# shellcheck shell=bash
# Completions of bash for qcow2-tool.
# Made by: bazel run //cli:generate_completions -- $PWD/packaging/completions
_qcow2_tool() {
  local cur prev words cword split
  _init_completion -s || return
  # The subcommand, as far as it is there.
  local command='' i
  for ((i = 1; i < cword; i++)); do
    case "$command/${words[i]}" in
      /create | \
        /info | \
        /map | \
        /dump | \
        /read | \
        /write | \
        /zero | \
        /discard | \
        /convert | \
        /compare | \
        /resize | \
        /snapshot | \
        /snapshot/list | \
        /snapshot/create | \
        /snapshot/apply | \
        /snapshot/delete | \
        /key | \
        /key/list | \
        /key/add | \
        /key/remove | \
        /bitmap | \
        /bitmap/list | \
        /bitmap/add | \
        /bitmap/remove | \
        /bitmap/clear | \
        /bitmap/enable | \
        /bitmap/disable | \
        /bitmap/merge | \
        /commit | \
        /rebase | \
        /amend | \
        /fdisk | \
        /fdisk/list | \
        /fdisk/create | \
        /bench)
        command+="/${words[i]}" ;;
      *) break ;;
    esac
  done
  # The value of an option.
  case "$command $prev" in
    '/create -b' | \
      '/create --backing-file' | \
      '/create --data-file' | \
      '/create --secret-file' | \
      '/map --secret-file' | \
      '/read --to' | \
      '/read --secret-file' | \
      '/write --input' | \
      '/write --secret-file' | \
      '/zero --secret-file' | \
      '/discard --secret-file' | \
      '/convert --source-secret-file' | \
      '/convert -b' | \
      '/convert --backing-file' | \
      '/convert --data-file' | \
      '/convert --secret-file' | \
      '/compare --secret-file' | \
      '/resize --secret-file' | \
      '/snapshot/create --secret-file' | \
      '/snapshot/apply --secret-file' | \
      '/snapshot/delete --secret-file' | \
      '/key/add --secret-file' | \
      '/key/add --new-secret-file' | \
      '/key/remove --old-secret-file' | \
      '/bitmap/list --secret-file' | \
      '/bitmap/add --secret-file' | \
      '/bitmap/remove --secret-file' | \
      '/bitmap/clear --secret-file' | \
      '/bitmap/enable --secret-file' | \
      '/bitmap/disable --secret-file' | \
      '/bitmap/merge -b' | \
      '/bitmap/merge --source-image' | \
      '/bitmap/merge --secret-file' | \
      '/commit --secret-file' | \
      '/rebase -b' | \
      '/rebase --backing-file' | \
      '/rebase --secret-file' | \
      '/amend -b' | \
      '/amend --backing-file' | \
      '/amend --secret-file' | \
      '/fdisk/list --secret-file' | \
      '/fdisk/create --secret-file' | \
      '/bench --secret-file')
      _filedir; return ;;
    '/create --compat' | \
      '/convert --compat' | \
      '/amend --compat')
      mapfile -t COMPREPLY < <(compgen -W '0.10 1.1' -- "$cur"); return ;;
    '/create --cipher' | \
      '/convert --cipher')
      mapfile -t COMPREPLY < <(compgen -W 'aes-128 aes-192 aes-256' -- "$cur"); return ;;
    '/dump --what')
      mapfile -t COMPREPLY < <(compgen -W 'all header extensions l1 l2 refcount-table refcount-blocks snapshots bitmaps' -- "$cur"); return ;;
    '/info --backing' | \
      '/map --backing' | \
      '/read --backing' | \
      '/write --backing' | \
      '/zero --backing' | \
      '/discard --backing' | \
      '/convert --backing' | \
      '/compare --backing' | \
      '/snapshot/create --backing' | \
      '/snapshot/apply --backing' | \
      '/snapshot/delete --backing' | \
      '/bitmap/list --backing' | \
      '/bitmap/add --backing' | \
      '/bitmap/remove --backing' | \
      '/bitmap/clear --backing' | \
      '/bitmap/enable --backing' | \
      '/bitmap/disable --backing' | \
      '/bitmap/merge --backing' | \
      '/commit --backing' | \
      '/rebase --backing' | \
      '/amend --backing' | \
      '/fdisk/list --backing' | \
      '/fdisk/create --backing' | \
      '/bench --backing')
      mapfile -t COMPREPLY < <(compgen -W 'follow any same-dir none' -- "$cur"); return ;;
    '/info --output' | \
      '/map --output' | \
      '/dump --output' | \
      '/snapshot/list --output' | \
      '/key/list --output' | \
      '/bitmap/list --output' | \
      '/fdisk/list --output' | \
      '/bench --output')
      mapfile -t COMPREPLY < <(compgen -W 'human json' -- "$cur"); return ;;
    '/create --encrypt' | \
      '/convert --encrypt')
      mapfile -t COMPREPLY < <(compgen -W 'luks aes off' -- "$cur"); return ;;
    '/create --preallocation' | \
      '/convert --preallocation' | \
      '/resize --preallocation')
      mapfile -t COMPREPLY < <(compgen -W 'off metadata falloc full' -- "$cur"); return ;;
    '/create --lazy-refcounts' | \
      '/create --extended-l2' | \
      '/create --data-file-raw' | \
      '/convert --lazy-refcounts' | \
      '/convert --extended-l2' | \
      '/convert --data-file-raw' | \
      '/amend --lazy-refcounts')
      mapfile -t COMPREPLY < <(compgen -W 'on off' -- "$cur"); return ;;
    '/create --ivgen' | \
      '/convert --ivgen')
      mapfile -t COMPREPLY < <(compgen -W 'plain plain64 essiv' -- "$cur"); return ;;
    '/create -f' | \
      '/create --format' | \
      '/create -F' | \
      '/create --backing-format' | \
      '/info -f' | \
      '/info --format' | \
      '/map -f' | \
      '/map --format' | \
      '/read -f' | \
      '/read --format' | \
      '/write -f' | \
      '/write --format' | \
      '/zero -f' | \
      '/zero --format' | \
      '/discard -f' | \
      '/discard --format' | \
      '/convert -f' | \
      '/convert --format' | \
      '/convert -O' | \
      '/convert --target-format' | \
      '/convert -F' | \
      '/convert --backing-format' | \
      '/compare -f' | \
      '/compare --format' | \
      '/compare -F' | \
      '/compare --other-format' | \
      '/snapshot/create -f' | \
      '/snapshot/create --format' | \
      '/snapshot/apply -f' | \
      '/snapshot/apply --format' | \
      '/snapshot/delete -f' | \
      '/snapshot/delete --format' | \
      '/bitmap/list -f' | \
      '/bitmap/list --format' | \
      '/bitmap/add -f' | \
      '/bitmap/add --format' | \
      '/bitmap/remove -f' | \
      '/bitmap/remove --format' | \
      '/bitmap/clear -f' | \
      '/bitmap/clear --format' | \
      '/bitmap/enable -f' | \
      '/bitmap/enable --format' | \
      '/bitmap/disable -f' | \
      '/bitmap/disable --format' | \
      '/bitmap/merge -f' | \
      '/bitmap/merge --format' | \
      '/rebase -F' | \
      '/rebase --backing-format' | \
      '/amend -F' | \
      '/amend --backing-format' | \
      '/fdisk/list -f' | \
      '/fdisk/list --format' | \
      '/fdisk/create -f' | \
      '/fdisk/create --format' | \
      '/bench -f' | \
      '/bench --format')
      mapfile -t COMPREPLY < <(compgen -W 'qcow2 raw' -- "$cur"); return ;;
    '/create --hash' | \
      '/convert --hash')
      mapfile -t COMPREPLY < <(compgen -W 'sha1 sha256 sha512' -- "$cur"); return ;;
    '/create --cipher-mode' | \
      '/convert --cipher-mode')
      mapfile -t COMPREPLY < <(compgen -W 'xts cbc' -- "$cur"); return ;;
    '/create --compression-type' | \
      '/convert --compression-type')
      mapfile -t COMPREPLY < <(compgen -W 'zlib zstd' -- "$cur"); return ;;
    '/create -o' | \
      '/create --cluster-size' | \
      '/create --refcount-bits' | \
      '/create --ivgen-hash' | \
      '/create --iter-time' | \
      '/create --secret-env' | \
      '/map --start-offset' | \
      '/map --max-length' | \
      '/map -l' | \
      '/map --snapshot' | \
      '/map --secret-env' | \
      '/map --tune' | \
      '/read --offset' | \
      '/read --length' | \
      '/read -l' | \
      '/read --snapshot' | \
      '/read --secret-env' | \
      '/read --tune' | \
      '/write --offset' | \
      '/write --length' | \
      '/write --pattern' | \
      '/write --secret-env' | \
      '/write --tune' | \
      '/zero --offset' | \
      '/zero --length' | \
      '/zero --secret-env' | \
      '/zero --tune' | \
      '/discard --offset' | \
      '/discard --length' | \
      '/discard --secret-env' | \
      '/discard --tune' | \
      '/convert -l' | \
      '/convert --snapshot' | \
      '/convert --threads' | \
      '/convert -S' | \
      '/convert --sparse-size' | \
      '/convert --source-secret-env' | \
      '/convert -o' | \
      '/convert --cluster-size' | \
      '/convert --refcount-bits' | \
      '/convert --ivgen-hash' | \
      '/convert --iter-time' | \
      '/convert --secret-env' | \
      '/compare --secret-env' | \
      '/compare --tune' | \
      '/compare -l' | \
      '/compare --snapshot' | \
      '/compare --other-snapshot' | \
      '/resize --secret-env' | \
      '/snapshot/create --id' | \
      '/snapshot/create --secret-env' | \
      '/snapshot/create --tune' | \
      '/snapshot/apply --secret-env' | \
      '/snapshot/apply --tune' | \
      '/snapshot/delete --secret-env' | \
      '/snapshot/delete --tune' | \
      '/key/add --secret-env' | \
      '/key/add --new-secret-env' | \
      '/key/add --slot' | \
      '/key/add --iter-time' | \
      '/key/remove --old-secret-env' | \
      '/key/remove --slot' | \
      '/bitmap/list --secret-env' | \
      '/bitmap/list --tune' | \
      '/bitmap/add -g' | \
      '/bitmap/add --granularity' | \
      '/bitmap/add --secret-env' | \
      '/bitmap/add --tune' | \
      '/bitmap/remove --secret-env' | \
      '/bitmap/remove --tune' | \
      '/bitmap/clear --secret-env' | \
      '/bitmap/clear --tune' | \
      '/bitmap/enable --secret-env' | \
      '/bitmap/enable --tune' | \
      '/bitmap/disable --secret-env' | \
      '/bitmap/disable --tune' | \
      '/bitmap/merge --secret-env' | \
      '/bitmap/merge --tune' | \
      '/commit --secret-env' | \
      '/rebase --secret-env' | \
      '/amend -o' | \
      '/amend --refcount-bits' | \
      '/amend --secret-env' | \
      '/fdisk/list -l' | \
      '/fdisk/list --snapshot' | \
      '/fdisk/list --secret-env' | \
      '/fdisk/list --tune' | \
      '/fdisk/create --type' | \
      '/fdisk/create --start' | \
      '/fdisk/create --sectors' | \
      '/fdisk/create --secret-env' | \
      '/fdisk/create --tune' | \
      '/bench -c' | \
      '/bench --count' | \
      '/bench -d' | \
      '/bench --depth' | \
      '/bench -s' | \
      '/bench --request-size' | \
      '/bench -S' | \
      '/bench --step' | \
      '/bench -o' | \
      '/bench --offset' | \
      '/bench --pattern' | \
      '/bench --flush-interval' | \
      '/bench --secret-env' | \
      '/bench --tune')
      return ;;
  esac
  if [[ "$split" == true ]]; then return; fi
  if [[ "$cur" == -* ]]; then
    case "$command" in
      '')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --version' -- "$cur") ;;
      '/create')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= -u --unchecked-backing -o --compat= --cluster-size= --refcount-bits= --lazy-refcounts= --extended-l2= --compression-type= --preallocation= -b --backing-file= -F --backing-format= --data-file= --data-file-raw= --encrypt= --cipher= --cipher-mode= --ivgen= --ivgen-hash= --hash= --iter-time= --secret-file= --secret-env=' -- "$cur") ;;
      '/info')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --output= -f --format= --backing-chain --backing=' -- "$cur") ;;
      '/map')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --output= --start-offset= --max-length= -l --snapshot= -f --format= --secret-file= --secret-env= --tune= --backing= -U --force-share' -- "$cur") ;;
      '/dump')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --what= --output=' -- "$cur") ;;
      '/read')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --offset= --length= --to= -l --snapshot= -f --format= --secret-file= --secret-env= --tune= --backing= -U --force-share' -- "$cur") ;;
      '/write')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --offset= --length= --pattern= --input= -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/zero')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --offset= --length= --no-unmap -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/discard')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --offset= --length= -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/convert')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= -O --target-format= -l --snapshot= -c --compressed --threads= -S --sparse-size= -p --progress -U --force-share --backing= --source-secret-file= --source-secret-env= -o --compat= --cluster-size= --refcount-bits= --lazy-refcounts= --extended-l2= --compression-type= --preallocation= -b --backing-file= -F --backing-format= --data-file= --data-file-raw= --encrypt= --cipher= --cipher-mode= --ivgen= --ivgen-hash= --hash= --iter-time= --secret-file= --secret-env=' -- "$cur") ;;
      '/compare')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= --secret-file= --secret-env= --tune= --backing= -U --force-share -l --snapshot= --other-snapshot= -F --other-format= -s --strict -q --quiet -p --progress' -- "$cur") ;;
      '/resize')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --shrink --preallocation= --secret-file= --secret-env=' -- "$cur") ;;
      '/snapshot')
        mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$cur") ;;
      '/snapshot/list')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --output=' -- "$cur") ;;
      '/snapshot/create')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --id= -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/snapshot/apply')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/snapshot/delete')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/key')
        mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$cur") ;;
      '/key/list')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --output=' -- "$cur") ;;
      '/key/add')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --secret-file= --secret-env= --new-secret-file= --new-secret-env= --slot= --iter-time=' -- "$cur") ;;
      '/key/remove')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --old-secret-file= --old-secret-env= --slot=' -- "$cur") ;;
      '/bitmap')
        mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$cur") ;;
      '/bitmap/list')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --output= -f --format= --secret-file= --secret-env= --tune= --backing= -U --force-share' -- "$cur") ;;
      '/bitmap/add')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -g --granularity= --disabled -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/bitmap/remove')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/bitmap/clear')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/bitmap/enable')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/bitmap/disable')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/bitmap/merge')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -b --source-image= -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/commit')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -d --keep --secret-file= --secret-env= --backing=' -- "$cur") ;;
      '/rebase')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -b --backing-file= -F --backing-format= -u --unsafe --secret-file= --secret-env= --backing=' -- "$cur") ;;
      '/amend')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -o --compat= --refcount-bits= --lazy-refcounts= -b --backing-file= -F --backing-format= --secret-file= --secret-env= --backing=' -- "$cur") ;;
      '/fdisk')
        mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$cur") ;;
      '/fdisk/list')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --output= -l --snapshot= -f --format= --secret-file= --secret-env= --tune= --backing= -U --force-share' -- "$cur") ;;
      '/fdisk/create')
        mapfile -t COMPREPLY < <(compgen -W '-h --help --type= --start= --sectors= --bootable -f --format= --secret-file= --secret-env= --tune= --backing=' -- "$cur") ;;
      '/bench')
        mapfile -t COMPREPLY < <(compgen -W '-h --help -c --count= -d --depth= -s --request-size= -S --step= -o --offset= -w --write --pattern= --flush-interval= --output= -f --format= --secret-file= --secret-env= --tune= --backing= -U --force-share' -- "$cur") ;;
    esac
    if [[ "${COMPREPLY[0]-}" == *= ]]; then compopt -o nospace; fi
    return
  fi
  case "$command" in
    '')
      mapfile -t COMPREPLY < <(compgen -W 'create info map dump read write zero discard convert compare resize snapshot key bitmap commit rebase amend fdisk bench' -- "$cur") ;;
    '/snapshot')
      mapfile -t COMPREPLY < <(compgen -W 'list create apply delete' -- "$cur") ;;
    '/key')
      mapfile -t COMPREPLY < <(compgen -W 'list add remove' -- "$cur") ;;
    '/bitmap')
      mapfile -t COMPREPLY < <(compgen -W 'list add remove clear enable disable merge' -- "$cur") ;;
    '/fdisk')
      mapfile -t COMPREPLY < <(compgen -W 'list create' -- "$cur") ;;
    *) _filedir ;;
  esac
} &&
  complete -F _qcow2_tool qcow2-tool
