#include "repair/journal/simulated_disk.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace qcow2::repair {
namespace {

using Effect = CallFault::Effect;

constexpr size_t kSectorBytes = 512;

absl::Status Error(int error, const std::string& name) {
  return absl::ErrnoToStatus(error, absl::StrCat("simulated '", name, "'"));
}

}  // namespace

class SimulatedDisk::SimulatedFile : public File {
 public:
  SimulatedFile(SimulatedDisk& disk, size_t inode, std::string name)
      : disk_(disk), inode_(inode), name_(std::move(name)) {}

  std::string name() const override { return name_; }

  absl::StatusOr<uint64_t> Size() const override {
    Effect effect;
    RETURN_IF_ERROR(disk_.Call(effect));
    return bytes().size();
  }

  absl::StatusOr<size_t> Pread(uint64_t offset,
                               std::span<std::byte> buffer) const override {
    Effect effect;
    RETURN_IF_ERROR(disk_.Call(effect));
    if (offset >= bytes().size()) return 0;
    const size_t count =
        std::min<uint64_t>(buffer.size(), bytes().size() - offset);
    std::copy_n(bytes().begin() + static_cast<ptrdiff_t>(offset), count,
                buffer.begin());
    return count;
  }

  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override {
    Effect effect;
    absl::Status status = disk_.Call(effect);
    if (effect == Effect::kNone) return status;
    if (effect == Effect::kHalf) data = data.first(disk_.HalfOf(offset, data));
    Operation operation = {.kind = Operation::Kind::kWrite, .subject = inode_};
    operation.offset = offset;
    operation.data.assign(data.begin(), data.end());
    disk_.Do(std::move(operation));
    return status;
  }

  absl::Status Flush() override {
    Effect effect;
    absl::Status status = disk_.Call(effect);
    disk_.Do({.kind = effect == Effect::kAll ? Operation::Kind::kFlush
                                             : Operation::Kind::kFailedFlush,
              .subject = inode_});
    return status;
  }

  absl::Status Truncate(uint64_t size) override {
    Effect effect;
    absl::Status status = disk_.Call(effect);
    if (effect != Effect::kAll) return status;
    disk_.Do({.kind = Operation::Kind::kTruncate,
              .subject = inode_,
              .offset = size});
    return status;
  }

  // Zeros within the file's length; what a crash leaves of it is like a write.
  absl::Status PunchHole(ByteRange range) override {
    const uint64_t begin = std::min<uint64_t>(range.offset, bytes().size());
    const std::vector<std::byte> zeros(
        std::min(range.length, bytes().size() - begin));
    return Pwrite(begin, zeros);
  }

  absl::StatusOr<ByteRange> NextData(uint64_t offset) const override {
    Effect effect;
    RETURN_IF_ERROR(disk_.Call(effect));
    const uint64_t begin = std::min<uint64_t>(offset, bytes().size());
    return ByteRange{begin, bytes().size() - begin};
  }

  absl::Status Lock(LockRequest /*request*/) override {
    return absl::OkStatus();
  }
  void Unlock() override {}

 private:
  const Contents& bytes() const { return disk_.inodes_[inode_]; }

  SimulatedDisk& disk_;
  const size_t inode_;
  const std::string name_;
};

class SimulatedDisk::SimulatedDirectory : public Directory {
 public:
  explicit SimulatedDirectory(SimulatedDisk& disk) : disk_(disk) {}

  std::string name() const override { return "folder"; }

  absl::StatusOr<std::unique_ptr<File>> CreateExclusive(
      const std::string& name) override {
    Effect effect;
    const absl::Status status = disk_.Call(effect);
    if (effect != Effect::kAll) return status;
    if (disk_.names_.contains(name)) return Error(EEXIST, name);
    disk_.inodes_.emplace_back();
    disk_.Do({.kind = Operation::Kind::kCreate,
              .subject = kFolder,
              .name = name,
              .inode = disk_.inodes_.size() - 1});
    RETURN_IF_ERROR(status);
    return std::make_unique<SimulatedFile>(disk_, disk_.inodes_.size() - 1,
                                           name);
  }

  absl::StatusOr<std::unique_ptr<File>> CreateScratch() override {
    return absl::UnimplementedError("not needed");
  }

  absl::StatusOr<std::unique_ptr<File>> Open(
      const std::string& name, OpenFor /*purpose*/) const override {
    Effect effect;
    RETURN_IF_ERROR(disk_.Call(effect));
    const auto found = disk_.names_.find(name);
    if (found == disk_.names_.end()) return Error(ENOENT, name);
    return std::make_unique<SimulatedFile>(disk_, found->second, name);
  }

  absl::StatusOr<bool> Exists(const std::string& name) const override {
    Effect effect;
    RETURN_IF_ERROR(disk_.Call(effect));
    return disk_.names_.contains(name);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    Effect effect;
    absl::Status status = disk_.Call(effect);
    if (effect != Effect::kAll) return status;
    if (disk_.names_.contains(to)) return Error(EEXIST, to);
    if (!disk_.names_.contains(from)) return Error(ENOENT, from);
    disk_.Do({.kind = Operation::Kind::kRename,
              .subject = kFolder,
              .name = from,
              .new_name = to});
    return status;
  }

  absl::Status Remove(const std::string& name) override {
    Effect effect;
    absl::Status status = disk_.Call(effect);
    if (effect != Effect::kAll) return status;
    if (!disk_.names_.contains(name)) return Error(ENOENT, name);
    disk_.Do(
        {.kind = Operation::Kind::kRemove, .subject = kFolder, .name = name});
    return status;
  }

  absl::Status Sync() override {
    Effect effect;
    absl::Status status = disk_.Call(effect);
    disk_.Do({.kind = effect == Effect::kAll ? Operation::Kind::kFlush
                                             : Operation::Kind::kFailedFlush,
              .subject = kFolder});
    return status;
  }

 private:
  SimulatedDisk& disk_;
};

SimulatedDisk::SimulatedDisk(Contents image, const Names& files)
    : image_(std::make_unique<SimulatedFile>(*this, kImage, "image")),
      directory_(std::make_unique<SimulatedDirectory>(*this)) {
  initial_inodes_.push_back(std::move(image));
  for (const auto& [name, contents] : files) {
    initial_names_[name] = initial_inodes_.size();
    initial_inodes_.push_back(contents);
  }
  inodes_ = initial_inodes_;
  names_ = initial_names_;
}

SimulatedDisk::~SimulatedDisk() = default;

SimulatedDisk::Names SimulatedDisk::files() const {
  Names files;
  for (const auto& [name, inode] : names_) files[name] = inodes_[inode];
  return files;
}

void SimulatedDisk::FailCalls(const CallFault& fault) {
  fault_ = fault;
  failed_ = false;
  calls_ = 0;
}

absl::Status SimulatedDisk::Call(CallFault::Effect& effect) {
  effect = Effect::kAll;
  const uint64_t call = calls_++;
  if (!fault_.has_value() || call < fault_->skip ||
      (call > fault_->skip && !fault_->for_good)) {
    return absl::OkStatus();
  }
  effect = fault_->effect;
  failed_ = true;
  return Error(fault_->error, "fault");
}

size_t SimulatedDisk::HalfOf(uint64_t offset,
                             std::span<const std::byte> data) const {
  const size_t half = data.size() / 2;
  if (!whole_sectors_) return half;
  const size_t behind_sector = (offset + half) % kSectorBytes;
  return half - std::min(half, behind_sector);
}

void SimulatedDisk::Do(Operation operation) {
  Perform(operation);
  log_.push_back(std::move(operation));
}

void SimulatedDisk::Perform(const Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::kWrite: {
      if (operation.data.empty()) return;
      Contents& bytes = inodes_[operation.subject];
      const size_t end = operation.offset + operation.data.size();
      bytes.resize(std::max(bytes.size(), end));
      std::copy(operation.data.begin(), operation.data.end(),
                bytes.begin() + static_cast<ptrdiff_t>(operation.offset));
      return;
    }
    case Operation::Kind::kTruncate:
      inodes_[operation.subject].resize(operation.offset);
      return;
    case Operation::Kind::kFlush:
    case Operation::Kind::kFailedFlush:
      return;
    case Operation::Kind::kCreate:
      names_[operation.name] = operation.inode;
      return;
    case Operation::Kind::kRename: {
      const auto found = names_.find(operation.name);
      if (found == names_.end()) return;
      names_[operation.new_name] = found->second;
      names_.erase(operation.name);
      return;
    }
    case Operation::Kind::kRemove:
      names_.erase(operation.name);
      return;
  }
}

bool SimulatedDisk::IsSure(size_t index, size_t operations) const {
  for (size_t i = index + 1; i < operations; ++i) {
    if (log_[i].subject != log_[index].subject) continue;
    if (log_[i].kind == Operation::Kind::kFlush) return true;
    if (log_[i].kind == Operation::Kind::kFailedFlush) return false;
  }
  return false;
}

void SimulatedDisk::PerformPart(const Operation& operation,
                                std::mt19937_64& random) {
  if (random() % 2 == 0) {
    if (random() % 2 == 0) Perform(operation);
    return;
  }
  if (operation.kind != Operation::Kind::kWrite) return;
  // Torn between sectors, or anywhere.
  const size_t step = whole_sectors_ || random() % 2 == 0
                          ? kSectorBytes
                          : 1 + random() % kSectorBytes;
  for (size_t begin = 0; begin < operation.data.size();) {
    const uint64_t offset = operation.offset + begin;
    const size_t length =
        std::min<size_t>(step - offset % step, operation.data.size() - begin);
    if (random() % 2 == 0) {
      const auto first = operation.data.begin() + static_cast<ptrdiff_t>(begin);
      Operation part = {.kind = operation.kind, .subject = operation.subject};
      part.offset = offset;
      part.data.assign(first, first + static_cast<ptrdiff_t>(length));
      Perform(part);
    }
    begin += length;
  }
}

std::unique_ptr<SimulatedDisk> SimulatedDisk::AfterCrash(
    size_t operations, Survival survival, std::mt19937_64& random) const {
  SimulatedDisk state(initial_inodes_[kImage]);
  state.whole_sectors_ = whole_sectors_;
  state.inodes_ = initial_inodes_;
  state.names_ = initial_names_;
  state.inodes_.resize(inodes_.size());
  for (size_t i = 0; i < operations; ++i) {
    const bool sure = IsSure(i, operations);
    if (sure || survival == Survival::kEverything) {
      state.Perform(log_[i]);
    } else if (survival == Survival::kRandom) {
      state.PerformPart(log_[i], random);
    }
  }
  return std::make_unique<SimulatedDisk>(state.image_contents(), state.files());
}

}  // namespace qcow2::repair
