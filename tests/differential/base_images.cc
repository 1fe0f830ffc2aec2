#include "tests/differential/base_images.h"

#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

constexpr BaseImage kBases[] = {
    {"v3_64k",
     "qemu-img create -q -f qcow2 $1 2M && "
     "qemu-io -f qcow2 -c 'write 0 256k' -c 'write 1M 192k' $1"},
    {"v3_512_snapshot",
     "qemu-img create -q -f qcow2 -o cluster_size=512 $1 256k && "
     "qemu-io -f qcow2 -c 'write 0 16k' -c 'write 100k 20k' $1 && "
     "qemu-img snapshot -c one $1 && "
     "qemu-io -f qcow2 -c 'write 8k 16k' -c 'write -z 104k 8k' $1"},
    {"v2_4k_snapshots",
     "qemu-img create -q -f qcow2 -o compat=0.10,cluster_size=4k $1 4M && "
     "qemu-io -f qcow2 -c 'write 0 128k' $1 && "
     "qemu-img snapshot -c one $1 && "
     "qemu-io -f qcow2 -c 'write 64k 128k' $1 && "
     "qemu-img snapshot -c two $1 && "
     "qemu-io -f qcow2 -c 'write 3M 64k' $1"},
    {"extended_l2",
     "qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=16k $1 4M && "
     "qemu-io -f qcow2 -c 'write 0 100k' -c 'write 1M 3k' "
     "-c 'write -z 1M 512' -c 'write 2050k 1k' $1"},
    {"compressed",
     "qemu-img create -q -f qcow2 -o cluster_size=4k $1 1M && "
     "qemu-io -f qcow2 -c 'write -c -P 1 0 256k' -c 'write -P 2 512k 64k' "
     "-c 'write -c -P 3 600k 64k' $1"},
    {"compressed_zstd",
     "qemu-img create -q -f qcow2 -o compression_type=zstd $1 4M && "
     "qemu-io -f qcow2 -c 'write -c -P 1 0 1M' -c 'write -P 2 2M 128k' $1"},
    {"refcount_1",
     "qemu-img create -q -f qcow2 -o refcount_bits=1,cluster_size=1k $1 512k "
     "&& "
     "qemu-io -f qcow2 -c 'write 0 100k' -c 'write 300k 9k' $1"},
    {"refcount_8_snapshot",
     "qemu-img create -q -f qcow2 -o refcount_bits=8,cluster_size=1k $1 512k "
     "&& qemu-io -f qcow2 -c 'write 0 100k' $1 && "
     "qemu-img snapshot -c one $1 && qemu-io -f qcow2 -c 'write 50k 9k' $1"},
    {"refcount_64",
     "qemu-img create -q -f qcow2 -o refcount_bits=64,cluster_size=512 $1 128k "
     "&& qemu-io -f qcow2 -c 'write 0 20k' $1 && "
     "qemu-img snapshot -c one $1"},
    {"bitmaps",
     "qemu-img create -q -f qcow2 -o cluster_size=4k $1 8M && "
     "qemu-img bitmap --add -g 4096 $1 b0 && "
     "qemu-img bitmap --add -g 65536 $1 b1 && "
     "qemu-io -f qcow2 -c 'write 0 64k' $1"},
    {"data_file",
     "qemu-img create -q -f qcow2 -o data_file=$1.raw,cluster_size=4k $1 1M && "
     "qemu-io -f qcow2 -c 'write 0 64k' -c 'write 512k 9k' $1"},
    {"preallocated",
     "qemu-img create -q -f qcow2 -o preallocation=metadata,cluster_size=2k "
     "$1 1M"},
};

}  // namespace

std::span<const BaseImage> AllBaseImages() { return kBases; }

int MakeBaseImage(const BaseImage& base, const std::string& path,
                  std::string* output) {
  const std::string script =
      std::string("set -e; f() { ") + base.script + " >/dev/null; }; f ";
  return RunCommand(script + path, output);
}

}  // namespace qcow2
