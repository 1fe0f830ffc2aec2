#include "checker/test_image.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kClusters = 16;

}  // namespace

PassRun::PassRun(const File& file,
                 const std::function<void(CheckState&)>& passes,
                 CheckOptions options)
    : held_(std::make_unique<Held>(file, std::move(options))) {
  held_->state.model.path = "image";
  passes(held_->state);
  findings_ = held_->state.sink.TakeFindings();
}

PassRun::PassRun(const MemoryFile& file,
                 const std::function<void(CheckState&)>& passes,
                 CheckOptions options)
    : file_(std::make_unique<MemoryFile>(file)),
      held_(std::make_unique<Held>(*file_, std::move(options))) {
  held_->state.model.path = "image";
  passes(held_->state);
  findings_ = held_->state.sink.TakeFindings();
}

std::vector<Finding> PassRun::FindingsOf(Problem problem) const {
  std::vector<Finding> found;
  for (const Finding& finding : findings_) {
    if (finding.problem == problem) found.push_back(finding);
  }
  return found;
}

std::optional<Finding> PassRun::Only(Problem problem) const {
  std::vector<Finding> found = FindingsOf(problem);
  if (found.size() != 1) return std::nullopt;
  return std::move(found.front());
}

std::vector<std::string> PassRun::Codes() const {
  std::vector<std::string> codes;
  for (const Finding& finding : findings_) {
    codes.emplace_back(RowOf(finding.problem).code);
  }
  codes.erase(std::unique(codes.begin(), codes.end()), codes.end());
  return codes;
}

TestImage::TestImage(uint32_t version, uint32_t cluster_bits) {
  header.version = version;
  header.cluster_bits = cluster_bits;
  header.refcount_table_offset = HostOffset(OffsetOf(kRefcountTable));
  header.refcount_table_clusters = 1;
  header.l1_table_offset = HostOffset(OffsetOf(kL1));
  header.l1_size = 1;
  header.size = 3 * cluster_size();
  if (version < 3) header.header_length = kHeaderLengthV2;
  extensions_end_ = header.encoded_size();
  Truncate(OffsetOf(kClusters));

  WriteBe64(OffsetOf(kRefcountTable), OffsetOf(kRefcountBlock));
  for (uint64_t i = 0; i < kFree; ++i) SetCount(i, 1);
  SetL1(0, OffsetOf(kL2) | kCopiedFlag);
  for (uint64_t i = 0; i < kFree - kData; ++i) {
    SetL2(i, OffsetOf(kData + i) | kCopiedFlag);
  }
}

void TestImage::Write(uint64_t offset, std::span<const std::byte> bytes) {
  (void)file_.Pwrite(offset, bytes);
}

void TestImage::WriteText(uint64_t offset, std::string_view text) {
  Write(offset, BytesOf(text));
}

void TestImage::WriteBe64(uint64_t offset, uint64_t value) {
  std::array<std::byte, 8> bytes;
  StoreBe64(bytes.data(), value);
  Write(offset, bytes);
}

void TestImage::Fill(uint64_t cluster, char byte) {
  Write(OffsetOf(cluster),
        std::vector<std::byte>(cluster_size(), static_cast<std::byte>(byte)));
}

void TestImage::SetCount(uint64_t cluster, uint16_t count) {
  std::array<std::byte, 2> bytes;
  StoreBe16(bytes.data(), count);
  Write(OffsetOf(kRefcountBlock) + cluster * bytes.size(), bytes);
}

void TestImage::SetL1(uint64_t index, uint64_t word) {
  WriteBe64(OffsetOf(kL1) + index * 8, word);
}

void TestImage::SetL2(uint64_t index, uint64_t word) {
  WriteBe64(OffsetOf(kL2) + index * 8, word);
}

void TestImage::PutSnapshots(uint64_t cluster,
                             const std::vector<SnapshotEntry>& entries) {
  Write(OffsetOf(cluster), EncodeSnapshotTable(entries));
  header.nb_snapshots = static_cast<uint32_t>(entries.size());
  header.snapshots_offset = HostOffset(OffsetOf(cluster));
}

void TestImage::AddExtension(uint32_t type, std::span<const std::byte> data) {
  const std::vector<std::byte> bytes = EncodeHeaderExtension(type, data);
  Write(extensions_end_, bytes);
  extensions_end_ += bytes.size();
}

void TestImage::Truncate(uint64_t size) { (void)file_.Truncate(size); }

MemoryFile& TestImage::file() {
  const uint64_t size = file_.bytes().size();
  Write(0, header.Encode());
  Truncate(size);
  return file_;
}

std::vector<std::byte> BytesOf(std::string_view text) {
  std::vector<std::byte> bytes;
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

SnapshotEntry SnapshotOf(uint64_t disk_size_bytes, uint64_t l1_offset,
                         std::string id, std::string name) {
  SnapshotEntry entry;
  entry.l1_table_offset = HostOffset(l1_offset);
  entry.l1_size = 1;
  entry.date_seconds = 1700000000;
  entry.extra_data.resize(kSnapshotExtraSizeV3);
  StoreBe64(&entry.extra_data[8], disk_size_bytes);
  entry.id = std::move(id);
  entry.name = std::move(name);
  return entry;
}

}  // namespace qcow2::checker
