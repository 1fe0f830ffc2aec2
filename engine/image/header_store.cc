#include "engine/image/header_store.h"

#include <algorithm>

#include "engine/format/header_extension.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// What a disk writes whole or not at all.
constexpr uint64_t kSectorBytes = 512;

std::span<const std::byte> FirstSector(std::span<const std::byte> bytes) {
  return bytes.first(std::min<size_t>(bytes.size(), kSectorBytes));
}

// Where the header area of a file with this header may reach to.
uint64_t EndOf(const HeaderArea& area) {
  const auto encoded = area.Encode();
  const uint64_t end = encoded.ok() ? encoded->size() : 0;
  return std::max(end, area.header.backing_file_offset.value() +
                           area.header.backing_file_size);
}

}  // namespace

absl::StatusOr<bool> HeaderStore::TailIsThere(
    std::span<const std::byte> bytes) const {
  if (bytes.size() <= kSectorBytes) return true;
  std::vector<std::byte> there(bytes.size() - kSectorBytes);
  RETURN_IF_ERROR(ReadZeroFilled(file_, kSectorBytes, there));
  return std::equal(there.begin(), there.end(), bytes.begin() + kSectorBytes);
}

absl::Status HeaderStore::WriteAndFlush(uint64_t offset,
                                        std::span<const std::byte> bytes) {
  RETURN_IF_ERROR(file_.Pwrite(offset, bytes));
  return file_.Flush();
}

absl::StatusOr<std::optional<std::vector<std::byte>>> HeaderStore::PlanBridge(
    const HeaderArea& next, uint64_t next_end) {
  HeaderArea bridge = next;
  bridge.Remove(kExtensionFeatureNames);
  ASSIGN_OR_RETURN(std::vector<std::byte> bytes, bridge.Encode());
  if (bytes.size() <= kSectorBytes) return bytes;
  // The name goes where neither the old area nor the new one reaches.
  const auto name = std::as_bytes(std::span(next.backing_name));
  const uint64_t cluster_size = uint64_t{1} << next.header.cluster_bits;
  const uint64_t used = std::max(EndOf(area_), next_end);
  if (name.empty() || name.size() > cluster_size ||
      cluster_size - name.size() < used) {
    return std::nullopt;
  }
  bytes.resize(bytes.size() - name.size());
  if (bytes.size() > kSectorBytes) return std::nullopt;
  Header header = Header::Decode(bytes);
  header.backing_file_offset = HostOffset(cluster_size - name.size());
  const std::vector<std::byte> fields = header.Encode();
  std::copy(fields.begin(), fields.end(), bytes.begin());
  RETURN_IF_ERROR(WriteAndFlush(header.backing_file_offset.value(), name));
  return bytes;
}

absl::Status HeaderStore::Switch(HeaderArea next) {
  RETURN_IF_ERROR(health_);
  ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, next.Encode());
  RETURN_IF_ERROR(file_.Flush());
  ASSIGN_OR_RETURN(const bool tail_is_there, TailIsThere(bytes));
  if (tail_is_there) {
    health_ = WriteAndFlush(0, FirstSector(bytes));
  } else {
    ASSIGN_OR_RETURN(const auto bridge, PlanBridge(next, bytes.size()));
    if (bridge.has_value()) health_ = WriteAndFlush(0, *bridge);
    RETURN_IF_ERROR(health_);
    const auto tail = std::span(bytes).subspan(kSectorBytes);
    health_ = bridge.has_value() ? WriteAndFlush(kSectorBytes, tail)
                                 : file_.Pwrite(kSectorBytes, tail);
    if (health_.ok()) health_ = WriteAndFlush(0, FirstSector(bytes));
  }
  RETURN_IF_ERROR(health_);
  area_ = std::move(next);
  const Header written = Header::Decode(bytes);
  area_.header.backing_file_offset = written.backing_file_offset;
  area_.header.backing_file_size = written.backing_file_size;
  return absl::OkStatus();
}

}  // namespace qcow2
