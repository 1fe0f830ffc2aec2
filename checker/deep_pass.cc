#include "checker/deep_pass.h"

#include <algorithm>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checker/pass_findings.h"
#include "checker/table_walk.h"
#include "engine/codec/inflate.h"
#include "engine/format/l2_entry.h"

namespace qcow2::checker {
namespace {

// Compressed clusters are written one behind the other: reading on costs less
// than reading anew. Read at a time while they are met in order.
constexpr uint64_t kReadAheadBytes = uint64_t{256} << 10;
// Results remembered, so that clusters that snapshots share, or that a damaged
// image names over and over, are decompressed once.
constexpr size_t kMaxRemembered = uint64_t{64} << 10;

// What became of one compressed cluster.
struct Decoded {
  std::string fault;  // empty: it is sound
  std::vector<UnreadableRange> unreadable;
};

// What is known of the compressed data at one offset. Entries may allow to read
// more or less of it: with more, sound data stays sound; with less, faulty data
// stays faulty.
struct Known {
  uint64_t sound_length = ~uint64_t{0};
  uint64_t faulty_length = 0;
  Decoded faulty;
};

// Decompresses clusters of one image for one thread.
class ClusterDecoder {
 public:
  explicit ClusterDecoder(const CheckState& state)
      : state_(state),
        type_(
            static_cast<CompressionType>(state.model.header.compression_type)),
        cluster_(state.model.geometry->cluster_size()) {}

  Decoded Decode(const CompressedDescriptor& data) {
    if (known_.size() >= kMaxRemembered) known_.clear();
    Known& known = known_[data.offset.value()];
    if (data.length >= known.sound_length) return {};
    if (data.length <= known.faulty_length) return known.faulty;
    Decoded decoded = DecodeAnew(data);
    if (decoded.fault.empty() && decoded.unreadable.empty()) {
      known.sound_length = data.length;
    } else {
      known.faulty_length = data.length;
      known.faulty = decoded;
    }
    return decoded;
  }

 private:
  Decoded DecodeAnew(const CompressedDescriptor& data) {
    const uint64_t offset = data.offset.value();
    Load(offset, data.length);
    Decoded result;
    for (const UnreadableRange& range : unreadable_) {
      if (range.offset_bytes < offset + data.length &&
          offset < range.offset_bytes + range.length_bytes) {
        result.unreadable.push_back(range);
      }
    }
    if (!result.unreadable.empty()) return result;
    const auto input = std::span(buffer_).subspan(offset - begin_, data.length);
    const absl::Status status =
        decompressor_.InflateExactly(type_, input, cluster_);
    result.fault.assign(status.message().begin(), status.message().end());
    return result;
  }

  // Makes [offset, offset + length) part of the buffer.
  void Load(uint64_t offset, uint64_t length) {
    const uint64_t end = begin_ + buffer_.size();
    if (offset >= begin_ && offset <= end && length <= end - offset) return;
    const bool in_order = offset >= begin_ && offset <= end;
    const uint64_t file_size = state_.model.file_size_bytes;
    const uint64_t ahead = in_order ? kReadAheadBytes : 0;
    buffer_.resize(std::max(
        length, std::min(ahead, file_size - std::min(file_size, offset))));
    begin_ = offset;
    state_.reader.Expect(buffer_.size());
    unreadable_ = state_.reader.Read(offset, buffer_);
  }

  const CheckState& state_;
  const CompressionType type_;
  std::vector<std::byte> cluster_;
  Decompressor decompressor_;
  uint64_t begin_ = 0;
  std::vector<std::byte> buffer_;
  std::vector<UnreadableRange> unreadable_;    // in the buffer
  std::unordered_map<uint64_t, Known> known_;  // by offset
};

class DeepVisitor : public TableVisitor {
 public:
  DeepVisitor(const CheckState& state, std::span<const L2Table> tables)
      : state_(state),
        geometry_(*state.model.geometry),
        tables_(tables),
        decoder_(state) {}

  // Spots of the table itself that cannot be read were reported before.
  void VisitTable(uint64_t index, std::span<const std::byte> bytes,
                  const std::vector<UnreadableRange>& /*unreadable*/,
                  FindingSink& sink) override {
    for (uint64_t i = 0; i < geometry_.l2_entries(); ++i) {
      const L2Entry entry =
          L2Entry::Decode(&bytes[i * geometry_.l2_entry_size()], geometry_);
      if (!entry.is_compressed()) continue;
      if (state_.reader.Cancelled()) return;
      VisitEntry(tables_[index], i, entry, sink);
    }
  }
  // Names nothing.
  void VisitHole(uint64_t /*index*/, FindingSink& /*sink*/) override {}

 private:
  void VisitEntry(const L2Table& table, uint64_t index, L2Entry entry,
                  FindingSink& sink) {
    const CompressedDescriptor data = entry.compressed(geometry_);
    // Data past the end of the file has a finding of its own.
    if (data.offset.value() >= state_.model.file_size_bytes) return;
    const Decoded decoded = decoder_.Decode(data);
    for (const UnreadableRange& range : decoded.unreadable) {
      Finding finding = About(Problem::kRangeUnreadable, table, index, data);
      finding.actual = range.length_bytes;
      finding.expected = range.offset_bytes;
      finding.detail = range.reason;
      sink.Add(std::move(finding));
      sink.AddUnreadableBytes(range.length_bytes);
    }
    if (decoded.fault.empty()) return;
    Finding finding =
        About(Problem::kCompressedUndecodable, table, index, data);
    finding.actual = data.offset.value();
    finding.detail = decoded.fault;
    sink.Add(std::move(finding));
  }

  Finding About(Problem problem, const L2Table& table, uint64_t index,
                const CompressedDescriptor& data) const {
    Finding finding;
    finding.problem = problem;
    finding.location = LocationOf(state_.model, table, index);
    finding.guest.push_back(GuestRangeOf(state_.model, table, index, 1));
    finding.host = RunOf(geometry_, data.offset.value(), data.length);
    finding.owners = kOwnerCompressedData;
    return finding;
  }

  const CheckState& state_;
  const Geometry& geometry_;
  const std::span<const L2Table> tables_;
  ClusterDecoder decoder_;
};

}  // namespace

void RunDeepPass(CheckState& state, std::span<const L2Table> tables) {
  const ImageModel& model = state.model;
  if (model.encrypted || model.external_data_file ||
      model.header.compression_type > kCompressionZstd) {
    return;
  }
  const uint64_t table_bytes = model.geometry->cluster_size();
  state.reader.Expect(tables.size() * table_bytes);
  TableWalk walk;
  walk.tables = tables.size();
  walk.table_bytes = table_bytes;
  walk.offset_of = [tables](uint64_t index) {
    return tables[index].offset_bytes;
  };
  walk.make_visitor = [&state, tables] {
    return std::make_unique<DeepVisitor>(state, tables);
  };
  WalkTables(state, walk);
}

}  // namespace qcow2::checker
