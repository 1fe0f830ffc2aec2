#include "checker/table_stream.h"

#include <algorithm>

namespace qcow2::checker {
namespace {

constexpr size_t kBufferBytes = uint64_t{64} << 10;

}  // namespace

void TableStream::Fill(uint64_t position, size_t length) {
  buffer_.resize(std::max(length, kBufferBytes));
  begin_ = position;
  state_.reader.Expect(buffer_.size());
  unreadable_ = state_.reader.Read(table_offset_ + position, buffer_);
  for (const UnreadableRange& range : unreadable_) {
    state_.sink.AddUnreadableBytes(range.length_bytes);
  }
}

std::string TableStream::ReadAt(uint64_t position, std::span<std::byte> out) {
  if (out.empty()) return "";
  const bool buffered = position >= begin_ &&
                        position - begin_ <= buffer_.size() &&
                        buffer_.size() - (position - begin_) >= out.size();
  if (!buffered) Fill(position, out.size());
  const uint64_t start = position - begin_;
  std::copy_n(buffer_.begin() + static_cast<ptrdiff_t>(start), out.size(),
              out.begin());
  const uint64_t offset = table_offset_ + position;
  for (const UnreadableRange& range : unreadable_) {
    if (range.offset_bytes < offset + out.size() &&
        offset < range.offset_bytes + range.length_bytes) {
      return range.reason;
    }
  }
  return "";
}

}  // namespace qcow2::checker
