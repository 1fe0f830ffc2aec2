// qcow2-tool bench: how many requests a second.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/tool/commands.h"
#include "cli/tool/disk_options.h"
#include "cli/tool/text_output.h"
#include "engine/status_macros.h"
#include "engine/storage/page_buffer.h"

namespace qcow2::tool {
namespace {

constexpr uint64_t kMaxDepth = 256;
constexpr uint64_t kMaxRequestBytes = uint64_t{64} << 20;

struct BenchOptions {
  std::string image;
  DiskOptions disk;
  std::optional<uint64_t> count;
  std::optional<uint64_t> depth;
  std::optional<uint64_t> size;
  std::optional<uint64_t> step;
  std::optional<uint64_t> offset;
  bool write = false;
  std::optional<uint64_t> pattern;
  std::optional<uint64_t> flush_interval;
  bool json = false;
};

// The requests of one run; several threads carry them out, in no order.
class Bench {
 public:
  Bench(const BenchOptions& options, const Console& console, GuestDisk& disk)
      : console_(console),
        disk_(disk),
        count_(options.count.value_or(75000)),
        size_(options.size.value_or(4096)),
        step_(options.step.value_or(size_)),
        begin_(options.offset.value_or(0)),
        // How many requests fit the disk before they begin anew.
        places_((disk.size_bytes() - begin_ - size_) / step_ + 1),
        flush_interval_(options.flush_interval.value_or(0)),
        write_(options.write),
        pattern_(static_cast<std::byte>(options.pattern.value_or(0))) {}

  absl::Status Run(uint64_t depth) {
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < depth; ++i) {
      threads.emplace_back([this] { Work(); });
    }
    for (std::thread& thread : threads) thread.join();
    if (status_.ok() && write_) status_ = disk_.Flush();
    if (status_.ok() && console_.cancelled()) {
      return absl::CancelledError("cancelled");
    }
    return status_;
  }

  uint64_t count() const { return count_; }
  uint64_t size() const { return size_; }

 private:
  void Work() {
    PageBuffer memory;
    const std::span<std::byte> buffer = memory.Take(size_);
    std::fill(buffer.begin(), buffer.end(), pattern_);
    while (!failed_.load() && !console_.cancelled()) {
      const uint64_t index = next_.fetch_add(1);
      if (index >= count_) return;
      const absl::Status status = Request(index, buffer);
      if (status.ok()) continue;
      failed_.store(true);
      const std::lock_guard<std::mutex> held(mutex_);
      if (status_.ok()) status_ = status;
    }
  }
  absl::Status Request(uint64_t index, std::span<std::byte> buffer) {
    const uint64_t offset = begin_ + index % places_ * step_;
    if (!write_) return disk_.Read(offset, buffer);
    RETURN_IF_ERROR(disk_.Write(offset, buffer));
    if (flush_interval_ == 0 || (index + 1) % flush_interval_ != 0) {
      return absl::OkStatus();
    }
    return disk_.Flush();
  }

  const Console& console_;
  GuestDisk& disk_;
  const uint64_t count_;
  const uint64_t size_;
  const uint64_t step_;
  const uint64_t begin_;
  const uint64_t places_;
  const uint64_t flush_interval_;
  const bool write_;
  const std::byte pattern_;
  std::atomic<uint64_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  absl::Status status_;
};

absl::Status CheckOptions(const BenchOptions& options) {
  const auto is_zero = [](const std::optional<uint64_t>& value) {
    return value && *value == 0;
  };
  if (is_zero(options.size) || options.size.value_or(1) > kMaxRequestBytes) {
    return UsageError("a request has 1 byte to 64 MiB");
  }
  if (is_zero(options.depth) || options.depth.value_or(1) > kMaxDepth) {
    return UsageError("the depth is 1 to 256");
  }
  if (is_zero(options.step)) return UsageError("the step is 0");
  if (options.pattern.value_or(0) > 0xff) {
    return UsageError("the pattern is a byte, 0 to 0xff");
  }
  if (!options.write && (options.pattern || options.flush_interval)) {
    return UsageError("--pattern and --flush-interval need --write");
  }
  return absl::OkStatus();
}

absl::Status CheckFits(const BenchOptions& options, const GuestDisk& disk) {
  const uint64_t size = options.size.value_or(4096);
  const uint64_t offset = options.offset.value_or(0);
  if (size <= disk.size_bytes() && offset <= disk.size_bytes() - size) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(absl::StrCat(
      "the disk (", disk.size_bytes(), " bytes) has no room for a request of ",
      size, " bytes at offset ", offset));
}

std::string Result(const Bench& bench, uint64_t depth, double seconds,
                   bool json) {
  const double iops = static_cast<double>(bench.count()) / seconds;
  const double rate = iops * static_cast<double>(bench.size()) / 1e6;
  char text[256];
  std::snprintf(text, sizeof text,
                json ? "{\"requests\": %llu, \"bytes\": %llu, \"depth\": %llu, "
                       "\"seconds\": %.6f, \"iops\": %.1f, "
                       "\"megabytes-per-second\": %.2f}\n"
                     : "%llu requests of %llu bytes, depth %llu: %.3f s, %.0f "
                       "IOPS, %.1f MB/s\n",
                static_cast<unsigned long long>(bench.count()),
                static_cast<unsigned long long>(bench.size()),
                static_cast<unsigned long long>(depth), seconds, iops, rate);
  return text;
}

absl::StatusOr<int> RunBench(const BenchOptions& options,
                             const Console& console) {
  RETURN_IF_ERROR(CheckOptions(options));
  ASSIGN_OR_RETURN(const std::unique_ptr<GuestDisk> disk,
                   options.write ? OpenForWriting(options.image, options.disk)
                                 : OpenForReading(options.image, options.disk));
  RETURN_IF_ERROR(CheckFits(options, *disk));
  Bench bench(options, console, *disk);
  const uint64_t depth = options.depth.value_or(64);
  const auto begin = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(bench.Run(depth));
  const std::chrono::duration<double> time =
      std::chrono::steady_clock::now() - begin;
  RETURN_IF_ERROR(CloseDisk(*disk));
  TextOutput output(console.standard_output);
  output.Append(
      Result(bench, depth, std::max(time.count(), 1e-9), options.json));
  RETURN_IF_ERROR(output.Finish());
  return kExitDone;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* const command = AddCommand(
      app,
      {"bench", "[OPTION]... IMAGE", "Measure requests a second",
       "Reads, or with --write overwrites, the disk from the front to the "
       "back, and from the front again.",
       "  qcow2-tool bench -c 100000 -d 32 -s 4K disk.qcow2\n"
       "  qcow2-tool bench -w -s 64K -S 1M disk.qcow2\n"},
      chosen, [options](const Console& console) {
        return RunBench(*options, console);
      });
  AddArgument(*command, "IMAGE", options->image);
  AddNumber(*command, "-c,--count", "Requests; 75000 (default)",
            options->count);
  AddNumber(*command, "-d,--depth",
            "Requests at the same time, a thread each; 64 (default)",
            options->depth);
  AddBytes(*command, "-s,--request-size", "Of a request; 4K (default)",
           options->size);
  AddBytes(*command, "-S,--step",
           "From one request to the next; the size of one (default)",
           options->step);
  AddBytes(*command, "-o,--offset", "Of the first request; 0 (default)",
           options->offset);
  AddFlag(*command, "-w,--write", "Write: destroys what the disk holds",
          options->write);
  AddBytes(*command, "--pattern", "The byte to write; 0 (default)",
           options->pattern);
  AddNumber(*command, "--flush-interval", "Flush after that many requests",
            options->flush_interval);
  AddOutputFormat(*command, options->json);
  AddReadDiskOptions(*command, options->disk);
}

}  // namespace qcow2::tool
