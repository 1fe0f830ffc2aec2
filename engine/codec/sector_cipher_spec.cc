#include "engine/codec/sector_cipher_spec.h"

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace qcow2 {
namespace {

constexpr std::string_view kEssivPrefix = "essiv:";
constexpr std::array<uint64_t, 3> kAesKeyBytes = {16, 24, 32};

// Names from an image may hold anything, and end up in a message.
std::string Printable(std::string_view name) {
  std::string text(name);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

template <typename... Parts>
absl::Status NotSupported(const Parts&... parts) {
  return absl::UnimplementedError(
      absl::StrCat("encryption with ", parts..., " is not supported"));
}

absl::StatusOr<CipherMode> ParseMode(std::string_view name) {
  if (name == "xts") return CipherMode::kXts;
  if (name == "cbc") return CipherMode::kCbc;
  return NotSupported("cipher mode \"", Printable(name), "\"");
}

absl::Status ParseIvGenerator(std::string_view name, SectorCipherSpec& spec) {
  // What follows the colon matters to essiv alone.
  const std::string_view kind = name.substr(0, name.find(':'));
  if (kind == "plain") {
    spec.iv_generator = IvGenerator::kPlain;
  } else if (kind == "plain64") {
    spec.iv_generator = IvGenerator::kPlain64;
  } else if (name.starts_with(kEssivPrefix)) {
    spec.iv_generator = IvGenerator::kEssiv;
    spec.essiv_hash = name.substr(kEssivPrefix.size());
  } else if (kind == "essiv") {
    return absl::DataLossError("LUKS cipher mode names no hash for essiv");
  } else {
    return NotSupported("initialization vectors \"", Printable(name), "\"");
  }
  return absl::OkStatus();
}

bool FitsAes(CipherMode mode, uint64_t key_bytes) {
  const uint64_t keys = mode == CipherMode::kXts ? 2 : 1;
  return std::any_of(
      kAesKeyBytes.begin(), kAesKeyBytes.end(),
      [&](uint64_t aes_bytes) { return key_bytes == keys * aes_bytes; });
}

}  // namespace

absl::StatusOr<SectorCipherSpec> ParseLuksCipher(std::string_view cipher_name,
                                                 std::string_view cipher_mode,
                                                 uint64_t key_bytes) {
  if (cipher_name != "aes") {
    return NotSupported("cipher \"", Printable(cipher_name), "\"");
  }
  const size_t dash = cipher_mode.find('-');
  SectorCipherSpec spec;
  const auto mode = ParseMode(cipher_mode.substr(0, dash));
  if (!mode.ok()) return mode.status();
  spec.mode = *mode;
  if (dash == std::string_view::npos) {
    return absl::DataLossError(
        absl::StrCat("LUKS cipher mode \"", Printable(cipher_mode),
                     "\" names no initialization vectors"));
  }
  if (absl::Status status =
          ParseIvGenerator(cipher_mode.substr(dash + 1), spec);
      !status.ok()) {
    return status;
  }
  if (!FitsAes(spec.mode, key_bytes)) {
    return absl::DataLossError(absl::StrCat(
        "LUKS key of ", key_bytes, " bytes: no cipher \"aes\" in mode \"",
        Printable(cipher_mode), "\" has such a key"));
  }
  spec.key_bytes = key_bytes;
  return spec;
}

std::string LuksCipherMode(const SectorCipherSpec& spec) {
  const absl::string_view mode = spec.mode == CipherMode::kXts ? "xts" : "cbc";
  switch (spec.iv_generator) {
    case IvGenerator::kPlain:
      return absl::StrCat(mode, "-plain");
    case IvGenerator::kPlain64:
      return absl::StrCat(mode, "-plain64");
    case IvGenerator::kEssiv:
      return absl::StrCat(mode, "-essiv:", spec.essiv_hash);
  }
  return {};
}

}  // namespace qcow2
