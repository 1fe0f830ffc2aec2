// Reads metadata for the passes: counts bytes and progress, heeds the cancel
// flag, and gets past bad spots of the disk instead of giving up.
//
// Reads only. Thread-safe.
#ifndef CHECKER_METADATA_READER_H_
#define CHECKER_METADATA_READER_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checker/check.h"
#include "engine/storage/file.h"

namespace qcow2::checker {

// A stretch that could not be read, and why.
struct UnreadableRange {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  std::string reason;
};

class MetadataReader {
 public:
  // `file` and what `options` points at must outlive the reader.
  MetadataReader(const File& file, const CheckOptions& options);

  // Fills `buffer` from `offset`. Bytes past the end of the file, and bytes
  // that cannot be read, become zeros; the latter are returned (adjoining ones
  // as one range, found by reading in pieces of 512 bytes). Empty: all read,
  // or the check was cancelled while looking for bad spots.
  std::vector<UnreadableRange> Read(uint64_t offset,
                                    std::span<std::byte> buffer) const;

  // True once the user wants the check to end; passes then return early.
  bool Cancelled() const;

  // Announces `bytes` of metadata that will be read, for the progress.
  void Expect(uint64_t bytes) const;

  const File& file() const { return file_; }
  uint64_t bytes_read() const { return bytes_read_; }
  // Whether a read so far took so long that it was not served from memory. What
  // a disk has to bring is better asked for many tables at a time; what is in
  // memory is not worth asking for.
  bool from_disk() const { return disk_reads_ != 0; }
  // Whether most of the first reads from the disk took so long that it makes
  // each request wait: better asked for few long stretches than for many short
  // ones. False before it is known.
  bool slow_disk() const { return slow_reads_ > kDiskReadsJudged / 2; }

 private:
  // Those before the tables. Later ones wait for what is asked for ahead, too.
  static constexpr int kDiskReadsJudged = 3;

  // Keeps in mind how long reading `bytes` took.
  void NoteTime(std::chrono::nanoseconds elapsed, uint64_t bytes) const;

  const File& file_;
  const std::atomic<bool>* cancel_;
  Progress* progress_;
  mutable std::atomic<uint64_t> bytes_read_{0};
  // Those from the disk, about as far as they are judged, and the slow ones
  // among those judged.
  mutable std::atomic<int> disk_reads_{0};
  mutable std::atomic<int> slow_reads_{0};
};

}  // namespace qcow2::checker

#endif  // CHECKER_METADATA_READER_H_
