#include "repair/guest_source.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/format/header.h"
#include "engine/status_macros.h"

namespace qcow2::repair {
namespace {

using Kind = GuestSource::Kind;

GuestSource Unallocated(const SourceRules& rules) {
  return {rules.has_backing ? Kind::kBacking : Kind::kZeros};
}

// Of an entry with or without a place, in an image with subclusters.
GuestSource SubclusterSource(const SourceRules& rules, L2Entry entry,
                             bool has_place, uint32_t subcluster) {
  const uint32_t allocated = entry.allocated_subclusters();
  const uint32_t zero = entry.zero_subclusters();
  // One contradiction makes the whole cluster unreadable.
  if (has_place ? (allocated & zero) != 0 : allocated != 0) {
    return {Kind::kUnreadable};
  }
  const uint32_t bit = uint32_t{1} << subcluster;
  if ((allocated & bit) != 0) {
    return {Kind::kHost, entry.host_offset().value()};
  }
  return (zero & bit) != 0 ? GuestSource{Kind::kZeros} : Unallocated(rules);
}

}  // namespace

SourceRules RulesOf(const checker::ImageModel& model) {
  return {*model.geometry,
          model.header.version,
          model.external_data_file,
          model.header.backing_file_offset.value() != 0,
          model.header.crypt_method,
          static_cast<CompressionType>(model.header.compression_type)};
}

GuestSource SourceOf(const SourceRules& rules, L2Entry entry,
                     uint32_t subcluster) {
  const Geometry& geometry = rules.geometry;
  if (entry.is_compressed()) {
    if (rules.external_data_file) return {Kind::kUnreadable};
    const CompressedDescriptor data = entry.compressed(geometry);
    return {Kind::kCompressed, data.offset.value(), data.length};
  }
  const uint64_t offset = entry.host_offset().value();
  if (!geometry.IsAligned(offset)) return {Kind::kUnreadable};
  const L2EntryType type = TypeOf(entry, geometry, rules.external_data_file);
  if (geometry.extended_l2()) {
    return SubclusterSource(rules, entry, type == L2EntryType::kNormal,
                            subcluster);
  }
  switch (type) {
    case L2EntryType::kUnallocated:
      return Unallocated(rules);
    case L2EntryType::kZeroPlain:
    case L2EntryType::kZeroAllocated:
      return {rules.version < 3 ? Kind::kUnreadable : Kind::kZeros};
    case L2EntryType::kNormal:
      return {Kind::kHost, offset};
    case L2EntryType::kCompressed:
      break;
  }
  return {Kind::kUnreadable};
}

std::string DescribeSource(const GuestSource& source) {
  switch (source.kind) {
    case Kind::kUnreadable:
      return "nothing that can be read";
    case Kind::kBacking:
      return "the backing file";
    case Kind::kZeros:
      return "zeros";
    case Kind::kHost:
      return absl::StrFormat("the host cluster at %#x", source.offset_bytes);
    case Kind::kCompressed:
      return absl::StrFormat("compressed data at %#x", source.offset_bytes);
  }
  return "";
}

absl::Status SourceReader::ReadCompressed(const GuestSource& source,
                                          uint64_t offset_in_cluster,
                                          std::span<std::byte> buffer) {
  if (in_cluster_ != source) {
    in_cluster_ = {};
    stored_.resize(source.length_bytes);
    cluster_.resize(rules_.geometry.cluster_size());
    RETURN_IF_ERROR(ReadZeroFilled(file_, source.offset_bytes, stored_));
    RETURN_IF_ERROR(
        decompressor_.InflateExactly(rules_.compression, stored_, cluster_));
    in_cluster_ = source;
  }
  std::copy_n(cluster_.begin() + static_cast<ptrdiff_t>(offset_in_cluster),
              buffer.size(), buffer.begin());
  return absl::OkStatus();
}

absl::Status SourceReader::Read(const GuestSource& source,
                                uint64_t offset_in_cluster,
                                std::span<std::byte> buffer) {
  switch (source.kind) {
    case Kind::kZeros:
      std::fill(buffer.begin(), buffer.end(), std::byte{0});
      return absl::OkStatus();
    case Kind::kHost:
      if (rules_.external_data_file) break;
      return ReadZeroFilled(file_, source.offset_bytes + offset_in_cluster,
                            buffer);
    case Kind::kCompressed:
      return ReadCompressed(source, offset_in_cluster, buffer);
    case Kind::kUnreadable:
    case Kind::kBacking:
      break;
  }
  return absl::FailedPreconditionError(
      absl::StrCat(file_.name(), ": does not hold ", DescribeSource(source)));
}

}  // namespace qcow2::repair
