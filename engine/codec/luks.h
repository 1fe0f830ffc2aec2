// Opening a LUKS area (version 1): from a passphrase to the cipher of the data.
//
// No I/O of its own: the area's bytes come through a function.
//
//   LuksArea area{extension.length, read_from_there};
//   ASSIGN_OR_RETURN(OpenedLuks luks, OpenLuks(area, passphrase));
//   RETURN_IF_ERROR(luks.cipher->Decrypt(host_sector, cluster));
#ifndef ENGINE_CODEC_LUKS_H_
#define ENGINE_CODEC_LUKS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/codec/secret.h"
#include "engine/codec/sector_cipher.h"
#include "engine/format/luks_header.h"

namespace qcow2 {

// Where a LUKS header and its key slots are.
struct LuksArea {
  // As the image's header extension has it; nothing is read past it.
  uint64_t length_bytes = 0;
  // Fills `buffer` with the area's bytes from `offset` on.
  std::function<absl::Status(uint64_t offset, std::span<std::byte> buffer)>
      read;
};

// An image says how often to hash a passphrase, up to 2^32 - 1 times a slot.
// An attempt to open one stops being worth it long before.
struct LuksLimits {
  // HMACs to compute for all slots together. The default takes three to five
  // minutes of one processor; eight slots made with 2 seconds each on another
  // processor, as writers do unasked, need a fraction of it.
  uint64_t max_derivation_cost = uint64_t{1} << 29;
};

// An area's header, found fit to be opened: nothing but its key slots can be
// wrong. DataLoss, naming the field, if it is not; Unimplemented, naming it,
// for a cipher or hash that is not supported; else what area.read said.
absl::StatusOr<LuksHeader> ReadLuksHeader(const LuksArea& area);

// What a passphrase leads to.
struct UnlockedLuks {
  LuksHeader header;
  size_t slot = 0;
  Secret master_key;
};

// Tries the active key slots, first to last, until one opens. Slots that are
// damaged, or would cost too much to try, are passed over.
//
// PermissionDenied if the passphrase opens none, saying which could not be
// tried and why; DataLoss if no slot is active or could be tried,
// ResourceExhausted if for their cost; besides what ReadLuksHeader gives.
absl::StatusOr<UnlockedLuks> UnlockLuks(const LuksArea& area,
                                        const Secret& passphrase,
                                        const LuksLimits& limits = {});

struct OpenedLuks {
  size_t slot = 0;
  // For the data: sectors are those of the host.
  std::unique_ptr<SectorCipher> cipher;
};

// The same, and the cipher with the key so found.
absl::StatusOr<OpenedLuks> OpenLuks(const LuksArea& area,
                                    const Secret& passphrase,
                                    const LuksLimits& limits = {});

}  // namespace qcow2

#endif  // ENGINE_CODEC_LUKS_H_
