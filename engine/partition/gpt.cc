#include "engine/partition/gpt.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "engine/little_endian.h"
#include "engine/partition/mbr.h"

namespace qcow2 {
namespace {

constexpr size_t kCrcOffset = 16;

uint32_t Crc32(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

Guid LoadGuid(const std::byte* bytes) {
  Guid guid;
  std::copy_n(bytes, guid.bytes.size(), guid.bytes.begin());
  return guid;
}

// The first `Size` bytes of `bytes`, with zeros for missing ones.
template <size_t Size>
std::array<std::byte, Size> Padded(std::span<const std::byte> bytes) {
  std::array<std::byte, Size> padded = {};
  std::copy_n(bytes.begin(), std::min(bytes.size(), Size), padded.begin());
  return padded;
}

void AppendUtf8(uint32_t character, std::string& text) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (character < 0x80) {
    add(character);
  } else if (character < 0x800) {
    add(0xc0 | character >> 6);
    add(0x80 | (character & 0x3f));
  } else if (character < 0x10000) {
    add(0xe0 | character >> 12);
    add(0x80 | (character >> 6 & 0x3f));
    add(0x80 | (character & 0x3f));
  } else {
    add(0xf0 | character >> 18);
    add(0x80 | (character >> 12 & 0x3f));
    add(0x80 | (character >> 6 & 0x3f));
    add(0x80 | (character & 0x3f));
  }
}

}  // namespace

std::string Guid::Text() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  static constexpr size_t kOrder[] = {3, 2, 1,  0,  5,  4,  7,  6,
                                      8, 9, 10, 11, 12, 13, 14, 15};
  std::string text;
  for (size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = std::to_integer<unsigned>(bytes[kOrder[i]]);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::array<std::byte, 8> GptSignature() {
  std::array<std::byte, 8> signature;
  StoreLe64(signature.data(), 0x5452415020494645);  // "EFI PART"
  return signature;
}

GptHeader GptHeader::Decode(std::span<const std::byte> sector) {
  const auto bytes = Padded<kGptHeaderBytes>(sector);
  GptHeader header;
  std::copy_n(bytes.begin(), 8, header.signature.begin());
  header.revision = LoadLe32(&bytes[8]);
  header.header_bytes = LoadLe32(&bytes[12]);
  header.header_crc = LoadLe32(&bytes[kCrcOffset]);
  header.reserved = LoadLe32(&bytes[20]);
  header.own_sector = LoadLe64(&bytes[24]);
  header.other_sector = LoadLe64(&bytes[32]);
  header.first_usable_sector = LoadLe64(&bytes[40]);
  header.last_usable_sector = LoadLe64(&bytes[48]);
  header.disk_guid = LoadGuid(&bytes[56]);
  header.array_sector = LoadLe64(&bytes[72]);
  header.entries = LoadLe32(&bytes[80]);
  header.entry_bytes = LoadLe32(&bytes[84]);
  header.array_crc = LoadLe32(&bytes[88]);
  return header;
}

std::array<std::byte, kGptHeaderBytes> GptHeader::Encode() const {
  std::array<std::byte, kGptHeaderBytes> bytes = {};
  std::copy(signature.begin(), signature.end(), bytes.begin());
  StoreLe32(&bytes[8], revision);
  StoreLe32(&bytes[12], header_bytes);
  StoreLe32(&bytes[kCrcOffset], header_crc);
  StoreLe32(&bytes[20], reserved);
  StoreLe64(&bytes[24], own_sector);
  StoreLe64(&bytes[32], other_sector);
  StoreLe64(&bytes[40], first_usable_sector);
  StoreLe64(&bytes[48], last_usable_sector);
  std::copy(disk_guid.bytes.begin(), disk_guid.bytes.end(), &bytes[56]);
  StoreLe64(&bytes[72], array_sector);
  StoreLe32(&bytes[80], entries);
  StoreLe32(&bytes[84], entry_bytes);
  StoreLe32(&bytes[88], array_crc);
  return bytes;
}

uint32_t GptHeaderCrc(std::span<const std::byte> sector) {
  const GptHeader header = GptHeader::Decode(sector);
  std::vector<std::byte> bytes(
      sector.begin(),
      sector.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(
                           header.header_bytes, sector.size())));
  if (bytes.size() >= kCrcOffset + 4) StoreLe32(&bytes[kCrcOffset], 0);
  return Crc32(bytes);
}

uint32_t GptArrayCrc(std::span<const std::byte> array) { return Crc32(array); }

uint32_t GptHeaderIssues(std::span<const std::byte> sector,
                         uint64_t own_sector) {
  const GptHeader header = GptHeader::Decode(sector);
  if (header.signature != GptSignature()) return kGptBadSignature;
  uint32_t issues = 0;
  if (header.header_bytes < kGptHeaderBytes ||
      header.header_bytes > kPartitionSectorBytes) {
    issues |= kGptBadHeaderSize;
  } else if (GptHeaderCrc(sector) != header.header_crc) {
    issues |= kGptBadHeaderCrc;
  }
  if (header.own_sector != own_sector) issues |= kGptBadOwnSector;
  if (header.entry_bytes < kGptEntryBytes ||
      !std::has_single_bit(header.entry_bytes)) {
    issues |= kGptBadEntrySize;
  } else if (header.array_bytes() > kMaxGptArrayBytes) {
    issues |= kGptArrayTooLarge;
  }
  return issues;
}

GptEntry GptEntry::Decode(std::span<const std::byte> bytes) {
  const auto entry = Padded<kGptEntryBytes>(bytes);
  GptEntry decoded;
  decoded.type = LoadGuid(entry.data());
  decoded.guid = LoadGuid(&entry[16]);
  decoded.first_sector = LoadLe64(&entry[32]);
  decoded.last_sector = LoadLe64(&entry[40]);
  decoded.attributes = LoadLe64(&entry[48]);
  std::copy_n(&entry[56], decoded.padded_name.size(),
              decoded.padded_name.begin());
  return decoded;
}

std::array<std::byte, kGptEntryBytes> GptEntry::Encode() const {
  std::array<std::byte, kGptEntryBytes> bytes = {};
  std::copy(type.bytes.begin(), type.bytes.end(), bytes.data());
  std::copy(guid.bytes.begin(), guid.bytes.end(), &bytes[16]);
  StoreLe64(&bytes[32], first_sector);
  StoreLe64(&bytes[40], last_sector);
  StoreLe64(&bytes[48], attributes);
  std::copy(padded_name.begin(), padded_name.end(), &bytes[56]);
  return bytes;
}

std::string GptEntry::name() const {
  constexpr uint32_t kReplacement = 0xfffd;
  std::string text;
  for (size_t i = 0; i < padded_name.size(); i += 2) {
    uint32_t unit = LoadLe16(&padded_name[i]);
    if (unit == 0) break;
    if (unit >= 0xd800 && unit < 0xe000) {
      const uint32_t low =
          i + 2 < padded_name.size() ? LoadLe16(&padded_name[i + 2]) : 0;
      if (unit < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        i += 2;
      } else {
        unit = kReplacement;
      }
    }
    AppendUtf8(unit, text);
  }
  return text;
}

}  // namespace qcow2
