#include "engine/storage/nbd_file.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/storage/nbd_address.h"

namespace qcow2 {
namespace {

// Requests of one long read or write that are under way at a time.
constexpr size_t kMaxUnderWay = 16;
// What is kept of bytes that were advised but not read yet: more than the check
// asks for ahead of itself, since what has to go is read twice.
constexpr uint64_t kMaxAheadBytes = uint64_t{16} << 20;
// Commands for zeros have no length to fear; a server that writes them for lack
// of a better way has.
constexpr uint64_t kZeroBytes = uint64_t{32} << 20;
// The longest question about extents that the protocol knows, in whole blocks.
constexpr uint64_t kAskBytes = uint64_t{0xFFFF0000};

// Does something about one stretch after another, each a request, several under
// way. Waits for all of them, also after an error; returns the first.
class Pipeline {
 public:
  explicit Pipeline(const NbdConnection& connection)
      : connection_(connection) {}

  void Add(NbdConnection::Ticket ticket) {
    under_way_.push_back(std::move(ticket));
    if (under_way_.size() > kMaxUnderWay) WaitForOldest();
  }
  bool ok() const { return status_.ok(); }
  absl::Status Finish() {
    while (!under_way_.empty()) WaitForOldest();
    return status_;
  }

 private:
  void WaitForOldest() {
    const absl::Status done = connection_.Wait(under_way_.front());
    under_way_.pop_front();
    if (status_.ok()) status_ = done;
  }

  const NbdConnection& connection_;
  std::deque<NbdConnection::Ticket> under_way_;
  absl::Status status_;
};

absl::Status NotForWriting(const std::string& name, const char* why) {
  return absl::FailedPreconditionError(
      absl::StrCat("'", name, "' cannot be written to: ", why));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NbdFile>> NbdFile::Open(
    const std::string& address, const NbdOpenOptions& options) {
  const std::string name = ShownAddress(address);
  ASSIGN_OR_RETURN(std::unique_ptr<NbdConnection> connection,
                   NbdConnection::Open(address, name, options.connection));
  if (options.writable && connection->exported().read_only) {
    return NotForWriting(name, "the server serves it for reading only");
  }
  if (options.writable && !connection->exported().can_flush) {
    return NotForWriting(name,
                         "the server cannot flush it, so that nobody knows "
                         "what would be there after a loss of power");
  }
  return std::unique_ptr<NbdFile>(
      new NbdFile(std::move(connection), name, options));
}

NbdFile::NbdFile(std::unique_ptr<NbdConnection> connection, std::string name,
                 const NbdOpenOptions& options)
    : connection_(std::move(connection)),
      name_(std::move(name)),
      writable_(options.writable),
      cancel_(options.connection.cancel),
      hole_answers_left_(options.hole_answers) {}

ByteRange NbdFile::WholeBlocks(ByteRange range) const {
  // The export ends with a whole block, so that this does not leave it.
  const uint64_t mask = block_bytes() - 1;
  const uint64_t begin = range.offset & ~mask;
  const uint64_t end = (range.offset + range.length + mask) & ~mask;
  return {begin, end - begin};
}

absl::StatusOr<size_t> NbdFile::Pread(uint64_t offset,
                                      std::span<std::byte> buffer) const {
  const uint64_t size = connection_->exported().size;
  if (offset >= size || buffer.empty()) return 0;
  buffer = buffer.first(std::min<uint64_t>(buffer.size(), size - offset));
  if (!TakeAhead(offset, buffer)) RETURN_IF_ERROR(ReadRange(offset, buffer));
  return buffer.size();
}

absl::Status NbdFile::ReadRange(uint64_t offset,
                                std::span<std::byte> buffer) const {
  const ByteRange blocks = WholeBlocks({offset, buffer.size()});
  if (blocks == ByteRange{offset, buffer.size()}) {
    return ReadBlocks(offset, buffer);
  }
  std::vector<std::byte> whole(blocks.length);
  RETURN_IF_ERROR(ReadBlocks(blocks.offset, whole));
  std::copy_n(whole.begin() + static_cast<ptrdiff_t>(offset - blocks.offset),
              buffer.size(), buffer.begin());
  return absl::OkStatus();
}

absl::Status NbdFile::ReadBlocks(uint64_t offset,
                                 std::span<std::byte> buffer) const {
  Pipeline pipeline(*connection_);
  while (!buffer.empty() && pipeline.ok()) {
    const size_t step = std::min<uint64_t>(
        buffer.size(), connection_->exported().request_max_bytes);
    pipeline.Add(connection_->Read(offset, buffer.first(step)));
    offset += step;
    buffer = buffer.subspan(step);
  }
  return pipeline.Finish();
}

bool NbdFile::TakeAhead(uint64_t offset, std::span<std::byte> buffer) const {
  Ahead ahead;
  {
    const std::lock_guard<std::mutex> lock(ahead_mutex_);
    const auto found =
        std::find_if(ahead_.begin(), ahead_.end(), [&](const Ahead& one) {
          return one.range.offset <= offset &&
                 offset + buffer.size() <= one.range.offset + one.range.length;
        });
    if (found == ahead_.end()) return false;
    ahead = *found;
    ahead_.erase(found);
    ahead_bytes_ -= ahead.range.length;
  }
  // What went wrong is told by who reads it again.
  if (!connection_->Wait(ahead.ticket).ok()) return false;
  const std::span<const std::byte> bytes =
      NbdConnection::OwnBuffer(ahead.ticket);
  std::copy_n(
      bytes.begin() + static_cast<ptrdiff_t>(offset - ahead.range.offset),
      buffer.size(), buffer.begin());
  return true;
}

void NbdFile::Advise(Access access, ByteRange range) const {
  const uint64_t size = connection_->exported().size;
  if (access != Access::kWillNeed && access != Access::kWillFollow) return;
  if (range.offset >= size) return;
  if (range.length == 0 || range.length > size - range.offset) return;
  range = WholeBlocks(range);
  if (range.length > connection_->exported().request_max_bytes ||
      range.length > kMaxAheadBytes) {
    return;
  }
  const std::lock_guard<std::mutex> lock(ahead_mutex_);
  while (ahead_bytes_ + range.length > kMaxAheadBytes) {
    // Nobody came for it. Its memory is the connection's until the answer.
    ahead_bytes_ -= ahead_.front().range.length;
    ahead_.pop_front();
  }
  ahead_.push_back({range, connection_->ReadAhead(range)});
  ahead_bytes_ += range.length;
}

void NbdFile::ForgetWhatIsKnown() {
  {
    const std::lock_guard<std::mutex> lock(ahead_mutex_);
    ahead_.clear();
    ahead_bytes_ = 0;
  }
  const std::lock_guard<std::mutex> lock(allocation_mutex_);
  allocation_ = {};
}

absl::Status NbdFile::CheckWrite(const char* operation, ByteRange range) const {
  if (!writable_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot ", operation, " '", name_, "': it is open for reading only"));
  }
  const uint64_t size = connection_->exported().size;
  if (range.offset <= size && range.length <= size - range.offset) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(
      ENOSPC, absl::StrCat("cannot ", operation, " ", range.length,
                           " bytes at offset ", range.offset, " of '", name_,
                           "', which has ", size, " bytes and cannot grow"));
}

absl::Status NbdFile::Pwrite(uint64_t offset, std::span<const std::byte> data) {
  RETURN_IF_ERROR(CheckWrite("write", {offset, data.size()}));
  if (data.empty()) return absl::OkStatus();
  ForgetWhatIsKnown();
  const ByteRange blocks = WholeBlocks({offset, data.size()});
  if (blocks == ByteRange{offset, data.size()}) {
    return WriteBlocks(offset, data);
  }
  std::vector<std::byte> whole(blocks.length);
  RETURN_IF_ERROR(ReadBlocks(blocks.offset, whole));
  std::copy(data.begin(), data.end(),
            whole.begin() + static_cast<ptrdiff_t>(offset - blocks.offset));
  return WriteBlocks(blocks.offset, whole);
}

absl::Status NbdFile::WriteBlocks(uint64_t offset,
                                  std::span<const std::byte> data) {
  Pipeline pipeline(*connection_);
  while (!data.empty() && pipeline.ok()) {
    const size_t step = std::min<uint64_t>(
        data.size(), connection_->exported().request_max_bytes);
    pipeline.Add(connection_->Write(offset, data.first(step)));
    offset += step;
    data = data.subspan(step);
  }
  return pipeline.Finish();
}

absl::Status NbdFile::Flush() {
  RETURN_IF_ERROR(CheckWrite("flush", {}));
  return connection_->Wait(connection_->Flush());
}

absl::Status NbdFile::Truncate(uint64_t size) {
  RETURN_IF_ERROR(CheckWrite("change the length of", {}));
  const uint64_t is = connection_->exported().size;
  if (size == is) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "cannot give '", name_, "' a length of ", size, " bytes: it has ", is,
      ", and the protocol has no command "
      "to change that"));
}

absl::Status NbdFile::PunchHole(ByteRange range) {
  RETURN_IF_ERROR(CheckWrite("punch a hole in", {}));
  const uint64_t size = connection_->exported().size;
  if (range.offset >= size) return absl::OkStatus();
  const uint64_t end =
      range.offset + std::min(range.length, size - range.offset);
  ForgetWhatIsKnown();
  const uint64_t mask = block_bytes() - 1;
  const uint64_t first = std::min((range.offset + mask) & ~mask, end);
  const uint64_t last = std::max(end & ~mask, first);
  if (!connection_->exported().can_zero || first == last) {
    return WriteZeros(*this, {range.offset, end - range.offset});
  }
  RETURN_IF_ERROR(WriteZeros(*this, {range.offset, first - range.offset}));
  Pipeline pipeline(*connection_);
  for (uint64_t at = first; at < last && pipeline.ok();) {
    const uint64_t step = std::min(last - at, kZeroBytes);
    pipeline.Add(connection_->Zero({at, step}));
    at += step;
  }
  RETURN_IF_ERROR(pipeline.Finish());
  return WriteZeros(*this, {last, end - last});
}

absl::Status NbdFile::AskForAllocation(uint64_t offset) const {
  if (allocation_.begin <= offset && offset < allocation_.end) {
    return absl::OkStatus();
  }
  const uint64_t begin = WholeBlocks({offset, 1}).offset;
  const uint64_t length =
      std::min(connection_->exported().size - begin, kAskBytes);
  const NbdConnection::Ticket ticket =
      connection_->BlockStatus({begin, length});
  RETURN_IF_ERROR(connection_->Wait(ticket));
  allocation_ = {begin, begin, NbdConnection::Extents(ticket)};
  // An answer may be longer than the question, but nothing is longer than the
  // export.
  for (NbdExtent& extent : allocation_.extents) {
    extent.length =
        std::min(extent.length, connection_->exported().size - allocation_.end);
    allocation_.end += extent.length;
  }
  if (allocation_.end > offset) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the server says nothing of the bytes at offset ", offset,
                   " of '", name_, "'"));
}

absl::StatusOr<ByteRange> NbdFile::NextData(uint64_t offset) const {
  const uint64_t size = connection_->exported().size;
  if (offset >= size) return ByteRange{size, 0};
  if (!connection_->exported().has_allocation) {
    return ByteRange{offset, size - offset};
  }
  const std::lock_guard<std::mutex> lock(allocation_mutex_);
  uint64_t at = offset;
  while (true) {
    RETURN_IF_ERROR(AskForAllocation(at));
    uint64_t end = allocation_.begin;
    for (const NbdExtent& extent : allocation_.extents) {
      end += extent.length;
      if (end <= at) continue;
      if (!extent.zero) return ByteRange{at, end - at};
      at = end;
    }
    if (at >= size) return ByteRange{size, 0};
    const bool cancelled = cancel_ != nullptr && *cancel_;
    // Calling too much data is always right.
    if (cancelled || hole_answers_left_ == 0) return ByteRange{at, size - at};
    --hole_answers_left_;
  }
}

}  // namespace qcow2
