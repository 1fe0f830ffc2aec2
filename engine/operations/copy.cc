#include "engine/operations/copy.h"

#include <algorithm>
#include <span>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/codec/deflate.h"
#include "engine/operations/piece_queue.h"
#include "engine/operations/zero_bytes.h"
#include "engine/status_macros.h"
#include "engine/storage/page_buffer.h"

namespace qcow2 {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr unsigned kMaxThreads = 8;

unsigned ThreadsFor(const CopyOptions& options) {
  if (options.threads != 0) return options.threads;
  return std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
}

PieceQueueOptions QueueOptions(const CopyOptions& options) {
  PieceQueueOptions queue;
  queue.piece_bytes = kPieceBytes;
  queue.skip_zeros = options.target_reads_zeros;
  queue.first_layer_only = options.first_layer_only;
  return queue;
}

// Copies pieces until there are no more. One for each thread.
class Worker {
 public:
  Worker(GuestDisk& source, GuestDisk& target, const CopyOptions& options,
         PieceQueue& queue)
      : source_(source), target_(target), options_(options), queue_(queue) {}
  virtual ~Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Run() {
    const absl::Status status = CopyAll();
    if (!status.ok()) queue_.Fail(status);
  }

 protected:
  // Copies a piece of data, which is in `buffer`. Takes its turn if there are
  // turns.
  virtual absl::Status CopyData(const Piece& piece,
                                std::span<const std::byte> buffer) = 0;
  virtual absl::Status TakeTurn(const Piece& /*piece*/) {
    return absl::OkStatus();
  }

  absl::Status WriteZeros(uint64_t offset, uint64_t length) {
    if (options_.target_reads_zeros) return absl::OkStatus();
    return target_.WriteZeroes(offset, length, ZeroMode::kUnmap);
  }
  GuestDisk& target() { return target_; }
  const CopyOptions& options() const { return options_; }

 private:
  absl::Status CopyAll() {
    while (true) {
      ASSIGN_OR_RETURN(const Piece piece, queue_.Next());
      if (piece.length == 0) return absl::OkStatus();
      if (piece.zeros) {
        RETURN_IF_ERROR(TakeTurn(piece));
        RETURN_IF_ERROR(WriteZeros(piece.offset, piece.length));
      } else {
        const std::span<std::byte> bytes = buffer_.Take(piece.length);
        RETURN_IF_ERROR(source_.Read(piece.offset, bytes));
        RETURN_IF_ERROR(CopyData(piece, bytes));
      }
      queue_.Done(piece);
    }
  }

  GuestDisk& source_;
  GuestDisk& target_;
  const CopyOptions& options_;
  PieceQueue& queue_;
  PageBuffer buffer_;
};

// Writes data where it belongs, in any order.
class PlainWorker : public Worker {
 public:
  using Worker::Worker;

 protected:
  absl::Status CopyData(const Piece& piece,
                        std::span<const std::byte> buffer) override {
    const uint64_t block = options().sparse_block_bytes;
    if (block == 0) return target().Write(piece.offset, buffer);
    uint64_t begin = 0;
    while (begin < buffer.size()) {
      const bool zeros = BlockIsZero(piece, buffer, begin);
      uint64_t end = BlockEnd(piece, buffer, begin);
      while (end < buffer.size() && BlockIsZero(piece, buffer, end) == zeros) {
        end = BlockEnd(piece, buffer, end);
      }
      const uint64_t offset = piece.offset + begin;
      RETURN_IF_ERROR(
          zeros ? WriteZeros(offset, end - begin)
                : target().Write(offset, buffer.subspan(begin, end - begin)));
      begin = end;
    }
    return absl::OkStatus();
  }

 private:
  // Blocks are those of the disk.
  uint64_t BlockEnd(const Piece& piece, std::span<const std::byte> buffer,
                    uint64_t begin) const {
    const uint64_t block = options().sparse_block_bytes;
    const uint64_t rest = block - (piece.offset + begin) % block;
    return std::min<uint64_t>(begin + rest, buffer.size());
  }
  bool BlockIsZero(const Piece& piece, std::span<const std::byte> buffer,
                   uint64_t begin) const {
    return AllZeros(
        buffer.subspan(begin, BlockEnd(piece, buffer, begin) - begin));
  }
};

// Compresses cluster by cluster and stores what comes out, each piece in turn.
class CompressingWorker : public Worker {
 public:
  CompressingWorker(GuestDisk& source, Image& target,
                    const CopyOptions& options, PieceQueue& queue)
      : Worker(source, target, options, queue),
        image_(target),
        queue_(queue),
        cluster_size_(target.geometry().cluster_size()),
        type_(static_cast<CompressionType>(
            target.header_area().header.compression_type)) {}

 protected:
  absl::Status TakeTurn(const Piece& piece) override {
    return queue_.WaitForTurn(piece);
  }

  absl::Status CopyData(const Piece& piece,
                        std::span<const std::byte> buffer) override {
    clusters_.clear();
    for (uint64_t at = 0; at < buffer.size(); at += cluster_size_) {
      RETURN_IF_ERROR(Compress(
          buffer.subspan(at, std::min(cluster_size_, buffer.size() - at))));
    }
    RETURN_IF_ERROR(TakeTurn(piece));
    for (uint64_t i = 0; i < clusters_.size(); ++i) {
      const uint64_t at = i * cluster_size_;
      RETURN_IF_ERROR(Store(
          clusters_[i], piece.offset + at,
          buffer.subspan(at, std::min(cluster_size_, buffer.size() - at))));
    }
    return absl::OkStatus();
  }

 private:
  enum class Form { kZeros, kPlain, kCompressed };
  struct Cluster {
    Form form = Form::kPlain;
    std::vector<std::byte> compressed;
  };

  absl::Status Compress(std::span<const std::byte> bytes) {
    Cluster& cluster = clusters_.emplace_back();
    if (options().sparse_block_bytes != 0 && AllZeros(bytes)) {
      cluster.form = Form::kZeros;
      return absl::OkStatus();
    }
    std::vector<std::byte> whole;
    if (bytes.size() < cluster_size_) {
      // The disk ends inside its last cluster.
      whole.assign(bytes.begin(), bytes.end());
      whole.resize(cluster_size_);
      bytes = whole;
    }
    ASSIGN_OR_RETURN(const auto compressed, compressor_.Shrink(type_, bytes));
    if (compressed.has_value()) {
      cluster.form = Form::kCompressed;
      cluster.compressed.assign(compressed->begin(), compressed->end());
    }
    return absl::OkStatus();
  }

  absl::Status Store(const Cluster& cluster, uint64_t offset,
                     std::span<const std::byte> bytes) {
    switch (cluster.form) {
      case Form::kZeros:
        return WriteZeros(offset, bytes.size());
      case Form::kPlain:
        return image_.Write(offset, bytes);
      case Form::kCompressed:
        return image_.WriteCompressed(offset, cluster.compressed);
    }
    return absl::OkStatus();
  }

  Image& image_;
  PieceQueue& queue_;
  const uint64_t cluster_size_;
  const CompressionType type_;
  Compressor compressor_;
  std::vector<Cluster> clusters_;
};

absl::Status CheckSize(const GuestDisk& source, const GuestDisk& target) {
  if (target.size_bytes() >= source.size_bytes()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", target.name(), "' has ", target.size_bytes(),
                   " bytes, too few for the ", source.size_bytes(), " of '",
                   source.name(), "'"));
}

// Runs `worker` in all threads, this one included.
template <typename Work>
absl::Status RunInThreads(unsigned threads, PieceQueue& queue, Work work) {
  std::vector<std::thread> others;
  others.reserve(threads - 1);
  for (unsigned i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  return queue.status();
}

}  // namespace

absl::Status CopyDisk(GuestDisk& source, GuestDisk& target,
                      const CopyOptions& options) {
  RETURN_IF_ERROR(CheckSize(source, target));
  PieceQueue queue(source, QueueOptions(options), options.control);
  return RunInThreads(ThreadsFor(options), queue, [&] {
    PlainWorker(source, target, options, queue).Run();
  });
}

absl::Status CopyDiskCompressed(GuestDisk& source, Image& target,
                                const CopyOptions& options) {
  RETURN_IF_ERROR(CheckSize(source, target));
  PieceQueueOptions pieces = QueueOptions(options);
  pieces.alignment_bytes = target.geometry().cluster_size();
  pieces.piece_bytes = std::max(kPieceBytes, pieces.alignment_bytes);
  PieceQueue queue(source, pieces, options.control);
  return RunInThreads(ThreadsFor(options), queue, [&] {
    CompressingWorker(source, target, options, queue).Run();
  });
}

}  // namespace qcow2
