// LUKS areas in memory, for tests.
#ifndef ENGINE_CODEC_TEST_LUKS_AREA_H_
#define ENGINE_CODEC_TEST_LUKS_AREA_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/codec/luks.h"
#include "engine/codec/luks_create.h"

namespace qcow2 {

// An area whose bytes are those of `bytes`, which must outlive it.
inline LuksArea AreaOf(const std::vector<std::byte>& bytes) {
  return {
      bytes.size(), [&bytes](uint64_t offset, std::span<std::byte> buffer) {
        if (offset > bytes.size() || buffer.size() > bytes.size() - offset) {
          return absl::OutOfRangeError("read past the area");
        }
        std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset),
                    buffer.size(), buffer.begin());
        return absl::OkStatus();
      }};
}

// Options that make areas quickly.
inline LuksCreateOptions QuickLuks() {
  LuksCreateOptions options;
  options.derivation.iterations = 1000;
  return options;
}

}  // namespace qcow2

#endif  // ENGINE_CODEC_TEST_LUKS_AREA_H_
