#include "repair/compression_type_evidence.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/codec/inflate.h"
#include "engine/format/l2_entry.h"

namespace qcow2::repair {
namespace {

// Compressed clusters tried.
constexpr uint64_t kMaxTried = 16;

class Trial {
 public:
  Trial(const checker::Graph& graph, const File& view)
      : geometry_(*graph.model.geometry),
        view_(view),
        cluster_(geometry_.cluster_size()) {}

  bool finished() const { return tried_ >= kMaxTried; }

  // Tries the compressed clusters that an L2 table names.
  void Table(uint64_t offset) {
    std::vector<std::byte> table(geometry_.cluster_size());
    if (!ReadZeroFilled(view_, offset, table).ok()) return;
    for (uint64_t i = 0; i < geometry_.l2_entries() && !finished(); ++i) {
      const L2Entry entry =
          L2Entry::Decode(&table[i * geometry_.l2_entry_size()], geometry_);
      if (entry.is_compressed()) Data(entry.compressed(geometry_));
    }
  }

  CompressionEvidence Verdict() const {
    if (tried_ == 0) return CompressionEvidence::kNone;
    if (deflate_ == tried_ && zstd_ == 0) return CompressionEvidence::kDeflate;
    if (zstd_ == tried_ && deflate_ == 0) return CompressionEvidence::kZstd;
    return CompressionEvidence::kUnclear;
  }

 private:
  void Data(const CompressedDescriptor& data) {
    ++tried_;
    std::vector<std::byte> input(data.length);
    if (!ReadZeroFilled(view_, data.offset.value(), input).ok()) return;
    const auto inflates = [&](CompressionType type) {
      return decompressor_.InflateExactly(type, input, cluster_).ok();
    };
    if (inflates(CompressionType::kDeflate)) ++deflate_;
    if (inflates(CompressionType::kZstd)) ++zstd_;
  }

  const Geometry& geometry_;
  const File& view_;
  std::vector<std::byte> cluster_;
  Decompressor decompressor_;
  uint64_t tried_ = 0;
  uint64_t deflate_ = 0;
  uint64_t zstd_ = 0;
};

}  // namespace

CompressionEvidence FindCompressionEvidence(const checker::Graph& graph,
                                            const File& view,
                                            const std::atomic<bool>* cancel) {
  Trial trial(graph, view);
  for (const checker::L2Table& table : graph.l2_tables) {
    if (cancel != nullptr && *cancel) return CompressionEvidence::kUnclear;
    if (trial.finished()) break;
    trial.Table(table.offset_bytes);
  }
  return trial.Verdict();
}

}  // namespace qcow2::repair
