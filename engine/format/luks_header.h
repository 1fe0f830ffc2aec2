// The header of a LUKS area, version 1.
//
// Pure, no I/O and no cryptography: the structure and what is wrong with it.
#ifndef ENGINE_FORMAT_LUKS_HEADER_H_
#define ENGINE_FORMAT_LUKS_HEADER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace qcow2 {

inline constexpr uint64_t kLuksHeaderSize = 592;
inline constexpr uint64_t kLuksKeySlotSize = 48;
inline constexpr uint64_t kLuksKeySlots = 8;
inline constexpr uint64_t kLuksSectorSize = 512;
inline constexpr std::array<std::byte, 6> kLuksMagic = {
    std::byte{'L'}, std::byte{'U'},  std::byte{'K'},
    std::byte{'S'}, std::byte{0xba}, std::byte{0xbe}};
inline constexpr uint16_t kLuksVersion = 1;
inline constexpr uint32_t kLuksSlotActive = 0x00ac71f3;
inline constexpr uint32_t kLuksSlotInactive = 0x0000dead;
// The number of stripes keys are split into; other numbers are not in use.
inline constexpr uint32_t kLuksStripes = 4000;

// One key slot:
//
//   bytes  field
//   0-3    state: active or inactive
//   4-7    iterations of the key derivation
//   8-39   salt
//   40-43  key material offset in 512-byte sectors from the LUKS area's start
//   44-47  stripes
struct LuksKeySlot {
  uint32_t state = kLuksSlotInactive;
  uint32_t iterations = 0;
  std::array<std::byte, 32> salt = {};
  uint32_t key_material_sector = 0;
  uint32_t stripes = kLuksStripes;

  bool active() const { return state == kLuksSlotActive; }

  friend bool operator==(const LuksKeySlot&, const LuksKeySlot&) = default;
};

// The header:
//
//   bytes    field
//   0-5      magic "LUKS\xba\xbe"
//   6-7      version, 1
//   8-39     cipher name, padded with zeros
//   40-71    cipher mode, padded with zeros
//   72-103   hash name, padded with zeros
//   104-107  payload offset in 512-byte sectors
//   108-111  bytes of the master key
//   112-131  digest of the master key
//   132-163  salt of that digest
//   164-167  iterations of that digest
//   168-207  UUID, padded with zeros
//   208-591  8 key slots of 48 bytes
struct LuksHeader {
  std::array<std::byte, 6> magic = kLuksMagic;
  uint16_t version = kLuksVersion;
  std::array<char, 32> padded_cipher_name = {};
  std::array<char, 32> padded_cipher_mode = {};
  std::array<char, 32> padded_hash_name = {};
  uint32_t payload_sector = 0;
  uint32_t key_bytes = 0;
  std::array<std::byte, 20> master_key_digest = {};
  std::array<std::byte, 32> master_key_salt = {};
  uint32_t master_key_iterations = 0;
  std::array<char, 40> padded_uuid = {};
  std::array<LuksKeySlot, kLuksKeySlots> slots;

  // The header at the start of `bytes`. Total: missing bytes are zero.
  static LuksHeader Decode(std::span<const std::byte> bytes);
  std::array<std::byte, kLuksHeaderSize> Encode() const;

  // Up to the first zero. As the image has them: not necessarily printable.
  std::string_view cipher_name() const;
  std::string_view cipher_mode() const;
  std::string_view hash_name() const;
  std::string_view uuid() const;

  // Sectors of the key material of `slot`.
  uint64_t KeyMaterialSectors(const LuksKeySlot& slot) const;

  friend bool operator==(const LuksHeader&, const LuksHeader&) = default;
};

// What can be wrong with the header apart from its slots, as bits of a mask.
enum LuksHeaderIssue : uint32_t {
  kLuksBadMagic = 1 << 0,
  kLuksBadVersion = 1 << 1,
  // A name or the UUID fills its field without the zero that must end it.
  kLuksNameNotTerminated = 1 << 2,
  kLuksNameEmpty = 1 << 3,
  kLuksNoKeyBytes = 1 << 4,
  // A key as long as no cipher has it (over 512 bytes).
  kLuksKeyTooLong = 1 << 5,
  kLuksDigestIterationsZero = 1 << 6,
  // Payload would begin inside the header.
  kLuksPayloadInHeader = 1 << 7,
  kLuksNoActiveSlot = 1 << 8,
};

// The issues of `header`, 0 if there are none.
uint32_t LuksHeaderIssues(const LuksHeader& header);

// What can be wrong with one key slot, as bits of a mask.
enum LuksSlotIssue : uint32_t {
  // Neither active nor inactive.
  kLuksSlotBadState = 1 << 0,
  kLuksSlotBadStripes = 1 << 1,
  // Active, and its key is not derived at all.
  kLuksSlotIterationsZero = 1 << 2,
  kLuksSlotInsideHeader = 1 << 3,
  // Key material reaches past the LUKS area.
  kLuksSlotOutsideArea = 1 << 4,
  // Key material reaches past the payload offset.
  kLuksSlotInsidePayload = 1 << 5,
  // Key material overlaps that of another slot.
  kLuksSlotOverlap = 1 << 6,
};

// The issues of slot `index` (below 8) of `header`, in a LUKS area of
// `area_length` bytes; 0 if none.
uint32_t LuksSlotIssues(const LuksHeader& header, uint64_t index,
                        uint64_t area_length);

}  // namespace qcow2

#endif  // ENGINE_FORMAT_LUKS_HEADER_H_
