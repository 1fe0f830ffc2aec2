// What a new image shall be, and whether there can be such an image.
//
// Pure values, no I/O.
#ifndef ENGINE_IMAGE_CREATE_OPTIONS_H_
#define ENGINE_IMAGE_CREATE_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/codec/compression_type.h"
#include "engine/format/header.h"

namespace qcow2 {

// How much of the guest's space a new image has from the beginning.
enum class Preallocation {
  kOff,       // None: clusters are allocated when they are written.
  kMetadata,  // All tables; the clusters have places, but no space yet.
  kFalloc,    // As kMetadata, with the space reserved.
  kFull,      // As kMetadata, with zeros written to every cluster.
};

// The options of qemu-img's create, and the same when left alone.
struct CreateOptions {
  // Bytes of the virtual disk, a multiple of 512.
  uint64_t virtual_size = 0;
  // 2 (which people know as compat 0.10) or 3 (compat 1.1).
  uint32_t version = 3;
  uint32_t cluster_bits = 16;
  // 1, 2, 4 ... 64.
  uint32_t refcount_bits = 16;
  bool lazy_refcounts = false;
  bool extended_l2 = false;
  CompressionType compression_type = CompressionType::kDeflate;
  Preallocation preallocation = Preallocation::kOff;

  // The backing file's name as the image shall hold it (it is not looked for)
  // and its format, "qcow2" or "raw"; empty: none. A name without a format is
  // possible in the format, and leaves it to be guessed from guest data.
  std::string backing_file = {};
  std::string backing_format = {};

  // The external data file's name as the image shall hold it; empty: none.
  std::string data_file = {};
  // The data file is to be the disk's contents byte for byte, for programs that
  // know nothing of the image. Its clusters must all have places for that: with
  // Preallocation::kOff it is as with kMetadata.
  bool data_file_raw = false;

  // kCryptNone, kCryptAes or kCryptLuks. Clusters that are preallocated hold
  // zeros, which do not decrypt to zeros.
  uint32_t crypt_method = kCryptNone;
  // With kCryptLuks the LUKS header and its key material.
  std::vector<std::byte> luks_area = {};

  // Whether the image gets the table of feature names, for programs that do
  // not know a feature. Only images of version 3 with clusters of 8 KiB or
  // more have it, others have no room to spare.
  bool feature_name_table = true;
};

// Whether `options` say to give each guest cluster a place.
bool IsPreallocated(const CreateOptions& options);

// InvalidArgument that names the option at fault if it is out of range or does
// not go together with another one. What depends on where things lie, in the
// first cluster or in the file, is not judged here.
absl::Status CheckCreateOptions(const CreateOptions& options);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_CREATE_OPTIONS_H_
