// A small sound image in memory for the tests of single passes: header,
// refcount table, one refcount block, L1 table, one L2 table, data. Tests
// damage it.
#ifndef CHECKER_TEST_IMAGE_H_
#define CHECKER_TEST_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checker/check_state.h"
#include "engine/format/header.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/memory_file.h"

namespace qcow2::checker {

// What some passes find in an image, and the state they leave.
class PassRun {
 public:
  // Runs `passes` on a copy of `file`.
  PassRun(const MemoryFile& file,
          const std::function<void(CheckState&)>& passes,
          CheckOptions options = {});
  // The same on a file of any kind, which must outlive the run.
  PassRun(const File& file, const std::function<void(CheckState&)>& passes,
          CheckOptions options = {});

  const CheckState& state() const { return held_->state; }
  // The findings of `problem`, in order.
  std::vector<Finding> FindingsOf(Problem problem) const;
  // The one finding of `problem`, or nothing if there is not exactly one.
  std::optional<Finding> Only(Problem problem) const;
  // The slugs of all problems found, each once, by ascending number.
  std::vector<std::string> Codes() const;

 private:
  struct Held {
    Held(const File& file, CheckOptions check_options)
        : options(std::move(check_options)), state(file, options) {}
    CheckOptions options;
    CheckState state;
  };

  std::unique_ptr<MemoryFile> file_;
  std::unique_ptr<Held> held_;
  std::vector<Finding> findings_;
};

class TestImage {
 public:
  // Where its structures are, in clusters; behind the header in cluster 0.
  static constexpr uint64_t kRefcountTable = 1;
  static constexpr uint64_t kRefcountBlock = 2;
  static constexpr uint64_t kL1 = 3;
  static constexpr uint64_t kL2 = 4;
  static constexpr uint64_t kData = 5;  // to 7
  static constexpr uint64_t kFree = 8;  // to 15: empty and not counted

  explicit TestImage(uint32_t version = 3, uint32_t cluster_bits = 12);

  // Written to the image by file().
  Header header;

  uint64_t cluster_size() const { return uint64_t{1} << header.cluster_bits; }
  uint64_t OffsetOf(uint64_t cluster) const {
    return cluster << header.cluster_bits;
  }
  void Write(uint64_t offset, std::span<const std::byte> bytes);
  void WriteText(uint64_t offset, std::string_view text);
  void WriteBe64(uint64_t offset, uint64_t value);
  // Fills a cluster with `byte`.
  void Fill(uint64_t cluster, char byte);
  // Sets the refcount of a cluster; counts have 16 bits.
  void SetCount(uint64_t cluster, uint16_t count);
  // Sets a word of the L1 table and of the L2 table.
  void SetL1(uint64_t index, uint64_t word);
  void SetL2(uint64_t index, uint64_t word);
  // Makes `entries` the snapshot table, at a cluster. Counts stay as they are.
  void PutSnapshots(uint64_t cluster,
                    const std::vector<SnapshotEntry>& entries);
  // Appends a header extension behind the header, padded.
  void AddExtension(uint32_t type, std::span<const std::byte> data);
  void Truncate(uint64_t size);

  MemoryFile& file();

 private:
  MemoryFile file_;
  uint64_t extensions_end_ = 0;
};

std::vector<std::byte> BytesOf(std::string_view text);

// A snapshot of a disk of `disk_size_bytes`, with one L1 entry at `l1_offset`.
SnapshotEntry SnapshotOf(uint64_t disk_size_bytes, uint64_t l1_offset,
                         std::string id, std::string name);

}  // namespace qcow2::checker

#endif  // CHECKER_TEST_IMAGE_H_
