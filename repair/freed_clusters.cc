#include "repair/freed_clusters.h"

#include <algorithm>

#include "checker/reference_map.h"
#include "engine/status_macros.h"

namespace qcow2::repair {
namespace {

// Adds stretches up, a cluster that is met in two of them once.
class SpaceCounter {
 public:
  SpaceCounter(const checker::Graph& graph, FreedSpace& space)
      : bits_(graph.model.geometry->cluster_bits()), space_(space) {}

  void Add(ByteRange range) {
    const uint64_t first =
        std::max(range.offset >> bits_, next_uncounted_cluster_);
    const uint64_t end = ((range.offset + range.length - 1) >> bits_) + 1;
    space_.clusters += end - std::min(first, end);
    space_.bytes += range.length;
    next_uncounted_cluster_ = end;
  }

 private:
  const uint32_t bits_;
  FreedSpace& space_;
  uint64_t next_uncounted_cluster_ = 0;
};

// The free stretches within data that was found in the file.
class FreedWalk {
 public:
  FreedWalk(const checker::Graph& graph, uint64_t file_size,
            const std::function<absl::Status(ByteRange)>& visit)
      : graph_(graph), file_size_(file_size), visit_(visit) {}

  absl::Status Visit(ByteRange data);

 private:
  absl::Status EndStretch();

  const checker::Graph& graph_;
  const uint64_t file_size_;
  const std::function<absl::Status(ByteRange)>& visit_;
  uint64_t begin_ = 0;
  uint64_t end_ = 0;
};

absl::Status FreedWalk::EndStretch() {
  const uint64_t begin =
      (begin_ + kPunchAlignment - 1) / kPunchAlignment * kPunchAlignment;
  const uint64_t end =
      end_ == file_size_ ? end_ : end_ / kPunchAlignment * kPunchAlignment;
  begin_ = end_ = 0;
  if (begin >= end) return absl::OkStatus();
  return visit_({begin, end - begin});
}

absl::Status FreedWalk::Visit(ByteRange data) {
  const uint32_t bits = graph_.model.geometry->cluster_bits();
  const uint64_t data_end = data.offset + data.length;
  absl::Status status;
  graph_.map->ForEachRun(
      data.offset >> bits, ((data_end - 1) >> bits) + 1,
      [&](uint64_t first, uint64_t count, const checker::ReferenceCell& cell) {
        if (cell.count != 0 || !status.ok()) return;
        const uint64_t from = std::max(first << bits, data.offset);
        const uint64_t to = std::min((first + count) << bits, data_end);
        if (from != end_) {
          status = EndStretch();
          begin_ = from;
        }
        end_ = to;
      });
  RETURN_IF_ERROR(status);
  return EndStretch();
}

}  // namespace

absl::Status ForEachFreed(const File& image, const checker::Graph& graph,
                          const std::function<absl::Status(ByteRange)>& visit) {
  ASSIGN_OR_RETURN(const uint64_t size, image.Size());
  FreedWalk walk(graph, size, visit);
  for (uint64_t offset = 0; offset < size;) {
    ASSIGN_OR_RETURN(const ByteRange data, image.NextData(offset));
    if (data.length == 0) break;
    RETURN_IF_ERROR(walk.Visit(data));
    offset = data.offset + data.length;
  }
  return absl::OkStatus();
}

absl::StatusOr<FreedSpace> FindFreed(const File& image,
                                     const checker::Graph& graph) {
  FreedSpace space;
  SpaceCounter counter(graph, space);
  RETURN_IF_ERROR(ForEachFreed(image, graph, [&](ByteRange range) {
    counter.Add(range);
    return absl::OkStatus();
  }));
  return space;
}

absl::Status PunchFreed(File& image, const checker::Graph& graph,
                        FreedSpace& punched) {
  SpaceCounter counter(graph, punched);
  RETURN_IF_ERROR(
      ForEachFreed(image, graph, [&](ByteRange range) -> absl::Status {
        RETURN_IF_ERROR(image.PunchHole(range));
        counter.Add(range);
        return absl::OkStatus();
      }));
  return image.Flush();
}

}  // namespace qcow2::repair
