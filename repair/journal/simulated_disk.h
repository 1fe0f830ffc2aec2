// SimulatedDisk: an image and the folder of its journal on a disk that forgets
// what was not flushed and fails when told to. For tests of crashes.
//
// The model: what was written to a file is sure to be there after a crash once
// a later Flush of that file has succeeded; what became of names, once a later
// Sync of the folder has. Of everything else any subset survives, of a write
// any part. A Flush that failed has given up what it was to store: a later one
// that succeeds does not make it sure.
#ifndef REPAIR_JOURNAL_SIMULATED_DISK_H_
#define REPAIR_JOURNAL_SIMULATED_DISK_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/storage/file.h"
#include "repair/journal/directory.h"

namespace qcow2::repair {

// What happens from a certain call on.
struct CallFault {
  // The calls to let pass first, of whatever kind.
  uint64_t skip = 0;
  // Whether those after the first failing one fail as well.
  bool for_good = false;
  int error = EIO;
  // What a failing call does before it fails: nothing, half of its bytes when
  // it is a write, or all it should have done.
  enum class Effect { kNone, kHalf, kAll } effect = Effect::kNone;
};

// What of that which was not flushed survives a crash.
enum class Survival { kNothing, kEverything, kRandom };

class SimulatedDisk {
 public:
  using Contents = std::vector<std::byte>;
  using Names = std::map<std::string, Contents>;

  // An image and named files in the folder, all of them flushed.
  explicit SimulatedDisk(Contents image, const Names& files = {});
  ~SimulatedDisk();

  File& image() { return *image_; }
  Directory& directory() { return *directory_; }

  Contents image_contents() const { return inodes_[kImage]; }
  Names files() const;

  // From now on a crash or a fault tears writes between sectors of 512 bytes
  // only, as disks promise, and not anywhere.
  void KeepSectorsWhole() { whole_sectors_ = true; }

  // Calls of any kind since FailCalls, or since the beginning.
  uint64_t calls() const { return calls_; }
  void FailCalls(const CallFault& fault);
  void Heal() { fault_.reset(); }
  // Whether FailCalls' fault came.
  bool Failed() const { return failed_; }

  // What changed something or flushed it, or was to do so, so far.
  size_t operations() const { return log_.size(); }

  // The disk as it may be found after a crash behind the first `operations`.
  std::unique_ptr<SimulatedDisk> AfterCrash(size_t operations,
                                            Survival survival,
                                            std::mt19937_64& random) const;

 private:
  class SimulatedFile;
  class SimulatedDirectory;

  static constexpr size_t kImage = 0;
  // In place of a file's number: the folder.
  static constexpr size_t kFolder = static_cast<size_t>(-1);

  struct Operation {
    enum class Kind {
      kWrite,
      kTruncate,
      kFlush,
      kFailedFlush,
      kCreate,
      kRename,
      kRemove,
    };
    Kind kind;
    // Which file, or kFolder for all that is about names.
    size_t subject;
    uint64_t offset = 0;  // Of a write. The new length of a Truncate.
    Contents data = {};
    std::string name = {};
    std::string new_name = {};
    size_t inode = 0;  // Of kCreate.
  };

  // Counts a call. An error when it is to fail; `effect` says what it does
  // nevertheless.
  absl::Status Call(CallFault::Effect& effect);

  // How many bytes a write that does half its work writes.
  size_t HalfOf(uint64_t offset, std::span<const std::byte> data) const;

  // Logs the operation and does it.
  void Do(Operation operation);
  void Perform(const Operation& operation);

  bool IsSure(size_t index, size_t operations) const;
  void PerformPart(const Operation& operation, std::mt19937_64& random);

  std::vector<Contents> initial_inodes_;
  std::map<std::string, size_t> initial_names_;
  std::vector<Contents> inodes_;
  std::map<std::string, size_t> names_;
  std::vector<Operation> log_;
  std::optional<CallFault> fault_;
  bool failed_ = false;
  uint64_t calls_ = 0;
  bool whole_sectors_ = false;
  std::unique_ptr<File> image_;
  std::unique_ptr<Directory> directory_;
};

}  // namespace qcow2::repair

#endif  // REPAIR_JOURNAL_SIMULATED_DISK_H_
