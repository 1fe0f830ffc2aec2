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

// Clusters: 0 header, 1 refcount table, 2 refcount block, 3 L1 table, 4 L2
// table, 5 to 7 data, 8 to 15 empty and not counted.
class TestImage {
 public:
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
  // Appends a header extension behind the header, padded.
  void AddExtension(uint32_t type, std::span<const std::byte> data);
  void Truncate(uint64_t size);

  MemoryFile& file();

 private:
  MemoryFile file_;
  uint64_t extensions_end_ = 0;
};

std::vector<std::byte> BytesOf(std::string_view text);

}  // namespace qcow2::checker

#endif  // CHECKER_TEST_IMAGE_H_
