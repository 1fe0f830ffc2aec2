// The LUKS pass: the pointer to the LUKS header, the header and its key slots.
// Needs no password. Collects where the LUKS area lies. With --deep also looks
// at digest, salts and key material, which random data must fill.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checker/pass_findings.h"
#include "checker/passes.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_header.h"

namespace qcow2::checker {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{64} << 10;
// The hashes that LUKS implementations know.
constexpr std::string_view kHashes[] = {"md5",       "sha1",      "sha224",
                                        "sha256",    "sha384",    "sha512",
                                        "ripemd160", "whirlpool", "sm3"};

Finding LuksFinding(Problem problem, const LuksExtension& pointer,
                    std::string detail) {
  Finding finding;
  finding.problem = problem;
  finding.location.structure = Structure::kLuksHeader;
  finding.location.table_offset = pointer.offset.value();
  finding.actual = pointer.offset.value();
  finding.detail = std::move(detail);
  return finding;
}

// Reports what is wrong with the pointer. False if there is no header to read.
bool JudgePointer(CheckState& state, const LuksExtension& pointer) {
  const ImageModel& model = state.model;
  const uint64_t offset = pointer.offset.value();
  const uint32_t issues =
      LuksExtensionIssues(pointer, kLuksExtensionSize, *model.geometry);
  std::string fault;
  bool usable = false;
  if ((issues & kLuksExtensionUnaligned) != 0) {
    fault = "is not cluster aligned";
  } else if ((issues & kLuksExtensionOffsetZero) != 0) {
    fault = "is where the image's own header is";
  } else if ((issues & kLuksExtensionAreaTooSmall) != 0) {
    fault = "is too short to be one";
    usable = true;
  } else if (model.ReachesPastEnd(offset, pointer.length)) {
    fault = "reaches past the end of the file";
    usable = offset < model.file_size_bytes;
  } else {
    return true;
  }
  Finding finding = LuksFinding(Problem::kLuksPointer, pointer, fault);
  finding.expected = pointer.length;
  state.sink.Add(std::move(finding));
  state.model.references_incomplete = true;
  return usable;
}

// What is wrong with the header but for the digest; empty if nothing is.
std::string HeaderFault(const LuksHeader& header, uint32_t issues) {
  if ((issues & kLuksBadMagic) != 0) return "does not start with LUKS's magic";
  if ((issues & kLuksBadVersion) != 0) {
    return "is of version " + std::to_string(header.version) +
           ", not of version 1";
  }
  if ((issues & kLuksNameNotTerminated) != 0) {
    return "has a name that fills its field without an end";
  }
  if ((issues & kLuksNameEmpty) != 0) {
    return "does not name its cipher, mode and hash";
  }
  if ((issues & kLuksPayloadInHeader) != 0) {
    return "has the payload begin inside the header, at sector " +
           std::to_string(header.payload_sector);
  }
  return "";
}

bool AllZero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte b) { return b == std::byte{0}; });
}

// What is wrong with the digest that passwords are verified against.
std::string DigestFault(const LuksHeader& header, uint32_t issues, bool deep) {
  if ((issues & kLuksDigestIterationsZero) != 0) {
    return "the master key digest has 0 iterations";
  }
  if ((issues & (kLuksNoKeyBytes | kLuksKeyTooLong)) != 0) {
    return "the master key has " + std::to_string(header.key_bytes) + " bytes";
  }
  if (!deep) return "";
  if (AllZero(header.master_key_digest)) return "the digest is all zeros";
  if (AllZero(header.master_key_salt)) return "the digest's salt is all zeros";
  if (std::find(std::begin(kHashes), std::end(kHashes), header.hash_name()) ==
      std::end(kHashes)) {
    return "the hash \"" + std::string(header.hash_name()) + "\" is unknown";
  }
  return "";
}

std::string SlotFault(const LuksHeader& header, uint64_t index,
                      uint64_t area_length) {
  const LuksKeySlot& slot = header.slots[index];
  const uint32_t issues = LuksSlotIssues(header, index, area_length);
  if ((issues & kLuksSlotBadState) != 0) {
    return "it is neither active nor inactive";
  }
  if ((issues & kLuksSlotBadStripes) != 0) {
    return "it has " + std::to_string(slot.stripes) + " stripes, not " +
           std::to_string(kLuksStripes);
  }
  if ((issues & kLuksSlotIterationsZero) != 0) return "it has 0 iterations";
  if ((issues & kLuksSlotInsideHeader) != 0) {
    return "its key material lies inside the LUKS header";
  }
  if ((issues & kLuksSlotOutsideArea) != 0) {
    return "its key material lies outside the LUKS area";
  }
  if ((issues & kLuksSlotInsidePayload) != 0) {
    return "its key material reaches into the payload";
  }
  if ((issues & kLuksSlotOverlap) != 0) {
    return "its key material overlaps that of another slot";
  }
  return "";
}

// Whether the key material of an active slot is all zeros: wiped. The slot's
// place and size have been judged before.
bool KeyMaterialWiped(CheckState& state, const LuksExtension& pointer,
                      const LuksHeader& header, const LuksKeySlot& slot) {
  const uint64_t begin =
      pointer.offset.value() + slot.key_material_sector * kLuksSectorSize;
  const uint64_t length = header.KeyMaterialSectors(slot) * kLuksSectorSize;
  state.reader.Expect(length);
  std::vector<std::byte> piece;
  for (uint64_t at = 0; at < length; at += kPieceBytes) {
    piece.resize(std::min(kPieceBytes, length - at));
    const std::vector<UnreadableRange> unreadable =
        state.reader.Read(begin + at, piece);
    ReportUnreadable(
        state, LuksFinding(Problem::kRangeUnreadable, pointer, "").location,
        unreadable);
    if (!unreadable.empty() || !AllZero(piece)) return false;
  }
  return true;
}

void JudgeSlots(CheckState& state, const LuksExtension& pointer,
                const LuksHeader& header) {
  for (uint64_t i = 0; i < kLuksKeySlots; ++i) {
    const LuksKeySlot& slot = header.slots[i];
    std::string fault = SlotFault(header, i, pointer.length);
    if (fault.empty() && slot.active() && state.options.deep) {
      if (AllZero(slot.salt)) {
        fault = "its salt is all zeros";
      } else if (KeyMaterialWiped(state, pointer, header, slot)) {
        fault = "its key material is all zeros";
      }
    }
    if (fault.empty()) continue;
    Finding finding =
        LuksFinding(Problem::kLuksKeySlot, pointer, std::move(fault));
    finding.location.index = i;
    state.sink.Add(std::move(finding));
  }
}

void JudgeHeader(CheckState& state, const LuksExtension& pointer) {
  std::array<std::byte, kLuksHeaderSize> bytes;
  const std::vector<UnreadableRange> unreadable =
      state.reader.Read(pointer.offset.value(), bytes);
  ReportUnreadable(state,
                   LuksFinding(Problem::kRangeUnreadable, pointer, "").location,
                   unreadable);
  if (!unreadable.empty()) return;
  const LuksHeader header = LuksHeader::Decode(bytes);
  const uint32_t issues = LuksHeaderIssues(header);
  std::string fault = HeaderFault(header, issues);
  if (!fault.empty()) {
    state.sink.Add(LuksFinding(Problem::kLuksMagic, pointer, std::move(fault)));
  }
  // Of something that is no LUKS header nothing more can be said.
  if ((issues & (kLuksBadMagic | kLuksBadVersion)) != 0) return;
  fault = DigestFault(header, issues, state.options.deep);
  if (!fault.empty()) {
    state.sink.Add(
        LuksFinding(Problem::kLuksDigest, pointer, std::move(fault)));
  }
  if ((issues & kLuksNoActiveSlot) != 0) {
    state.sink.Add(LuksFinding(Problem::kLuksKeySlot, pointer,
                               "no key slot is active: no password opens it"));
  }
  if ((issues & (kLuksNoKeyBytes | kLuksKeyTooLong)) == 0) {
    JudgeSlots(state, pointer, header);
  }
}

}  // namespace

void RunLuksPass(CheckState& state) {
  const ImageModel& model = state.model;
  const uint32_t method = model.header.crypt_method;
  if (!model.luks_extension) {
    // One of the wrong length has been reported; it cannot be told where to.
    if (method == kCryptLuks && !state.sink.Has(Problem::kExtensionLength)) {
      state.sink.Add(
          HeaderFinding(Problem::kLuksPointerMissing, "crypt_method", method));
      state.model.references_incomplete = true;
    }
    return;
  }
  const LuksExtension pointer = *model.luks_extension;
  if (method != kCryptLuks) {
    state.sink.Add(
        HeaderFinding(Problem::kLuksUnexpected, "crypt_method", method));
  }
  if (!JudgePointer(state, pointer)) return;
  AddRegion(state, {kOwnerLuksHeader, pointer.offset.value(), pointer.length});
  JudgeHeader(state, pointer);
}

}  // namespace qcow2::checker
