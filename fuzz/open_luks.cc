// Any LUKS header: opening the area with it, adding a passphrase and removing
// one end in bounded time and memory, with an error or with keys that open.
//
// The input is what changes in the header of a sound area, bit by bit: without
// any change the passphrase must open it.
#include <algorithm>
#include <vector>

#include "engine/codec/luks.h"
#include "engine/codec/luks_create.h"
#include "engine/codec/luks_keys.h"
#include "engine/format/luks_header.h"
#include "fuzz/fuzz_target.h"

namespace {

using qcow2::LuksArea;
using qcow2::LuksChange;
using qcow2::Secret;
using Bytes = std::vector<std::byte>;

// What a header may ask for: some times what a sound one needs.
constexpr uint64_t kMaxCost = 30000;
constexpr qcow2::LuksLimits kLimits = {.max_derivation_cost = kMaxCost};
constexpr uint32_t kIterations = 1000;

Secret Word() { return Secret::FromText("word"); }

Bytes MakeArea() {
  qcow2::LuksCreateOptions options;
  options.cipher.key_bytes = 32;
  options.derivation.iterations = kIterations;
  return CreateLuks(options, Word())->area;
}

// The bytes of an area that was written to, in memory.
class StoredArea {
 public:
  StoredArea(const Bytes& sound, std::span<const std::byte> change)
      : bytes_(sound) {
    for (size_t i = 0; i < std::min(change.size(), bytes_.size()); ++i) {
      bytes_[i] ^= change[i];
    }
  }

  LuksArea area() const {
    return {bytes_.size(), [this](uint64_t offset, std::span<std::byte> to) {
              // No more is ever asked for than there is.
              FUZZ_CHECK(offset <= bytes_.size() &&
                         to.size() <= bytes_.size() - offset);
              std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset),
                          to.size(), to.begin());
              return absl::OkStatus();
            }};
  }
  void Write(const LuksChange& change) {
    for (const qcow2::LuksWrite& write : change.writes) {
      FUZZ_CHECK(write.offset <= bytes_.size() &&
                 write.bytes.size() <= bytes_.size() - write.offset);
      std::ranges::copy(write.bytes,
                        bytes_.begin() + static_cast<ptrdiff_t>(write.offset));
    }
  }

 private:
  Bytes bytes_;
};

void CheckError(const absl::Status& status) {
  if (status.ok()) return;
  FUZZ_CHECK(!status.message().empty());
  FUZZ_CHECK(status.code() != absl::StatusCode::kInternal);
  FUZZ_CHECK(status.code() != absl::StatusCode::kUnknown);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Bytes sound = MakeArea();
  const auto change = qcow2::fuzz::InputBytes(data, size);
  StoredArea stored(sound, change);
  const auto opened = OpenLuks(stored.area(), Word(), kLimits);
  CheckError(opened.status());
  const bool unchanged = std::ranges::all_of(
      change, [](std::byte byte) { return byte == std::byte{0}; });
  FUZZ_CHECK(opened.ok() || !unchanged);

  qcow2::LuksAddOptions options;
  options.derivation.iterations = kIterations;
  options.limits = kLimits;
  const Secret other = Secret::FromText("other");
  const auto added = AddLuksKey(stored.area(), Word(), other, options);
  CheckError(added.status());
  if (added.ok()) {
    stored.Write(*added);
    FUZZ_CHECK(OpenLuks(stored.area(), other, kLimits).ok());
  }
  const auto removed = RemoveLuksPassphrase(stored.area(), Word(), {}, kLimits);
  CheckError(removed.status());
  if (removed.ok()) {
    stored.Write(*removed);
    FUZZ_CHECK(!OpenLuks(stored.area(), Word(), kLimits).ok());
  }
  return 0;
}
