#include "engine/codec/luks_keys.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "engine/codec/luks.h"
#include "engine/codec/luks_create.h"
#include "engine/codec/test_luks_area.h"
#include "engine/format/byte_order.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using ::testing::ElementsAre;

using Bytes = std::vector<std::byte>;

constexpr uint64_t kSlots = 208;

Bytes MadeArea() {
  return CreateLuks(QuickLuks(), Secret::FromText("first"))->area;
}

// The slot a passphrase opens, or -1.
int OpenedBy(const Bytes& area, std::string_view passphrase) {
  const auto opened = OpenLuks(AreaOf(area), Secret::FromText(passphrase));
  return opened.ok() ? static_cast<int>(opened->slot) : -1;
}

void Apply(const LuksWrite& write, size_t bytes, Bytes& area) {
  ASSERT_LE(write.offset + write.bytes.size(), area.size());
  std::copy_n(write.bytes.begin(), bytes,
              area.begin() + static_cast<ptrdiff_t>(write.offset));
}

void Apply(const LuksChange& change, Bytes& area) {
  for (const LuksWrite& write : change.writes) {
    Apply(write, write.bytes.size(), area);
  }
}

absl::StatusOr<LuksChange> Add(const Bytes& area, std::string_view known,
                               std::string_view added,
                               std::optional<size_t> slot = std::nullopt) {
  LuksAddOptions options;
  options.slot = slot;
  options.derivation.iterations = 1000;
  return AddLuksKey(AreaOf(area), Secret::FromText(known),
                    Secret::FromText(added), options);
}

// An area that "first" opens in slot 0 and "second" in slots 1 and 6.
Bytes AreaWithThreeKeys() {
  Bytes area = MadeArea();
  Apply(*Add(area, "first", "second"), area);
  Apply(*Add(area, "second", "second", 6), area);
  return area;
}

// Calls `look` with what `area` is after each crash: after some of the writes
// and, of the next, its head, its tail, or neither.
void AfterEveryCrash(const Bytes& area, const LuksChange& change,
                     const std::function<void(const Bytes&)>& look) {
  Bytes so_far = area;
  for (const LuksWrite& write : change.writes) {
    look(so_far);
    // Sectors are written wholly or not at all.
    const uint64_t half = write.bytes.size() / 2;
    const uint64_t edge = (write.offset + half) / 512 * 512;
    Bytes whole = so_far;
    Apply(write, write.bytes.size(), whole);
    if (edge > write.offset) {
      const auto at = static_cast<ptrdiff_t>(edge);
      Bytes head = whole;
      std::copy(so_far.begin() + at, so_far.end(), head.begin() + at);
      look(head);
      Bytes tail = so_far;
      std::copy(whole.begin() + at, whole.end(), tail.begin() + at);
      look(tail);
    }
    so_far = whole;
  }
  look(so_far);
}

TEST(LuksKeysTest, AddedPassphraseOpensTheSame) {
  Bytes area = MadeArea();
  const auto change = Add(area, "first", "second");
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_THAT(change->slots, ElementsAre(1));
  Apply(*change, area);
  EXPECT_EQ(OpenedBy(area, "first"), 0);
  EXPECT_EQ(OpenedBy(area, "second"), 1);
  const auto a = UnlockLuks(AreaOf(area), Secret::FromText("first"));
  const auto b = UnlockLuks(AreaOf(area), Secret::FromText("second"));
  EXPECT_TRUE(std::equal(a->master_key.bytes().begin(),
                         a->master_key.bytes().end(),
                         b->master_key.bytes().begin()));
  EXPECT_NE(a->header.slots[0].salt, a->header.slots[1].salt);
}

TEST(LuksKeysTest, AllEightSlotsCanBeHad) {
  Bytes area = MadeArea();
  for (size_t slot = 1; slot < kLuksKeySlots; ++slot) {
    const std::string passphrase = "number " + std::to_string(slot);
    Apply(*Add(area, "first", passphrase), area);
    EXPECT_EQ(OpenedBy(area, passphrase), static_cast<int>(slot));
  }
  EXPECT_EQ(Add(area, "first", "one more").status().code(),
            absl::StatusCode::kResourceExhausted);
  for (uint64_t slot = 0; slot < kLuksKeySlots; ++slot) {
    EXPECT_EQ(LuksSlotIssues(*ReadLuksHeader(AreaOf(area)), slot, area.size()),
              0u);
  }
}

TEST(LuksKeysTest, AddingRefuses) {
  Bytes area = MadeArea();
  EXPECT_EQ(Add(area, "wrong", "second").status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Add(area, "first", "").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Add(area, "first", "second", 0).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Add(area, "first", "second", 8).status().code(),
            absl::StatusCode::kInvalidArgument);
  // Slot 3's key material would overwrite that of slot 0.
  StoreBe32(&area[kSlots + 3 * kLuksKeySlotSize + 40], 8);
  EXPECT_EQ(Add(area, "first", "second", 3).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(LuksKeysTest, DamagedSlotsAreNotTakenForFree) {
  Bytes area = MadeArea();
  StoreBe32(&area[kSlots + 1 * kLuksKeySlotSize], 7);
  StoreBe32(&area[kSlots + 2 * kLuksKeySlotSize + 40], 0x7fffffff);
  EXPECT_THAT(Add(area, "first", "second")->slots, ElementsAre(3));
}

// Slot 6 is the one whose entry lies in two sectors.
TEST(LuksKeysTest, AddingSurvivesEveryCrash) {
  const Bytes area = MadeArea();
  for (size_t slot : {1, 6, 7}) {
    const auto change = Add(area, "first", "second", slot);
    ASSERT_TRUE(change.ok());
    AfterEveryCrash(area, *change, [&](const Bytes& crashed) {
      EXPECT_EQ(OpenedBy(crashed, "first"), 0);
      const auto header = ReadLuksHeader(AreaOf(crashed));
      ASSERT_TRUE(header.ok());
      if (header->slots[slot].active()) {
        EXPECT_EQ(OpenedBy(crashed, "second"), static_cast<int>(slot));
      }
    });
  }
}

TEST(LuksKeysTest, RemovedSlotLeavesNothing) {
  Bytes area = AreaWithThreeKeys();
  const Bytes before = area;
  const auto change = RemoveLuksSlot(AreaOf(area), 0);
  ASSERT_TRUE(change.ok()) << change.status();
  Apply(*change, area);
  EXPECT_EQ(OpenedBy(area, "first"), -1);
  EXPECT_EQ(OpenedBy(area, "second"), 1);
  const auto header = ReadLuksHeader(AreaOf(area));
  EXPECT_EQ(header->slots[0].state, kLuksSlotInactive);
  EXPECT_EQ(header->slots[0].iterations, 0u);
  EXPECT_EQ(header->slots[0].salt, decltype(header->slots[0].salt){});
  // Even with its entry back it does not open; all its material is new.
  std::copy_n(before.begin() + kSlots, kLuksKeySlotSize, area.begin() + kSlots);
  EXPECT_EQ(OpenedBy(area, "first"), -1);
  for (size_t sector = 8; sector < 8 + 500; ++sector) {
    const auto at = static_cast<ptrdiff_t>(sector * 512);
    EXPECT_FALSE(std::equal(area.begin() + at, area.begin() + at + 512,
                            before.begin() + at))
        << sector;
  }
  // The freed slot can be had again.
  Apply(*RemoveLuksSlot(AreaOf(area), 0), area);
  EXPECT_THAT(Add(area, "second", "third")->slots, ElementsAre(0));
}

TEST(LuksKeysTest, RemovingByPassphraseTakesAllItOpens) {
  Bytes area = AreaWithThreeKeys();
  const auto change =
      RemoveLuksPassphrase(AreaOf(area), Secret::FromText("second"));
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_THAT(change->slots, ElementsAre(1, 6));
  Apply(*change, area);
  EXPECT_EQ(OpenedBy(area, "second"), -1);
  EXPECT_EQ(OpenedBy(area, "first"), 0);
  EXPECT_EQ(RemoveLuksPassphrase(AreaOf(area), Secret::FromText("second"))
                .status()
                .code(),
            absl::StatusCode::kPermissionDenied);
}

// One that could not be tried may be opened by the same passphrase.
TEST(LuksKeysTest, RemovingByPassphraseNeedsAllSlotsTried) {
  Bytes area = AreaWithThreeKeys();
  StoreBe32(&area[kSlots + 6 * kLuksKeySlotSize + 44], 3);  // its stripes
  EXPECT_EQ(RemoveLuksPassphrase(AreaOf(area), Secret::FromText("second"))
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

// Each slot takes 3000, as in LuksTest.TooMuchWorkIsNotDone.
TEST(LuksKeysTest, WorkIsThatOfAllSlotsTogether) {
  const Bytes area = AreaWithThreeKeys();
  const Secret second = Secret::FromText("second");
  EXPECT_TRUE(OpenLuks(AreaOf(area), second, {6000}).ok());
  EXPECT_FALSE(OpenLuks(AreaOf(area), second, {5999}).ok());
}

TEST(LuksKeysTest, RemovingSurvivesEveryCrash) {
  const Bytes area = AreaWithThreeKeys();
  const auto change =
      RemoveLuksPassphrase(AreaOf(area), Secret::FromText("second"));
  ASSERT_TRUE(change.ok());
  AfterEveryCrash(area, *change, [&](const Bytes& crashed) {
    EXPECT_EQ(OpenedBy(crashed, "first"), 0);
    const auto header = ReadLuksHeader(AreaOf(crashed));
    ASSERT_TRUE(header.ok());
    const bool removed =
        !header->slots[1].active() && !header->slots[6].active();
    EXPECT_EQ(OpenedBy(crashed, "second") == -1, removed);
  });
}

TEST(LuksKeysTest, LastKeyStaysUnlessTold) {
  Bytes area = MadeArea();
  const auto passphrase = Secret::FromText("first");
  EXPECT_EQ(RemoveLuksSlot(AreaOf(area), 0).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(RemoveLuksPassphrase(AreaOf(area), passphrase).status().code(),
            absl::StatusCode::kFailedPrecondition);
  // Another that is active and cannot open does not count.
  Bytes with_damaged = area;
  StoreBe32(&with_damaged[kSlots + kLuksKeySlotSize], kLuksSlotActive);
  EXPECT_EQ(RemoveLuksSlot(AreaOf(with_damaged), 0).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const auto change = RemoveLuksSlot(AreaOf(area), 0, LastKey::kRemove);
  ASSERT_TRUE(change.ok());
  Apply(*change, area);
  EXPECT_EQ(OpenLuks(AreaOf(area), passphrase).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(LuksKeysTest, RemovingRefuses) {
  Bytes area = AreaWithThreeKeys();
  EXPECT_EQ(RemoveLuksSlot(AreaOf(area), 8).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RemoveLuksSlot(AreaOf(area), 2).status().code(),
            absl::StatusCode::kNotFound);
  // Overwriting slot 1's key material would hit that of slot 0.
  StoreBe32(&area[kSlots + kLuksKeySlotSize + 40], 8);
  EXPECT_EQ(RemoveLuksSlot(AreaOf(area), 1).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace qcow2
