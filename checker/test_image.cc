#include "checker/test_image.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/refcount_block.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kClusters = 16;
constexpr uint64_t kUsedClusters = 8;

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
  header.refcount_table_offset = HostOffset(OffsetOf(1));
  header.refcount_table_clusters = 1;
  header.l1_table_offset = HostOffset(OffsetOf(3));
  header.l1_size = 1;
  header.size = 3 * cluster_size();
  if (version < 3) header.header_length = kHeaderLengthV2;
  extensions_end_ = header.encoded_size();
  Truncate(OffsetOf(kClusters));

  WriteBe64(OffsetOf(1), OffsetOf(2));
  std::vector<std::byte> block(cluster_size());
  for (uint64_t i = 0; i < kUsedClusters; ++i) {
    SetRefcount(block, kRefcountOrderV2, i, 1);
  }
  Write(OffsetOf(2), block);
  WriteBe64(OffsetOf(3), OffsetOf(4) | kCopiedFlag);
  for (uint64_t i = 0; i < 3; ++i) {
    WriteBe64(OffsetOf(4) + 8 * i, OffsetOf(5 + i) | kCopiedFlag);
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

void TestImage::AddExtension(uint32_t type, std::span<const std::byte> data) {
  std::vector<std::byte> bytes(8);
  StoreBe32(&bytes[0], type);
  StoreBe32(&bytes[4], static_cast<uint32_t>(data.size()));
  bytes.insert(bytes.end(), data.begin(), data.end());
  bytes.resize((bytes.size() + 7) / 8 * 8);
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

}  // namespace qcow2::checker
