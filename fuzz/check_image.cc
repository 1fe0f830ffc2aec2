// The whole check on any bytes: it ends, and what it says does not depend on
// how many threads it had or how little memory. Mutations know where the
// structures of an image are, so that inputs get past the header.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "checker/check.h"
#include "engine/storage/memory_file.h"
#include "fuzz/fuzz_target.h"

// libFuzzer's own mutations; not there when inputs are only replayed.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data,
                                                         size_t size,
                                                         size_t max_size);

namespace {

using qcow2::checker::CheckImage;
using qcow2::checker::CheckOptions;
using qcow2::checker::CheckReport;
using qcow2::checker::CheckStatus;
using qcow2::checker::Finding;

constexpr size_t kMaxInputBytes = 256 * 1024;
constexpr uint64_t kSmallMemoryLimit = 4096;

CheckReport Check(const qcow2::MemoryFile& file, const CheckOptions& options) {
  return CheckImage(file, "input", options);
}

bool SameCounts(const CheckReport& a, const CheckReport& b) {
  return a.status == b.status && a.qemu.corruptions == b.qemu.corruptions &&
         a.qemu.leaks == b.qemu.leaks && a.qemu.unseen == b.qemu.unseen &&
         a.qemu.check_errors == b.qemu.check_errors &&
         a.qemu.refused == b.qemu.refused;
}

void ExpectSound(const CheckReport& report) {
  const bool any = report.counts.corruptions + report.counts.leaks > 0;
  FUZZ_CHECK(report.status != CheckStatus::kClean || !any);
  FUZZ_CHECK(report.status != CheckStatus::kLeaks ||
             (report.counts.corruptions == 0 && report.counts.leaks > 0));
  for (const Finding& finding : report.problems) {
    FUZZ_CHECK(finding.count > 0);
    FUZZ_CHECK(finding.id > 0 && finding.root_cause > 0);
    FUZZ_CHECK(!qcow2::checker::DescribeFinding(finding).empty());
  }
}

// Some of the header's fields: offset and bytes.
struct Field {
  uint32_t offset;
  uint32_t bytes;
};
constexpr Field kFields[] = {{4, 4},  {8, 8},   {16, 4}, {20, 4}, {24, 8},
                             {32, 4}, {36, 4},  {40, 8}, {48, 8}, {56, 4},
                             {60, 4}, {64, 8},  {72, 8}, {80, 8}, {88, 8},
                             {96, 4}, {100, 4}, {104, 1}};

void StoreNumber(uint8_t* data, uint32_t bytes, uint64_t value) {
  for (uint32_t i = 0; i < bytes; ++i) {
    data[i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
  }
}

uint64_t ClusterSizeOf(const uint8_t* data, size_t size) {
  const uint32_t bits = size > 23 ? data[23] : 9;
  return uint64_t{1} << std::clamp<uint32_t>(bits, 9, 21);
}

// A number a field or an entry might hold: an offset in the image, most often.
uint64_t LikelyNumber(const uint8_t* data, size_t size,
                      std::mt19937_64& random) {
  const uint64_t cluster = ClusterSizeOf(data, size);
  switch (random() % 6) {
    case 0:
      return random() % 5;
    case 1:
      return ~uint64_t{0} >> (random() % 64);
    case 2:
      return random() % (size + 1);
    default:
      return random() % (size / cluster + 2) * cluster;
  }
}

void MutateStructure(uint8_t* data, size_t size, std::mt19937_64& random) {
  if (random() % 4 == 0) {
    const Field& field = kFields[random() % std::size(kFields)];
    if (field.offset + field.bytes > size) return;
    StoreNumber(data + field.offset, field.bytes,
                LikelyNumber(data, size, random));
    return;
  }
  // A word of a table: a flag, another place, or a copy of another word.
  const size_t words = size / 8;
  uint8_t* word = data + random() % words * 8;
  switch (random() % 3) {
    case 0:
      word[random() % 8] ^= static_cast<uint8_t>(1u << (random() % 8));
      break;
    case 1:
      StoreNumber(word, 8,
                  LikelyNumber(data, size, random) |
                      (random() % 2 == 0 ? uint64_t{1} << 63 : 0));
      break;
    default:
      std::memmove(word, data + random() % words * 8, 8);
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                          size_t max_size, unsigned int seed) {
  std::mt19937_64 random(seed);
  const bool raw = size < 512 || random() % 8 == 0;
  if (raw && LLVMFuzzerMutate != nullptr) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  if (size < 8) return size;
  for (uint64_t i = 0; i <= random() % 4; ++i) {
    MutateStructure(data, size, random);
  }
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMaxInputBytes) return 0;
  const auto input = qcow2::fuzz::InputBytes(data, size);
  const qcow2::MemoryFile file(
      std::vector<std::byte>(input.begin(), input.end()));
  CheckOptions options;
  options.jobs = 1;
  options.deep = size % 2 == 0;
  const CheckReport report = Check(file, options);
  ExpectSound(report);

  options.jobs = 2;
  FUZZ_CHECK(SameCounts(report, Check(file, options)));
  options.memory_limit_bytes = kSmallMemoryLimit;
  FUZZ_CHECK(SameCounts(report, Check(file, options)));

  CheckOptions like_qemu;
  like_qemu.jobs = 1;
  like_qemu.qemu_compatible = true;
  ExpectSound(Check(file, like_qemu));
  return 0;
}
