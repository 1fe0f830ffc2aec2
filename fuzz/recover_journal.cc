// Any journal and any undo file: recovering and undoing end, and either nothing
// is touched, or the image is exactly the one the journal describes.
//
// The first byte chooses how the image and the files stand, the second what the
// journal says of itself. The rest is the journal as it is, or, so that its
// checksums do not keep the fuzzer out, a list of entries of which a sound
// journal is made; bytes that make no whole entry then damage its front.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/format/byte_order.h"
#include "fuzz/fuzz_target.h"
#include "repair/journal/crc32c.h"
#include "repair/journal/journal_format.h"
#include "repair/journal/recover.h"
#include "repair/journal/simulated_disk.h"
#include "repair/journal/undo.h"

namespace {

using namespace qcow2::repair;  // NOLINT: this target is about nothing else
using Bytes = SimulatedDisk::Contents;

constexpr char kJournal[] = "image.fsck-journal";
constexpr char kUndo[] = "image.fsck-undo";
constexpr size_t kImageBytes = 6000;
constexpr size_t kEntryBytes = 6;
constexpr ImageIdentity kIdentity = {.device = 7, .inode = 11};

enum Choice : uint8_t {
  kVerbatim = 1,
  kUndoIt = 2,
  kImageIsNew = 4,
  kImageIsBetween = 8,
  kNamedUndo = 16,
  kAcceptMoved = 32,
  kOtherIdentity = 64,
  kCutOff = 128,
};

struct Change {
  uint64_t offset = 0;
  Bytes old_bytes;
  Bytes new_bytes;
};

// A journal, and what it is about.
struct Plan {
  Bytes journal;
  uint64_t old_size = kImageBytes;
  uint64_t new_size = kImageBytes;
  std::vector<Change> changes;
};

Bytes OldImage() {
  Bytes image(kImageBytes);
  for (size_t i = 0; i < image.size(); ++i) {
    image[i] = static_cast<std::byte>(i * 7 + i / 256);
  }
  return image;
}

void Append(std::span<const std::byte> bytes, Bytes& to) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

Bytes Slice(const Bytes& image, uint64_t offset, uint64_t length) {
  const uint64_t begin = std::min<uint64_t>(offset, image.size());
  const uint64_t end = std::min<uint64_t>(begin + length, image.size());
  return {image.begin() + static_cast<ptrdiff_t>(begin),
          image.begin() + static_cast<ptrdiff_t>(end)};
}

void AppendEntry(const uint8_t* entry, const Bytes& image, Plan& plan,
                 Bytes& body) {
  const uint64_t unit = (entry[0] & 2) != 0 ? kSector : 1;
  const uint64_t offset =
      (static_cast<uint64_t>(entry[1]) * 256 + entry[2]) % 8192 / unit * unit;
  Change change;
  change.offset = offset;
  change.old_bytes = Slice(image, offset, entry[3] * unit % 2048);
  EntryHeader header = {.offset = offset};
  if ((entry[0] & 1) != 0) {
    header.kind = EntryHeader::Kind::kWitness;
    header.old_length = header.new_length =
        static_cast<uint32_t>(change.old_bytes.size());
    header.checksum = Crc32c(change.old_bytes) ^ (entry[0] >> 7);
    return Append(EncodeEntryHeader(header), body);
  }
  change.new_bytes.assign(
      (entry[0] & 4) != 0 ? entry[4] * unit % 2048 : change.old_bytes.size(),
      static_cast<std::byte>(entry[5]));
  header.old_length = static_cast<uint32_t>(change.old_bytes.size());
  header.new_length = static_cast<uint32_t>(change.new_bytes.size());
  header.checksum =
      Crc32c(change.new_bytes, Crc32c(change.old_bytes)) ^ (entry[0] >> 7);
  Append(EncodeEntryHeader(header), body);
  Append(change.old_bytes, body);
  Append(change.new_bytes, body);
  plan.changes.push_back(std::move(change));
}

// `says`: which states are recorded, whether an undo file is wanted, and how
// the image's length changes.
Plan MakePlan(uint8_t says, std::span<const uint8_t> entries) {
  const Bytes image = OldImage();
  Plan plan;
  constexpr int64_t kGrowth[] = {0, 700, -700, 0};
  plan.new_size = static_cast<uint64_t>(static_cast<int64_t>(kImageBytes) +
                                        kGrowth[says >> 5 & 3]);
  Bytes body;
  uint64_t count = 0;
  for (; entries.size() >= kEntryBytes; ++count) {
    AppendEntry(entries.data(), image, plan, body);
    entries = entries.subspan(kEntryBytes);
  }
  const EncodedJournalHeader header =
      EncodeJournalHeader({.identity = kIdentity,
                           .old_size = plan.old_size,
                           .new_size = plan.new_size,
                           .keep_undo = (says & 16) != 0});
  const JournalSeal seal = {.body_length = body.size(),
                            .entries = count + (says >> 7),
                            .checksum = Crc32c(body, Crc32c(header))};
  plan.journal.resize(kBodyOffset);
  std::ranges::copy(header, plan.journal.begin());
  for (size_t i = 0; i < kRecordedStates.size(); ++i) {
    if ((says >> i & 1) == 0) continue;
    std::ranges::copy(
        EncodeStateRecord(kRecordedStates[i], seal),
        plan.journal.begin() +
            static_cast<ptrdiff_t>(StateRecordOffset(kRecordedStates[i])));
  }
  Append(body, plan.journal);
  return plan;
}

// Damages the header or a state record in the way that `how` says.
void DamageFront(uint8_t how, Bytes& journal) {
  const std::span<std::byte> header =
      std::span(journal).first(kJournalHeaderLength);
  const std::span<std::byte> commit = std::span(journal).subspan(
      StateRecordOffset(JournalState::kCommitted), kStateRecordLength);
  switch (how % 6) {
    case 1:  // of another version, and whole
      header[11] ^= std::byte{1};
      qcow2::StoreBe32(&header[kJournalHeaderLength - 4],
                       Crc32c(header.first(kJournalHeaderLength - 4)));
      break;
    case 2:
      header[16] ^= std::byte{how};
      break;
    case 3:
      header[0] ^= std::byte{how};
      break;
    case 4:
      commit[16] ^= std::byte{how};
      break;
    case 5:  // a record of another journal
      std::ranges::copy(
          EncodeStateRecord(JournalState::kApplied, {.body_length = how}),
          journal.begin() + static_cast<ptrdiff_t>(
                                StateRecordOffset(JournalState::kApplied)));
      break;
    default:
      break;
  }
}

// `image` with the old bytes of every change, or the new ones.
Bytes With(Bytes image, const Plan& plan, bool is_new) {
  image.resize(std::max(plan.old_size, plan.new_size));
  for (const Change& change : plan.changes) {
    const Bytes& bytes = is_new ? change.new_bytes : change.old_bytes;
    if (change.offset > image.size()) continue;
    std::copy_n(bytes.begin(),
                std::min<uint64_t>(bytes.size(), image.size() - change.offset),
                image.begin() + static_cast<ptrdiff_t>(change.offset));
  }
  image.resize(is_new ? plan.new_size : plan.old_size);
  return image;
}

Bytes ImageBefore(uint8_t choice, const Plan& plan) {
  Bytes image = OldImage();
  if ((choice & kImageIsNew) != 0) return With(image, plan, true);
  if ((choice & kImageIsBetween) == 0) return image;
  const Bytes after = With(image, plan, true);
  image.resize(std::max(image.size(), after.size()));
  for (size_t i = 0; i < after.size(); i += 2 * kSector) {
    std::copy_n(after.begin() + static_cast<ptrdiff_t>(i),
                std::min<size_t>(kSector, after.size() - i),
                image.begin() + static_cast<ptrdiff_t>(i));
  }
  return image;
}

// What `act` says of the image it leaves: new, old, or nothing if it failed.
void CheckOutcome(const SimulatedDisk& disk, const Bytes& before,
                  const SimulatedDisk::Names& files, const Plan* plan,
                  const absl::Status& status, ImageState image) {
  if (!status.ok()) {
    FUZZ_CHECK(!status.message().empty());
    FUZZ_CHECK(disk.image_contents() == before);
    // Of a journal that was never whole nothing is left to undo.
    FUZZ_CHECK(disk.files() == files || absl::IsNotFound(status));
    return;
  }
  FUZZ_CHECK(image != ImageState::kPending);
  FUZZ_CHECK(!disk.files().contains(kJournal));
  if (plan == nullptr || disk.image_contents() == before) return;
  FUZZ_CHECK(disk.image_contents() ==
             With(before, *plan, image == ImageState::kNew));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > size_t{64} << 10) return 0;
  const uint8_t choice = data[0];
  const std::span<const uint8_t> rest(data + 2, size - 2);
  Plan plan = MakePlan(data[1], rest);
  const bool verbatim = (choice & kVerbatim) != 0;
  const Bytes before = ImageBefore(choice, plan);
  if (verbatim) {
    const auto bytes = std::as_bytes(rest);
    plan.journal.assign(bytes.begin(), bytes.end());
  } else {
    for (const uint8_t how : rest.last(rest.size() % kEntryBytes)) {
      DamageFront(how, plan.journal);
    }
    if ((choice & kCutOff) != 0) {
      plan.journal.resize(plan.journal.size() - plan.journal.size() % 97);
    }
  }
  const SimulatedDisk::Names files = {
      {(choice & kNamedUndo) != 0 ? kUndo : kJournal, plan.journal}};
  SimulatedDisk disk(before, files);
  const JournalPlace place{disk.directory(), kJournal, kUndo};
  ImageIdentity identity = kIdentity;
  if ((choice & kOtherIdentity) != 0) identity.inode = 12;
  const RecoverOptions options = {.accept_moved_image =
                                      (choice & kAcceptMoved) != 0};
  const Plan* const known = verbatim ? nullptr : &plan;
  InspectJournal(disk.directory(), kJournal).status().IgnoreError();
  InspectJournal(disk.directory(), kUndo).status().IgnoreError();
  if ((choice & kUndoIt) != 0) {
    const auto undone = Undo(disk.image(), identity, place, options);
    CheckOutcome(disk, before, files, known, undone.status(), ImageState::kOld);
    if (undone.ok()) {
      // An undo that was done before is not done again.
      FUZZ_CHECK(disk.image_contents() == before ||
                 undone->image_size == disk.image_contents().size());
    }
    return 0;
  }
  const auto recovered = Recover(disk.image(), identity, place, options);
  CheckOutcome(disk, before, files, known, recovered.status(),
               recovered.ok() ? recovered->image : ImageState::kOld);
  if (!recovered.ok()) return 0;
  const auto again = Recover(disk.image(), identity, place, options);
  FUZZ_CHECK(again.ok() && again->found == JournalState::kNone);
  return 0;
}
