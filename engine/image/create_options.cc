#include "engine/image/create_options.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "engine/format/geometry.h"
#include "engine/format/luks_header.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kSectorSize = 512;

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status NeedsVersion3(const char* what) {
  return Refuse(what, " need version 3 (compat 1.1)");
}

absl::Status CheckNumbers(const CreateOptions& options) {
  if (options.version != 2 && options.version != 3) {
    return Refuse("Version ", options.version,
                  " is not one of the format's: 2 (compat 0.10) or 3 (1.1)");
  }
  if (options.cluster_bits < kMinClusterBits ||
      options.cluster_bits > kMaxClusterBits) {
    return Refuse(
        "The cluster size must be a power of two between 512 bytes and 2 MiB,"
        " not 2^",
        options.cluster_bits);
  }
  if (!std::has_single_bit(options.refcount_bits) ||
      options.refcount_bits > (1u << kMaxRefcountOrder)) {
    return Refuse(
        "The refcount width must be a power of two up to 64 bits, not ",
        options.refcount_bits);
  }
  if (options.virtual_size % kSectorSize != 0) {
    return Refuse("The virtual size must be a multiple of ", kSectorSize,
                  " bytes, not ", options.virtual_size);
  }
  return absl::OkStatus();
}

absl::Status CheckVersion2(const CreateOptions& options) {
  if (options.version != 2) return absl::OkStatus();
  if (options.refcount_bits != 1u << kRefcountOrderV2) {
    return NeedsVersion3("Refcount widths other than 16 bits");
  }
  if (options.lazy_refcounts) return NeedsVersion3("Lazy refcounts");
  if (options.extended_l2) return NeedsVersion3("Extended L2 entries");
  if (options.compression_type != CompressionType::kDeflate) {
    return NeedsVersion3("Compression types other than zlib");
  }
  if (!options.data_file.empty()) return NeedsVersion3("External data files");
  return absl::OkStatus();
}

absl::Status CheckExtendedL2(const CreateOptions& options) {
  if (!options.extended_l2 ||
      options.cluster_bits >= kMinExtendedL2ClusterBits) {
    return absl::OkStatus();
  }
  return Refuse("Extended L2 entries need clusters of at least ",
                1u << kMinExtendedL2ClusterBits, " bytes, not ",
                1u << options.cluster_bits);
}

absl::Status CheckName(const char* option, const std::string& name) {
  if (name.find('\0') == std::string::npos) return absl::OkStatus();
  return Refuse("The ", option, " has a zero byte in it");
}

absl::Status CheckBackingFile(const CreateOptions& options) {
  RETURN_IF_ERROR(CheckName("backing file name", options.backing_file));
  RETURN_IF_ERROR(CheckName("backing format", options.backing_format));
  if (options.backing_file.size() > kMaxBackingNameBytes) {
    return Refuse("The backing file name is ", options.backing_file.size(),
                  " bytes long, more than the ", kMaxBackingNameBytes,
                  " it may have");
  }
  if (options.backing_file.empty()) {
    return options.backing_format.empty()
               ? absl::OkStatus()
               : Refuse("A backing format needs a backing file");
  }
  if (options.data_file_raw) {
    return Refuse(
        "A backing file and a raw data file do not go together: the data file"
        " alone would not be the disk");
  }
  if (IsPreallocated(options) && !options.extended_l2) {
    return Refuse(
        "A backing file and preallocation go together only with extended L2"
        " entries: preallocated clusters would hide the backing file");
  }
  return absl::OkStatus();
}

absl::Status CheckDataFile(const CreateOptions& options) {
  RETURN_IF_ERROR(CheckName("data file name", options.data_file));
  if (options.data_file_raw && options.data_file.empty()) {
    return Refuse("A raw data file (data_file_raw) needs a data file");
  }
  return absl::OkStatus();
}

absl::Status CheckEncryption(const CreateOptions& options) {
  switch (options.crypt_method) {
    case kCryptNone:
    case kCryptAes:
      return options.luks_area.empty()
                 ? absl::OkStatus()
                 : Refuse("Only LUKS encryption has a LUKS header");
    case kCryptLuks:
      return options.luks_area.size() >= kLuksHeaderSize
                 ? absl::OkStatus()
                 : Refuse("LUKS encryption needs a LUKS header of at least ",
                          kLuksHeaderSize, " bytes, not ",
                          options.luks_area.size());
    default:
      return Refuse(
          "Encryption method ", options.crypt_method,
          " is not one of the format's: 0 (none), 1 (AES) or 2 (LUKS)");
  }
}

}  // namespace

bool IsPreallocated(const CreateOptions& options) {
  return options.preallocation != Preallocation::kOff || options.data_file_raw;
}

absl::Status CheckCreateOptions(const CreateOptions& options) {
  RETURN_IF_ERROR(CheckNumbers(options));
  RETURN_IF_ERROR(CheckVersion2(options));
  RETURN_IF_ERROR(CheckExtendedL2(options));
  RETURN_IF_ERROR(CheckDataFile(options));
  RETURN_IF_ERROR(CheckBackingFile(options));
  return CheckEncryption(options);
}

}  // namespace qcow2
