#include "cli/tool/create_arguments.h"

#include <bit>
#include <utility>

#include "cli/tool/key_values.h"
#include "cli/units.h"
#include "engine/format/header.h"
#include "engine/status_macros.h"

namespace qcow2::tool {
namespace {

std::string TakeSize(const std::string& value, CreateArguments& arguments) {
  arguments.size = ParseBytes(value);
  return arguments.size ? "" : "'" + value + "' is not a number of bytes";
}

std::string TakeCompat(const std::string& value, CreateArguments& arguments) {
  if (value == "0.10" || value == "v2") {
    arguments.create.version = 2;
  } else if (value == "1.1" || value == "v3") {
    arguments.create.version = 3;
  } else {
    return "'" + value + "' is none of 0.10, v2, 1.1 and v3";
  }
  return {};
}

std::string TakeClusterSize(const std::string& value,
                            CreateArguments& arguments) {
  const std::optional<uint64_t> bytes = ParseBytes(value);
  if (!bytes || !std::has_single_bit(*bytes)) {
    return "'" + value + "' is not a power of two";
  }
  arguments.create.cluster_bits =
      static_cast<uint32_t>(std::countr_zero(*bytes));
  return {};
}

std::string TakeRefcountBits(const std::string& value,
                             CreateArguments& arguments) {
  const std::optional<uint64_t> bits = cli::ParseNumber(value);
  if (!bits || *bits > 64) return "'" + value + "' is not 1, 2, 4, ... 64";
  arguments.create.refcount_bits = static_cast<uint32_t>(*bits);
  return {};
}

std::string TakeCompression(const std::string& value,
                            CreateArguments& arguments) {
  if (value == "zlib" || value == "deflate") {
    arguments.create.compression_type = CompressionType::kDeflate;
  } else if (value == "zstd") {
    arguments.create.compression_type = CompressionType::kZstd;
  } else {
    return "'" + value + "' is neither zlib nor zstd";
  }
  return {};
}

std::string TakePreallocation(const std::string& value,
                              CreateArguments& arguments) {
  struct Row {
    const char* name;
    Preallocation preallocation;
  };
  static constexpr Row kRows[] = {{"off", Preallocation::kOff},
                                  {"metadata", Preallocation::kMetadata},
                                  {"falloc", Preallocation::kFalloc},
                                  {"full", Preallocation::kFull}};
  for (const Row& row : kRows) {
    if (value != row.name) continue;
    arguments.create.preallocation = row.preallocation;
    return {};
  }
  return "'" + value + "' is none of off, metadata, falloc and full";
}

std::string TakeEncryption(const std::string& value,
                           CreateArguments& arguments) {
  if (value == "luks") {
    arguments.create.crypt_method = kCryptLuks;
  } else if (value == "aes" || value == "on") {
    arguments.create.crypt_method = kCryptAes;
  } else if (value == "off") {
    arguments.create.crypt_method = kCryptNone;
  } else {
    return "'" + value + "' is none of luks, aes and off";
  }
  return {};
}

std::string TakeCipher(const std::string& value, CreateArguments& arguments) {
  for (const size_t bits : {128, 192, 256}) {
    if (value != "aes-" + std::to_string(bits)) continue;
    const bool xts = arguments.luks.cipher.mode == CipherMode::kXts;
    arguments.luks.cipher.key_bytes = bits / 8 * (xts ? 2 : 1);
    return {};
  }
  return "'" + value + "' is none of aes-128, aes-192 and aes-256";
}

std::string TakeCipherMode(const std::string& value,
                           CreateArguments& arguments) {
  SectorCipherSpec& cipher = arguments.luks.cipher;
  const bool was_xts = cipher.mode == CipherMode::kXts;
  if (value != "xts" && value != "cbc") {
    return "'" + value + "' is neither xts nor cbc";
  }
  cipher.mode = value == "xts" ? CipherMode::kXts : CipherMode::kCbc;
  // The key of XTS is two keys; options come in any order.
  if (was_xts && value == "cbc") cipher.key_bytes /= 2;
  if (!was_xts && value == "xts") cipher.key_bytes *= 2;
  return {};
}

std::string TakeIvGenerator(const std::string& value,
                            CreateArguments& arguments) {
  SectorCipherSpec& cipher = arguments.luks.cipher;
  if (value == "plain") {
    cipher.iv_generator = IvGenerator::kPlain;
  } else if (value == "plain64") {
    cipher.iv_generator = IvGenerator::kPlain64;
  } else if (value == "essiv") {
    cipher.iv_generator = IvGenerator::kEssiv;
    if (cipher.essiv_hash.empty()) cipher.essiv_hash = "sha256";
  } else {
    return "'" + value + "' is none of plain, plain64 and essiv";
  }
  return {};
}

std::string TakeIterTime(const std::string& value, CreateArguments& arguments) {
  const std::optional<uint64_t> time = cli::ParseNumber(value);
  constexpr uint64_t kMaxMilliseconds = 600'000;
  if (!time || *time == 0 || *time > kMaxMilliseconds) {
    return "'" + value + "' is not a number of milliseconds, 1 to 600000";
  }
  arguments.luks.derivation.time =
      std::chrono::milliseconds(static_cast<int64_t>(*time));
  return {};
}

template <bool CreateOptions::*kField>
std::string TakeFlag(const std::string& value, CreateArguments& arguments) {
  return TakeSwitch(value, arguments.create.*kField);
}

template <std::string CreateOptions::*kField>
std::string TakeName(const std::string& value, CreateArguments& arguments) {
  arguments.create.*kField = value;
  return {};
}

std::string TakeHash(const std::string& value, CreateArguments& arguments) {
  arguments.luks.hash = value;
  return {};
}

std::string TakeIvHash(const std::string& value, CreateArguments& arguments) {
  arguments.luks.cipher.essiv_hash = value;
  return {};
}

std::string TakeKeySecret(const std::string&, CreateArguments&) {
  return "secrets are no options here; use --secret-file or --secret-env";
}

struct OptionRow {
  const char* key;
  const char* long_option;  // null: by -o only
  const char* value_name;
  const char* help;
  std::string (*take)(const std::string& value, CreateArguments& arguments);
};

constexpr OptionRow kOptions[] = {
    {"size", nullptr, "", "", TakeSize},
    {"compat", "--compat", "VERSION", "0.10 (v2) or 1.1 (v3, default)",
     TakeCompat},
    {"cluster_size", "--cluster-size", "BYTES", "512 to 2M; 64K (default)",
     TakeClusterSize},
    {"refcount_bits", "--refcount-bits", "N", "1, 2, 4, ... 64; 16 (default)",
     TakeRefcountBits},
    {"lazy_refcounts", "--lazy-refcounts", "on|off",
     "Write refcounts late; a crash then needs a repair",
     TakeFlag<&CreateOptions::lazy_refcounts>},
    {"extended_l2", "--extended-l2", "on|off", "Allocate in parts of a cluster",
     TakeFlag<&CreateOptions::extended_l2>},
    {"compression_type", "--compression-type", "TYPE", "zlib (default) or zstd",
     TakeCompression},
    {"preallocation", "--preallocation", "MODE",
     "off (default), metadata, falloc or full", TakePreallocation},
    {"backing_file", "-b,--backing-file", "FILE",
     "What unallocated clusters are read from",
     TakeName<&CreateOptions::backing_file>},
    {"backing_fmt", "-F,--backing-format", "FORMAT", "Its format: qcow2 or raw",
     TakeName<&CreateOptions::backing_format>},
    {"data_file", "--data-file", "FILE", "Keep the guest's data in FILE",
     TakeName<&CreateOptions::data_file>},
    {"data_file_raw", "--data-file-raw", "on|off",
     "Make that file a raw disk that others can read",
     TakeFlag<&CreateOptions::data_file_raw>},
    {"encryption", nullptr, "", "", TakeEncryption},
    {"encrypt.format", "--encrypt", "FORMAT", "luks, aes (outdated) or off",
     TakeEncryption},
    {"encrypt.cipher-alg", "--cipher", "CIPHER",
     "Of LUKS: aes-128, aes-192 or aes-256 (default)", TakeCipher},
    {"encrypt.cipher-mode", "--cipher-mode", "MODE", "xts (default) or cbc",
     TakeCipherMode},
    {"encrypt.ivgen-alg", "--ivgen", "NAME",
     "plain, plain64 (default) or essiv", TakeIvGenerator},
    {"encrypt.ivgen-hash-alg", "--ivgen-hash", "HASH",
     "Of essiv: sha256 (default)", TakeIvHash},
    {"encrypt.hash-alg", "--hash", "HASH",
     "Of the passphrase: sha1, sha256 (default), sha512 ...", TakeHash},
    {"encrypt.iter-time", "--iter-time", "MS",
     "How long deriving the key shall take; 2000 (default)", TakeIterTime},
    {"encrypt.key-secret", nullptr, "", "", TakeKeySecret},
};

}  // namespace

std::string TakeCreateOption(const std::string& key, const std::string& value,
                             CreateArguments& arguments) {
  for (const OptionRow& row : kOptions) {
    if (key == row.key) return row.take(value, arguments);
  }
  return "no such option";
}

void AddCreateOptions(CLI::App& command, bool with_secret,
                      CreateArguments& arguments) {
  AddOption(command, "-o", "KEY=VALUE,...",
            "Options by the names of qemu-img: cluster_size=4096,compat=v3",
            [&arguments](const std::string& list) {
              return ForEachPair(
                  list, [&](const std::string& key, const std::string& value) {
                    return TakeCreateOption(key, value, arguments);
                  });
            });
  for (const OptionRow& row : kOptions) {
    if (row.long_option == nullptr) continue;
    AddOption(command, row.long_option, row.value_name, row.help,
              [&arguments, take = row.take](const std::string& value) {
                return take(value, arguments);
              });
  }
  if (with_secret) AddSecretOptions(command, arguments.secret);
}

absl::Status FinishCreateOptions(CreateArguments& arguments) {
  CreateOptions& create = arguments.create;
  if (create.crypt_method == kCryptNone) return absl::OkStatus();
  if (!arguments.secret.given()) {
    return UsageError(
        "an encrypted image needs --secret-file=FILE or --secret-env=NAME");
  }
  ASSIGN_OR_RETURN(const Secret passphrase, arguments.secret.Load());
  if (create.crypt_method != kCryptLuks) return absl::OkStatus();
  ASSIGN_OR_RETURN(NewLuks luks, CreateLuks(arguments.luks, passphrase));
  create.luks_area = std::move(luks.area);
  return absl::OkStatus();
}

}  // namespace qcow2::tool
