// Adding and removing passphrases of a LUKS area (version 1).
//
// No I/O of its own: what is to be written is returned.
#ifndef ENGINE_CODEC_LUKS_KEYS_H_
#define ENGINE_CODEC_LUKS_KEYS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/codec/luks.h"
#include "engine/codec/luks_create.h"
#include "engine/codec/secret.h"

namespace qcow2 {

// Bytes for an area, from `offset` on.
struct LuksWrite {
  uint64_t offset = 0;
  std::vector<std::byte> bytes;
};

// Key slots that change, and how. The writes go one after the other, each
// durable before the next begins: then, whichever the last is that was done,
// even in part, every passphrase that stays opens the area, and a slot that is
// active opens. (The writes that decide are four bytes of one sector.)
struct LuksChange {
  std::vector<size_t> slots;
  std::vector<LuksWrite> writes;
};

struct LuksAddOptions {
  // Which slot to use, below kLuksKeySlots; else the first that is free.
  std::optional<size_t> slot;
  LuksDerivation derivation;
  LuksLimits limits;
};

// Lets `added` open what `known` does. InvalidArgument for a slot that does not
// exist or a passphrase that cannot be had, AlreadyExists for a slot that is
// active, FailedPrecondition for one that is damaged, ResourceExhausted if none
// is free; and as UnlockLuks for `known`.
absl::StatusOr<LuksChange> AddLuksKey(const LuksArea& area, const Secret& known,
                                      const Secret& added,
                                      const LuksAddOptions& options = {});

// Whether the last passphrase may be removed, and with it all the data.
enum class LastKey { kRefuse, kRemove };

// Forgets what opens slot `slot`: makes it inactive and overwrites its key
// material with random bytes. (Once: what overwriting cannot reach, such as
// copies the storage made, more passes do not reach either.) InvalidArgument
// for a slot that does not exist, NotFound for one that is inactive,
// FailedPrecondition for the last active one and for one whose key material,
// by its offset, could be another's.
absl::StatusOr<LuksChange> RemoveLuksSlot(const LuksArea& area, size_t slot,
                                          LastKey last_key = LastKey::kRefuse);

// The same for every slot that `passphrase` opens; PermissionDenied if none,
// and FailedPrecondition if there are others that it could not be tried on.
absl::StatusOr<LuksChange> RemoveLuksPassphrase(
    const LuksArea& area, const Secret& passphrase,
    LastKey last_key = LastKey::kRefuse, const LuksLimits& limits = {});

}  // namespace qcow2

#endif  // ENGINE_CODEC_LUKS_KEYS_H_
