#include "repair/journal/scenarios.h"

#include <memory>
#include <random>
#include <utility>

#include "engine/format/byte_order.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/overlay_file.h"
#include "engine/storage/testing.h"
#include "gtest/gtest.h"

namespace qcow2::repair {
namespace {

using Contents = SimulatedDisk::Contents;

Contents RandomBytes(size_t length, unsigned seed) {
  std::mt19937_64 random(seed);
  Contents bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// An image of random bytes with as much of a header as the journal looks at.
Contents Image(size_t length, uint32_t version) {
  Contents image = RandomBytes(length, version);
  StoreBe32(&image[0], 0x514649fb);
  StoreBe32(&image[4], version);
  image[79] = std::byte{0};
  return image;
}

void Write(File& file, uint64_t offset, const Contents& bytes) {
  ASSERT_TRUE(file.Pwrite(offset, bytes).ok());
}

// Bytes here and there, the header among them.
void ChangeHereAndThere(File& view) {
  Write(view, 40, RandomBytes(30, 1));
  Write(view, 700, RandomBytes(100, 2));
  Write(view, 8000, RandomBytes(3000, 3));
  Write(view, 15000, RandomBytes(8, 4));
}

void ChangeAndGrow(File& view) {
  ChangeHereAndThere(view);
  Write(view, 26000, RandomBytes(1500, 5));
  ASSERT_TRUE(view.Truncate(40000).ok());
}

Scenario Basic(std::string name) {
  return {.name = std::move(name),
          .old_image = Image(20000, 3),
          .plan = ChangeHereAndThere,
          .witnesses = {{512, 12000}, {16384, 100000}},
          .keep_undo = true,
          .files = {}};
}

}  // namespace

std::vector<Scenario> Scenarios() {
  std::vector<Scenario> all;
  all.push_back(Basic("version3"));

  all.push_back(Basic("version3_grown"));
  all.back().plan = ChangeAndGrow;

  all.push_back(Basic("version2_grown"));
  all.back().old_image = Image(20000, 2);
  all.back().plan = ChangeAndGrow;

  all.push_back(Basic("shrunk"));
  all.back().plan = [](File& view) {
    ChangeHereAndThere(view);
    ASSERT_TRUE(view.Truncate(11111).ok());
  };

  all.push_back(Basic("header_made_valid"));
  StoreBe32(all.back().old_image.data(), 0xdeadbeef);
  all.back().plan = [](File& view) {
    ChangeHereAndThere(view);
    Write(view, 0, Bytes("QFI\xfb"));
  };

  all.push_back(Basic("header_unchanged"));
  all.back().plan = [](File& view) { Write(view, 4090, RandomBytes(10, 1)); };

  all.push_back(Basic("corrupt_bit_cleared"));
  all.back().old_image[79] = std::byte{3};
  all.back().plan = [](File& view) {
    Write(view, 79, {std::byte{0}});
    Write(view, 9000, RandomBytes(4096, 1));
  };

  all.push_back(Basic("tiny_grown"));
  all.back().old_image = Image(100, 3);
  all.back().plan = [](File& view) { Write(view, 90, RandomBytes(600, 1)); };

  all.push_back(Basic("made_of_nothing"));
  all.back().old_image = {};
  all.back().plan = [](File& view) { Write(view, 0, Image(1000, 3)); };

  all.push_back(Basic("older_undo_file"));
  all.back().files = {{"image.fsck-undo", Bytes("older")},
                      {"image.fsck-undo.1", Bytes("oldest")}};

  all.push_back(Basic("without_undo_file"));
  all.back().plan = ChangeAndGrow;
  all.back().keep_undo = false;
  return all;
}

JournalPlace PlaceOn(SimulatedDisk& disk) {
  return {.directory = disk.directory(),
          .journal_name = DefaultJournalName("image"),
          .undo_name = DefaultUndoName("image")};
}

Contents NewImage(const Scenario& scenario) {
  const MemoryFile image(scenario.old_image);
  const auto view = OverlayFile::Create(image);
  scenario.plan(**view);
  Contents contents(*(*view)->Size());
  EXPECT_EQ(*(*view)->Pread(0, contents), contents.size());
  return contents;
}

CommitResult CommitScenario(const Scenario& scenario, SimulatedDisk& disk,
                            const CallFault* fault) {
  const auto view = OverlayFile::Create(disk.image());
  scenario.plan(**view);
  if (fault != nullptr) disk.FailCalls(*fault);
  return Commit({.image = disk.image(),
                 .identity = kScenarioIdentity,
                 .planned = **view,
                 .witnesses = scenario.witnesses,
                 .place = PlaceOn(disk),
                 .keep_undo = scenario.keep_undo});
}

}  // namespace qcow2::repair
