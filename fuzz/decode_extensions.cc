// Any bytes are an extension area: what was found lies inside it without gaps
// and encodes back to the same bytes, and the extensions known by name decode
// to values that encode back too.
#include <algorithm>
#include <vector>

#include "engine/format/bitmap_extension.h"
#include "engine/format/feature_name_table.h"
#include "engine/format/geometry.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"
#include "fuzz/fuzz_target.h"

namespace {

using Bytes = std::span<const std::byte>;

// `encoded` begins with `input`, or the other way round.
bool Agree(Bytes input, Bytes encoded) {
  const size_t common = std::min(input.size(), encoded.size());
  const Bytes part = input.first(common);
  return std::equal(part.begin(), part.end(), encoded.begin());
}

void CheckKnown(Bytes data) {
  const qcow2::Geometry geometry = *qcow2::Geometry::Create(16, 4, false);
  const auto bitmaps = qcow2::BitmapExtension::Decode(data);
  FUZZ_CHECK(Agree(data, bitmaps.Encode()));
  qcow2::BitmapExtensionIssues(bitmaps, data.size(), geometry);
  const auto luks = qcow2::LuksExtension::Decode(data);
  FUZZ_CHECK(Agree(data, luks.Encode()));
  qcow2::LuksExtensionIssues(luks, data.size(), geometry);
  const auto rows = qcow2::DecodeFeatureNames(data);
  FUZZ_CHECK(rows.size() == data.size() / qcow2::kFeatureNameRowSize);
  for (size_t i = 0; i < rows.size(); ++i) {
    FUZZ_CHECK(
        Agree(data.subspan(i * qcow2::kFeatureNameRowSize), rows[i].Encode()));
  }
  qcow2::NameOfFeature(qcow2::FeatureKind::kIncompatible, 5, rows);
}

}  // namespace

// The first byte says how far the area reaches past the input.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes area = qcow2::fuzz::InputBytes(data + 1, size - 1);
  const auto found =
      qcow2::DecodeHeaderExtensions(area, 0, area.size() + data[0]);
  FUZZ_CHECK(found.end_offset <= area.size());
  uint64_t offset = 0;
  for (const qcow2::HeaderExtension& extension : found.extensions) {
    FUZZ_CHECK(extension.offset == offset);
    FUZZ_CHECK(extension.data.size() == extension.length);
    FUZZ_CHECK(extension.type != qcow2::kExtensionEnd);
    const auto encoded = qcow2::EncodeHeaderExtension(extension);
    FUZZ_CHECK(Agree(area.subspan(offset), encoded));
    CheckKnown(extension.data);
    offset += 8 + extension.data.size() + extension.padding.size();
  }
  FUZZ_CHECK(offset == found.end_offset);
  qcow2::RepeatedExtensions(found);
  return 0;
}
