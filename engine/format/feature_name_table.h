// The feature name table, a header extension that names feature bits for
// programs that do not know them.
//
// Pure, no I/O.
#ifndef ENGINE_FORMAT_FEATURE_NAME_TABLE_H_
#define ENGINE_FORMAT_FEATURE_NAME_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace qcow2 {

// Which of the header's feature words a bit belongs to. The numbers are the
// format's.
enum class FeatureKind : uint8_t {
  kIncompatible = 0,
  kCompatible = 1,
  kAutoclear = 2,
};

inline constexpr uint64_t kFeatureNameRowSize = 48;

// One row:
//
//   byte   field
//   0      kind: 0 incompatible, 1 compatible, 2 autoclear
//   1      bit number in that word
//   2-47   name, padded with zeros (none if it fills the field)
struct FeatureName {
  // Not a FeatureKind: a row may hold any number.
  uint8_t kind = 0;
  uint8_t bit = 0;
  std::array<char, 46> padded_name = {};

  // The row held by the first 48 bytes of `bytes`; missing bytes are zero.
  static FeatureName Decode(std::span<const std::byte> bytes);
  std::array<std::byte, kFeatureNameRowSize> Encode() const;

  // Up to the first zero. As the image has it: not necessarily printable.
  std::string_view name() const;

  friend bool operator==(const FeatureName&, const FeatureName&) = default;
};

// The rows of an extension's data; bytes after the last whole row are left.
std::vector<FeatureName> DecodeFeatureNames(std::span<const std::byte> data);

// The data of an extension with a row for every feature known here.
std::vector<std::byte> KnownFeatureNames();

// What `bit` of `kind` is called: features known here by the name they have
// here, others by the first row of `table` that names them, else empty. The
// view may point into `table`.
std::string_view NameOfFeature(FeatureKind kind, uint32_t bit,
                               std::span<const FeatureName> table);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_FEATURE_NAME_TABLE_H_
