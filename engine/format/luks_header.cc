#include "engine/format/luks_header.h"

#include <algorithm>

#include "engine/format/byte_order.h"

namespace qcow2 {
namespace {

constexpr uint64_t kSlotsOffset = 208;
static_assert(kSlotsOffset + kLuksKeySlots * kLuksKeySlotSize ==
              kLuksHeaderSize);
constexpr uint64_t kHeaderSectors =
    (kLuksHeaderSize + kLuksSectorSize - 1) / kLuksSectorSize;
constexpr uint32_t kMaxKeyBytes = 512;

// Fills `field` from `offset` of `bytes`, missing bytes with zeros.
template <typename T, size_t N>
void LoadField(std::span<const std::byte> bytes, uint64_t offset,
               std::array<T, N>& field) {
  for (uint64_t i = 0; i < N; ++i) {
    const uint64_t at = offset + i;
    field[i] = static_cast<T>(at < bytes.size() ? bytes[at] : std::byte{0});
  }
}

template <typename T, size_t N>
void StoreField(std::span<std::byte> bytes, uint64_t offset,
                const std::array<T, N>& field) {
  for (uint64_t i = 0; i < N; ++i) {
    bytes[offset + i] = static_cast<std::byte>(field[i]);
  }
}

template <size_t N>
bool IsTerminated(const std::array<char, N>& field) {
  return std::find(field.begin(), field.end(), '\0') != field.end();
}

template <size_t N>
std::string_view UpToZero(const std::array<char, N>& field) {
  const auto end = std::find(field.begin(), field.end(), '\0');
  return {field.data(), static_cast<size_t>(end - field.begin())};
}

LuksKeySlot DecodeSlot(std::span<const std::byte> bytes, uint64_t offset) {
  LuksKeySlot slot;
  slot.state = LoadBe32Padded(bytes, offset);
  slot.iterations = LoadBe32Padded(bytes, offset + 4);
  LoadField(bytes, offset + 8, slot.salt);
  slot.key_material_sector = LoadBe32Padded(bytes, offset + 40);
  slot.stripes = LoadBe32Padded(bytes, offset + 44);
  return slot;
}

void EncodeSlot(const LuksKeySlot& slot, std::span<std::byte> bytes,
                uint64_t offset) {
  StoreBe32(&bytes[offset], slot.state);
  StoreBe32(&bytes[offset + 4], slot.iterations);
  StoreField(bytes, offset + 8, slot.salt);
  StoreBe32(&bytes[offset + 40], slot.key_material_sector);
  StoreBe32(&bytes[offset + 44], slot.stripes);
}

uint64_t KeyMaterialEnd(const LuksHeader& header, const LuksKeySlot& slot) {
  return slot.key_material_sector + header.KeyMaterialSectors(slot);
}

bool Overlap(const LuksHeader& header, const LuksKeySlot& a,
             const LuksKeySlot& b) {
  return a.key_material_sector < KeyMaterialEnd(header, b) &&
         b.key_material_sector < KeyMaterialEnd(header, a);
}

bool OverlapsAnother(const LuksHeader& header, uint64_t index) {
  for (uint64_t other = 0; other < kLuksKeySlots; ++other) {
    if (other != index &&
        Overlap(header, header.slots[index], header.slots[other])) {
      return true;
    }
  }
  return false;
}

uint32_t NameIssues(const LuksHeader& header) {
  uint32_t issues = 0;
  if (!IsTerminated(header.padded_cipher_name) ||
      !IsTerminated(header.padded_cipher_mode) ||
      !IsTerminated(header.padded_hash_name) ||
      !IsTerminated(header.padded_uuid)) {
    issues |= kLuksNameNotTerminated;
  }
  if (header.cipher_name().empty() || header.cipher_mode().empty() ||
      header.hash_name().empty()) {
    issues |= kLuksNameEmpty;
  }
  return issues;
}

}  // namespace

LuksHeader LuksHeader::Decode(std::span<const std::byte> bytes) {
  LuksHeader header;
  LoadField(bytes, 0, header.magic);
  header.version = LoadBe16Padded(bytes, 6);
  LoadField(bytes, 8, header.padded_cipher_name);
  LoadField(bytes, 40, header.padded_cipher_mode);
  LoadField(bytes, 72, header.padded_hash_name);
  header.payload_sector = LoadBe32Padded(bytes, 104);
  header.key_bytes = LoadBe32Padded(bytes, 108);
  LoadField(bytes, 112, header.master_key_digest);
  LoadField(bytes, 132, header.master_key_salt);
  header.master_key_iterations = LoadBe32Padded(bytes, 164);
  LoadField(bytes, 168, header.padded_uuid);
  for (uint64_t i = 0; i < kLuksKeySlots; ++i) {
    header.slots[i] = DecodeSlot(bytes, kSlotsOffset + i * kLuksKeySlotSize);
  }
  return header;
}

std::array<std::byte, kLuksHeaderSize> LuksHeader::Encode() const {
  std::array<std::byte, kLuksHeaderSize> bytes;
  StoreField(bytes, 0, magic);
  StoreBe16(&bytes[6], version);
  StoreField(bytes, 8, padded_cipher_name);
  StoreField(bytes, 40, padded_cipher_mode);
  StoreField(bytes, 72, padded_hash_name);
  StoreBe32(&bytes[104], payload_sector);
  StoreBe32(&bytes[108], key_bytes);
  StoreField(bytes, 112, master_key_digest);
  StoreField(bytes, 132, master_key_salt);
  StoreBe32(&bytes[164], master_key_iterations);
  StoreField(bytes, 168, padded_uuid);
  for (uint64_t i = 0; i < kLuksKeySlots; ++i) {
    EncodeSlot(slots[i], bytes, kSlotsOffset + i * kLuksKeySlotSize);
  }
  return bytes;
}

std::string_view LuksHeader::cipher_name() const {
  return UpToZero(padded_cipher_name);
}
std::string_view LuksHeader::cipher_mode() const {
  return UpToZero(padded_cipher_mode);
}
std::string_view LuksHeader::hash_name() const {
  return UpToZero(padded_hash_name);
}
std::string_view LuksHeader::uuid() const { return UpToZero(padded_uuid); }

uint64_t LuksHeader::KeyMaterialSectors(const LuksKeySlot& slot) const {
  // The product of two 32-bit numbers leaves room for the rounding.
  const uint64_t bytes = uint64_t{key_bytes} * slot.stripes;
  return bytes / kLuksSectorSize + (bytes % kLuksSectorSize != 0 ? 1 : 0);
}

uint32_t LuksHeaderIssues(const LuksHeader& header) {
  uint32_t issues = NameIssues(header);
  if (header.magic != kLuksMagic) issues |= kLuksBadMagic;
  if (header.version != kLuksVersion) issues |= kLuksBadVersion;
  if (header.key_bytes == 0) issues |= kLuksNoKeyBytes;
  if (header.key_bytes > kMaxKeyBytes) issues |= kLuksKeyTooLong;
  if (header.master_key_iterations == 0) issues |= kLuksDigestIterationsZero;
  if (header.payload_sector < kHeaderSectors) issues |= kLuksPayloadInHeader;
  if (std::none_of(header.slots.begin(), header.slots.end(),
                   [](const LuksKeySlot& slot) { return slot.active(); })) {
    issues |= kLuksNoActiveSlot;
  }
  return issues;
}

uint32_t LuksSlotIssues(const LuksHeader& header, uint64_t index,
                        uint64_t area_length) {
  const LuksKeySlot& slot = header.slots[index];
  const uint64_t end = KeyMaterialEnd(header, slot);
  uint32_t issues = 0;
  if (!slot.active() && slot.state != kLuksSlotInactive) {
    issues |= kLuksSlotBadState;
  }
  if (slot.stripes != kLuksStripes) issues |= kLuksSlotBadStripes;
  if (slot.active() && slot.iterations == 0) issues |= kLuksSlotIterationsZero;
  if (slot.key_material_sector < kHeaderSectors) {
    issues |= kLuksSlotInsideHeader;
  }
  if (end > area_length / kLuksSectorSize) issues |= kLuksSlotOutsideArea;
  if (end > header.payload_sector) issues |= kLuksSlotInsidePayload;
  if (OverlapsAnother(header, index)) issues |= kLuksSlotOverlap;
  return issues;
}

}  // namespace qcow2
