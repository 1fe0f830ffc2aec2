#include "repair/journal/journal_format.h"

#include <cstddef>
#include <span>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/storage/testing.h"
#include "gtest/gtest.h"

namespace qcow2::repair {
namespace {

const JournalHeader kHeader = {
    .identity = {.device = 0x0102, .inode = 0x0304, .is_block_device = true},
    .old_size = 0x0506,
    .new_size = 0x0708,
    .keep_undo = true};

// Where docs/journal.md says.
TEST(JournalFormatTest, Header) {
  const EncodedJournalHeader bytes = EncodeJournalHeader(kHeader);
  EXPECT_EQ(LoadBe64(&bytes[0]), LoadBe64(Bytes("QFSCKJNL").data()));
  EXPECT_EQ(LoadBe32(&bytes[8]), 1u);
  EXPECT_EQ(LoadBe32(&bytes[12]), 3u);
  EXPECT_EQ(LoadBe64(&bytes[16]), 0x0102u);
  EXPECT_EQ(LoadBe64(&bytes[24]), 0x0304u);
  EXPECT_EQ(LoadBe64(&bytes[32]), 0x0506u);
  EXPECT_EQ(LoadBe64(&bytes[40]), 0x0708u);
  JournalHeader decoded;
  EXPECT_EQ(DecodeJournalHeader(bytes, decoded), HeaderVerdict::kGood);
  EXPECT_EQ(decoded, kHeader);
}

TEST(JournalFormatTest, AHeaderCutShortIsTorn) {
  const EncodedJournalHeader bytes = EncodeJournalHeader(kHeader);
  JournalHeader decoded;
  for (size_t length = 0; length < bytes.size(); ++length) {
    std::vector<std::byte> torn(bytes.begin(),
                                bytes.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(DecodeJournalHeader(torn, decoded), HeaderVerdict::kTorn);
    torn.resize(bytes.size());
    EXPECT_EQ(DecodeJournalHeader(torn, decoded), HeaderVerdict::kTorn);
  }
  EXPECT_EQ(DecodeJournalHeader(Bytes("QFI\xfb"), decoded),
            HeaderVerdict::kForeign);
}

TEST(JournalFormatTest, StateRecordsAreNotTakenForEachOther) {
  const JournalSeal seal = {.body_length = 1, .entries = 2, .checksum = 3};
  uint64_t block = 0;
  for (const JournalState state : kRecordedStates) {
    EXPECT_EQ(StateRecordOffset(state), ++block * 4096);
    const EncodedStateRecord bytes = EncodeStateRecord(state, seal);
    EXPECT_EQ(LoadBe64(&bytes[0]), LoadBe64(Bytes("QFSCKSTA").data()));
    EXPECT_EQ(LoadBe32(&bytes[8]), block);
    EXPECT_EQ(LoadBe64(&bytes[16]), 1u);
    EXPECT_EQ(LoadBe64(&bytes[24]), 2u);
    EXPECT_EQ(LoadBe32(&bytes[32]), 3u);
    for (const JournalState other : kRecordedStates) {
      EXPECT_EQ(DecodeStateRecord(bytes, other).has_value(), other == state);
    }
    EXPECT_EQ(DecodeStateRecord(bytes, state), seal);
  }
}

TEST(JournalFormatTest, Entries) {
  const EntryHeader record = {.kind = EntryHeader::Kind::kRecord,
                              .offset = 0x0102,
                              .old_length = 3,
                              .new_length = 4,
                              .checksum = 5};
  const EncodedEntryHeader bytes = EncodeEntryHeader(record);
  EXPECT_EQ(LoadBe32(&bytes[0]), LoadBe32(Bytes("RECD").data()));
  EXPECT_EQ(LoadBe64(&bytes[8]), 0x0102u);
  EXPECT_EQ(LoadBe32(&bytes[16]), 3u);
  EXPECT_EQ(LoadBe32(&bytes[20]), 4u);
  EXPECT_EQ(LoadBe32(&bytes[24]), 5u);
  EXPECT_EQ(DecodeEntryHeader(bytes), record);
  EXPECT_EQ(record.length(), 4u);
  EXPECT_EQ(record.payload_length(), 7u);

  EntryHeader witness = record;
  witness.kind = EntryHeader::Kind::kWitness;
  const EncodedEntryHeader other = EncodeEntryHeader(witness);
  EXPECT_EQ(LoadBe32(&other[0]), LoadBe32(Bytes("WITN").data()));
  EXPECT_EQ(DecodeEntryHeader(other), witness);
  EXPECT_EQ(witness.payload_length(), 0u);
}

TEST(JournalFormatTest, NoEntryIsLongerThanAllowed) {
  EntryHeader entry = {.new_length = kRecordLengthMax};
  EXPECT_TRUE(DecodeEntryHeader(EncodeEntryHeader(entry)).has_value());
  ++entry.new_length;
  EXPECT_FALSE(DecodeEntryHeader(EncodeEntryHeader(entry)).has_value());
  entry = {.kind = EntryHeader::Kind::kWitness,
           .old_length = kWitnessLengthMax,
           .new_length = kWitnessLengthMax};
  EXPECT_TRUE(DecodeEntryHeader(EncodeEntryHeader(entry)).has_value());
  ++entry.old_length;
  EXPECT_FALSE(DecodeEntryHeader(EncodeEntryHeader(entry)).has_value());
}

}  // namespace
}  // namespace qcow2::repair
