#include "engine/codec/luks_keys.h"

#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/codec/luks_key_slot.h"
#include "engine/codec/random_bytes.h"
#include "engine/format/byte_order.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

// Slots lie one after the other at the header's end, each state in front.
constexpr uint64_t kStateBytes = 4;

uint64_t SlotOffset(size_t slot) {
  return kLuksHeaderSize - (kLuksKeySlots - slot) * kLuksKeySlotSize;
}
static_assert(kLuksSectorSize % kStateBytes == 0 &&
              kLuksKeySlotSize % kStateBytes == 0 &&
              kLuksHeaderSize % kStateBytes == 0);  // no state in two sectors

uint64_t MaterialOffset(const LuksKeySlot& slot) {
  return uint64_t{slot.key_material_sector} * kLuksSectorSize;
}

LuksWrite StateWrite(size_t slot, uint32_t state) {
  LuksWrite write{SlotOffset(slot), std::vector<std::byte>(kStateBytes)};
  StoreBe32(write.bytes.data(), state);
  return write;
}

// The slot's fields behind its state.
LuksWrite FieldsWrite(const LuksHeader& header, size_t slot) {
  const auto encoded = header.Encode();
  const auto fields = std::span(encoded).subspan(
      SlotOffset(slot) + kStateBytes, kLuksKeySlotSize - kStateBytes);
  return {SlotOffset(slot) + kStateBytes, {fields.begin(), fields.end()}};
}

absl::Status CheckSlotNumber(size_t slot) {
  if (slot < kLuksKeySlots) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("there is no LUKS key slot ",
                                                 slot, ": they are 0 to ",
                                                 kLuksKeySlots - 1));
}

// Issues that leave it unclear whose the bytes at a slot's key material are.
absl::Status CheckMaterialPlace(const LuksArea& area, const LuksHeader& header,
                                size_t slot) {
  if (LuksSlotIssues(header, slot, area.length_bytes) == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "LUKS key slot ", slot, " is damaged: state ", header.slots[slot].state,
      ", ", header.slots[slot].iterations, " iterations, ",
      header.slots[slot].stripes, " stripes from sector ",
      header.slots[slot].key_material_sector, " on"));
}

absl::StatusOr<size_t> FreeSlot(const LuksArea& area, const LuksHeader& header,
                                std::optional<size_t> wanted) {
  if (wanted.has_value()) {
    RETURN_IF_ERROR(CheckSlotNumber(*wanted));
    if (header.slots[*wanted].active()) {
      return absl::AlreadyExistsError(
          absl::StrCat("LUKS key slot ", *wanted, " is in use"));
    }
    RETURN_IF_ERROR(CheckMaterialPlace(area, header, *wanted));
    return *wanted;
  }
  for (size_t slot = 0; slot < kLuksKeySlots; ++slot) {
    if (!header.slots[slot].active() &&
        CheckMaterialPlace(area, header, slot).ok()) {
      return slot;
    }
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("no LUKS key slot is free: all ", kLuksKeySlots,
                   " are in use or damaged"));
}

bool AnyCanOpen(const LuksArea& area, const LuksHeader& header) {
  for (size_t slot = 0; slot < kLuksKeySlots; ++slot) {
    if (header.slots[slot].active() &&
        LuksSlotIssues(header, slot, area.length_bytes) == 0) {
      return true;
    }
  }
  return false;
}

// The slots' states first, so that nothing opens with half its material gone.
absl::StatusOr<LuksChange> RemoveSlots(const LuksArea& area, LuksHeader header,
                                       const std::vector<size_t>& slots,
                                       LastKey last_key) {
  LuksChange change{slots, {}};
  for (size_t slot : slots) {
    RETURN_IF_ERROR(CheckMaterialPlace(area, header, slot));
    change.writes.push_back(StateWrite(slot, kLuksSlotInactive));
  }
  for (size_t slot : slots) {
    LuksKeySlot& removed = header.slots[slot];
    removed.state = kLuksSlotInactive;
    removed.iterations = 0;
    removed.salt = {};
    change.writes.push_back(FieldsWrite(header, slot));
    LuksWrite noise{MaterialOffset(removed), {}};
    noise.bytes.resize(header.KeyMaterialSectors(removed) * kLuksSectorSize);
    RETURN_IF_ERROR(FillWithRandomBytes(noise.bytes));
    change.writes.push_back(std::move(noise));
  }
  if (last_key == LastKey::kRefuse && !AnyCanOpen(area, header)) {
    return absl::FailedPreconditionError(
        "no other LUKS key slot is active: without it the data is lost");
  }
  return change;
}

}  // namespace

absl::StatusOr<LuksChange> AddLuksKey(const LuksArea& area, const Secret& known,
                                      const Secret& added,
                                      const LuksAddOptions& options) {
  RETURN_IF_ERROR(CheckNewPassphrase(added));
  ASSIGN_OR_RETURN(UnlockedLuks unlocked,
                   UnlockLuks(area, known, options.limits));
  LuksHeader& header = unlocked.header;
  ASSIGN_OR_RETURN(const size_t index, FreeSlot(area, header, options.slot));
  ASSIGN_OR_RETURN(const CryptoHash hash,
                   CryptoHash::Named(header.hash_name()));
  LuksKeySlot& slot = header.slots[index];
  ASSIGN_OR_RETURN(slot.iterations,
                   SlotIterations(options.derivation, hash, header.key_bytes));
  RETURN_IF_ERROR(FillWithRandomBytes(slot.salt));
  ASSIGN_OR_RETURN(
      std::vector<std::byte> material,
      SealKeySlot(header, slot, added, unlocked.master_key.bytes()));
  LuksChange change{{index}, {}};
  change.writes.push_back({MaterialOffset(slot), std::move(material)});
  change.writes.push_back(FieldsWrite(header, index));
  change.writes.push_back(StateWrite(index, kLuksSlotActive));
  return change;
}

absl::StatusOr<LuksChange> RemoveLuksSlot(const LuksArea& area, size_t slot,
                                          LastKey last_key) {
  RETURN_IF_ERROR(CheckSlotNumber(slot));
  ASSIGN_OR_RETURN(const LuksHeader header, ReadLuksHeader(area));
  if (!header.slots[slot].active()) {
    return absl::NotFoundError(
        absl::StrCat("LUKS key slot ", slot, " is not in use"));
  }
  return RemoveSlots(area, header, {slot}, last_key);
}

absl::StatusOr<LuksChange> RemoveLuksPassphrase(const LuksArea& area,
                                                const Secret& passphrase,
                                                LastKey last_key,
                                                const LuksLimits& limits) {
  ASSIGN_OR_RETURN(const LuksHeader header, ReadLuksHeader(area));
  ASSIGN_OR_RETURN(
      const SlotTrials trials,
      TryKeySlots(area, header, passphrase, limits, TryUntil::kAllTried));
  if (trials.opened.empty()) return NoneOpened(trials);
  // Whoever takes a passphrase away must not be told it is gone when it may
  // still open another slot.
  if (trials.tried < trials.active) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the passphrase opens LUKS key slot ",
        absl::StrJoin(trials.opened, ", "),
        ", but may open others that could not be tried: ", trials.passed_over,
        "; nothing is removed, slots can be removed by their numbers"));
  }
  return RemoveSlots(area, header, trials.opened, last_key);
}

}  // namespace qcow2
