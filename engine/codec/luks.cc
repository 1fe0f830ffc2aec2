#include "engine/codec/luks.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/codec/crypto_hash.h"
#include "engine/codec/luks_key_slot.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

struct IssueText {
  uint32_t issue;
  const char* text;
};
// What makes a header unfit to be opened. That no slot is active is found, and
// said, when they are tried.
constexpr std::array<IssueText, 8> kIssueTexts = {{
    {kLuksBadMagic, "it has not the magic of LUKS"},
    {kLuksBadVersion, "its version is not 1"},
    {kLuksNameNotTerminated, "a name fills its field"},
    {kLuksNameEmpty, "a name is empty"},
    {kLuksNoKeyBytes, "its key has no bytes"},
    {kLuksKeyTooLong, "its key is longer than any"},
    {kLuksDigestIterationsZero, "its digest has no iterations"},
    {kLuksPayloadInHeader, "its payload offset lies inside it"},
}};

}  // namespace

absl::StatusOr<LuksHeader> ReadLuksHeader(const LuksArea& area) {
  if (area.length_bytes < kLuksHeaderSize) {
    return absl::DataLossError(
        absl::StrCat("LUKS area of ", area.length_bytes,
                     " bytes has no room for its header of ", kLuksHeaderSize));
  }
  std::array<std::byte, kLuksHeaderSize> bytes = {};
  RETURN_IF_ERROR(area.read(0, bytes));
  const LuksHeader header = LuksHeader::Decode(bytes);
  const uint32_t issues = LuksHeaderIssues(header);
  for (const auto& [issue, text] : kIssueTexts) {
    if (issues & issue) {
      return absl::DataLossError(
          absl::StrCat("LUKS header cannot be used: ", text, " (version ",
                       header.version, ", key of ", header.key_bytes,
                       " bytes, payload at sector ", header.payload_sector,
                       ", ", header.master_key_iterations, " iterations)"));
    }
  }
  RETURN_IF_ERROR(CipherOf(header).status());
  RETURN_IF_ERROR(CryptoHash::Named(header.hash_name()).status());
  return header;
}

absl::StatusOr<UnlockedLuks> UnlockLuks(const LuksArea& area,
                                        const Secret& passphrase,
                                        const LuksLimits& limits) {
  ASSIGN_OR_RETURN(LuksHeader header, ReadLuksHeader(area));
  ASSIGN_OR_RETURN(
      SlotTrials trials,
      TryKeySlots(area, header, passphrase, limits, TryUntil::kFirstOpens));
  if (trials.opened.empty()) return NoneOpened(trials);
  return UnlockedLuks{header, trials.opened.front(),
                      std::move(trials.master_key)};
}

absl::StatusOr<OpenedLuks> OpenLuks(const LuksArea& area,
                                    const Secret& passphrase,
                                    const LuksLimits& limits) {
  ASSIGN_OR_RETURN(const UnlockedLuks unlocked,
                   UnlockLuks(area, passphrase, limits));
  ASSIGN_OR_RETURN(const SectorCipherSpec spec, CipherOf(unlocked.header));
  ASSIGN_OR_RETURN(auto cipher,
                   SectorCipher::Create(spec, unlocked.master_key.bytes()));
  return OpenedLuks{unlocked.slot, std::move(cipher)};
}

}  // namespace qcow2
