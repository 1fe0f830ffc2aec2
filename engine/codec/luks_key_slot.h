// One key slot of a LUKS header: the master key locked up with a passphrase.
//
// For the LUKS files of this folder only. No I/O of its own.
#ifndef ENGINE_CODEC_LUKS_KEY_SLOT_H_
#define ENGINE_CODEC_LUKS_KEY_SLOT_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/luks.h"
#include "engine/codec/secret.h"
#include "engine/codec/sector_cipher.h"
#include "engine/format/luks_header.h"

namespace qcow2 {

// The cipher a header names, whose key is still to be found.
absl::StatusOr<SectorCipherSpec> CipherOf(const LuksHeader& header);

// Fills `digest` with what the header should hold for `master_key`.
absl::Status DigestMasterKey(const LuksHeader& header,
                             std::span<const std::byte> master_key,
                             std::span<std::byte> digest);

// Which slots a passphrase opens.
struct SlotTrials {
  std::vector<size_t> opened;
  // What they hold, if any opened.
  Secret master_key;
  size_t active = 0;
  size_t tried = 0;
  // What is to be said of active slots that were not tried.
  std::string passed_over;
  bool too_costly = false;
};
enum class TryUntil { kFirstOpens, kAllTried };
absl::StatusOr<SlotTrials> TryKeySlots(const LuksArea& area,
                                       const LuksHeader& header,
                                       const Secret& passphrase,
                                       const LuksLimits& limits,
                                       TryUntil until);

// The error to return for trials of which none opened.
absl::Status NoneOpened(const SlotTrials& trials);

// The key material, in whole sectors, that makes `slot` (which has its salt,
// iterations and stripes) open with `passphrase`.
absl::StatusOr<std::vector<std::byte>> SealKeySlot(
    const LuksHeader& header, const LuksKeySlot& slot, const Secret& passphrase,
    std::span<const std::byte> master_key);

}  // namespace qcow2

#endif  // ENGINE_CODEC_LUKS_KEY_SLOT_H_
