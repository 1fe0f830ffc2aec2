// Proving a plan: every kind of change to a small image that a plan might
// propose, and whether it may be committed.
#include "repair/proof.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checker/check.h"
#include "checker/test_image.h"
#include "engine/codec/deflate.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/overlay_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "repair/metadata_edit.h"
#include "repair/plan.h"
#include "repair/testing.h"

namespace qcow2::repair {
namespace {

using checker::TestImage;
using ::testing::HasSubstr;
using Kind = ProofFailure::Kind;

// An image, a view of it that the test changes, and the proof of that.
class Proposal {
 public:
  explicit Proposal(TestImage& image) : Proposal(image.file(), image) {}
  Proposal(const File& file, const TestImage& image)
      : cluster_bits_(image.header.cluster_bits), file_(file) {
    view_ = *OverlayFile::Create(file_);
  }

  OverlayFile& view() { return *view_; }
  Plan& plan() { return planned_.plan; }

  uint64_t OffsetOf(uint64_t cluster) const { return cluster << cluster_bits_; }
  void Write(uint64_t offset, std::span<const std::byte> bytes) {
    ASSERT_TRUE(view_->Pwrite(offset, bytes).ok());
  }
  void WriteBe64(uint64_t offset, uint64_t value) {
    ASSERT_TRUE(repair::WriteBe64(*view_, offset, value).ok());
  }
  void SetL1(uint64_t index, uint64_t word) {
    WriteBe64(OffsetOf(kL1) + 8 * index, word);
  }
  void SetL2(uint64_t index, uint64_t word) {
    WriteBe64(OffsetOf(kL2) + 8 * index, word);
  }
  void Fill(uint64_t cluster, char byte) {
    Write(
        OffsetOf(cluster),
        std::vector<std::byte>(uint64_t{1} << cluster_bits_, std::byte(byte)));
  }
  void Copy(uint64_t from, uint64_t to) {
    Write(OffsetOf(to),
          BytesAt(*view_, OffsetOf(from), uint64_t{1} << cluster_bits_));
  }
  // In a block of 16-bit counts.
  void SetCount(uint64_t cluster, uint16_t count) {
    Write(OffsetOf(kRefcountBlock) + 2 * cluster,
          std::array{std::byte(count >> 8), std::byte(count & 0xff)});
  }
  // Copies a cluster that has one owner to kFree, and moves its count.
  void Move(uint64_t cluster) {
    Copy(cluster, kFree);
    SetCount(cluster, 0);
    SetCount(kFree, 1);
  }
  void NameLost(uint64_t offset, uint64_t length,
                const std::string& snapshot = "") {
    planned_.plan.AddGuestChange(
        {{offset, length, snapshot, false}, GuestChange::Kind::kLost, "test"});
  }

  ProofResult Run(const ProofOptions& options = {}) {
    checker::CheckOptions check;
    check.max_problems = 0;
    check.jobs = 1;
    check.graph = &planned_.graph_before;
    planned_.before = checker::CheckImage(file_, "image", check);
    check.graph = &planned_.graph_after;
    planned_.after = checker::CheckImage(*view_, "image", check);
    return Prove(file_, *view_, planned_, options);
  }
  // The failures of one kind, a line each.
  std::string FailuresOf(Kind kind) {
    std::string text;
    for (const ProofFailure& failure : Run().failures) {
      if (failure.kind == kind) text += failure.message + "\n";
    }
    return text;
  }
  std::string GuestFailures() { return FailuresOf(Kind::kGuestData); }

 private:
  const uint32_t cluster_bits_;
  const File& file_;
  std::unique_ptr<OverlayFile> view_;
  PlannedRepair planned_;
};

// A TestImage whose data clusters hold 'a', 'b' and 'c'.
std::unique_ptr<TestImage> Lettered(uint32_t version = 3,
                                    uint32_t cluster_bits = 12) {
  auto image = std::make_unique<TestImage>(version, cluster_bits);
  for (uint64_t i = 0; i < 3; ++i) {
    image->Fill(kData + i, static_cast<char>('a' + i));
  }
  return image;
}

// Adds snapshot "s" with an L1 table of its own in cluster 8 that names the L2
// table in cluster 9; both get `entries` words. The table is in cluster 10.
std::unique_ptr<TestImage> WithSnapshot(const std::vector<uint64_t>& l2_words) {
  auto image = Lettered();
  image->WriteBe64(image->OffsetOf(8), image->OffsetOf(9));
  for (size_t i = 0; i < l2_words.size(); ++i) {
    image->WriteBe64(image->OffsetOf(9) + 8 * i, l2_words[i]);
  }
  image->PutSnapshots(10, {checker::SnapshotOf(image->header.size,
                                               image->OffsetOf(8), "1", "s")});
  for (const uint64_t cluster : {8, 9, 10}) image->SetCount(cluster, 1);
  return image;
}

TEST(ProofTest, AnUntouchedViewIsProven) {
  auto image = Lettered();
  EXPECT_TRUE(Proposal(*image).Run().ok);
}

TEST(ProofTest, ARefcountMendedIsProvenByMapping) {
  auto image = Lettered();
  image->SetCount(kData, 7);
  Proposal proposal(*image);
  proposal.SetCount(kData, 1);
  const ProofResult result = proposal.Run();
  EXPECT_TRUE(result.ok);
  EXPECT_EQ(result.statistics.guest_bytes_by_content, 0u);
  EXPECT_EQ(result.statistics.l2_tables_compared, 0u);
  EXPECT_EQ(result.statistics.guest_bytes_by_mapping, image->header.size);
}

TEST(ProofTest, AnEntryThatIsClearedFails) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.SetL2(1, 0);
  EXPECT_EQ(proposal.GuestFailures(),
            "4096 bytes of the active disk at offset 4096 would read "
            "otherwise: the host cluster at 0x6000 before, zeros after\n");
}

TEST(ProofTest, ARangeThePlanNamesMayReadOtherwise) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.SetL2(1, 0);
  proposal.SetCount(kData + 1, 0);
  proposal.NameLost(4096, 4096);
  const ProofResult result = proposal.Run();
  EXPECT_TRUE(result.ok) << result.failures.front().message;
}

TEST(ProofTest, OnlyWhatIsNamedMayReadOtherwise) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.SetL2(1, 0);
  proposal.NameLost(4096, 4095);
  proposal.NameLost(4096, 4096, "another");
  EXPECT_EQ(proposal.GuestFailures(),
            "1 bytes of the active disk at offset 8191 would read otherwise: "
            "the host cluster at 0x6000 before, zeros after\n");
}

TEST(ProofTest, AClusterMovedWithItsContentIsProven) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.Move(kData);
  proposal.SetL2(0, proposal.OffsetOf(kFree) | kCopiedFlag);
  const ProofResult result = proposal.Run();
  EXPECT_TRUE(result.ok);
  EXPECT_EQ(result.statistics.guest_bytes_by_content, 4096u);
}

TEST(ProofTest, AClusterMovedWithoutItsContentFails) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.SetL2(0, proposal.OffsetOf(kFree));
  EXPECT_NE(proposal.GuestFailures(), "");
  proposal.SetL2(0, proposal.OffsetOf(kData + 1));
  EXPECT_NE(proposal.GuestFailures(), "");
}

TEST(ProofTest, GuestDataOverwrittenInPlaceFails) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.Write(proposal.OffsetOf(kData + 2) + 4095,
                 std::array<std::byte, 1>{std::byte{'x'}});
  EXPECT_EQ(proposal.GuestFailures(),
            "4096 bytes of the active disk at offset 8192 would read "
            "otherwise: the host cluster at 0x7000 before, the host cluster at "
            "0x7000 after\n");
}

TEST(ProofTest, GuestDataWrittenAsItWasIsProven) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.Fill(kData, 'a');
  EXPECT_TRUE(proposal.Run().ok);
}

TEST(ProofTest, WhatLiesPastTheDisksEndIsNotRead) {
  auto image = Lettered();
  image->header.size = 2 * 4096 + 512;
  Proposal proposal(*image);
  proposal.Write(proposal.OffsetOf(kData + 2),
                 std::vector<std::byte>(4096, std::byte{'x'}));
  EXPECT_EQ(proposal.GuestFailures(),
            "512 bytes of the active disk at offset 8192 would read otherwise: "
            "the host cluster at 0x7000 before, the host cluster at 0x7000 "
            "after\n");
}

TEST(ProofTest, ATableMovedIsProven) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.Move(kL2);
  proposal.SetL1(0, proposal.OffsetOf(kFree) | kCopiedFlag);
  EXPECT_TRUE(proposal.Run().ok);
}

TEST(ProofTest, ATableLostOrUnreachableFails) {
  auto image = Lettered();
  const std::string three =
      "12288 bytes of the active disk at offset 0 would read otherwise: the "
      "host cluster at 0x5000 before, ";
  {
    Proposal proposal(*image);
    proposal.SetL1(0, 0);
    EXPECT_EQ(proposal.GuestFailures(), three + "zeros after\n");
  }
  Proposal proposal(*image);
  proposal.SetL1(0, proposal.OffsetOf(kL2) + 512);
  EXPECT_EQ(proposal.GuestFailures(),
            three + "nothing that can be read after\n");
}

TEST(ProofTest, AnL1TableMovedIsComparedWhole) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.Copy(kL1, kFree);
  Header header = image->header;
  header.l1_table_offset = HostOffset(proposal.OffsetOf(kFree));
  proposal.Write(0, header.Encode());
  EXPECT_EQ(proposal.GuestFailures(), "");
  proposal.Copy(kData, kFree);  // any other bytes
  EXPECT_NE(proposal.GuestFailures(), "");
}

TEST(ProofTest, WhatCouldNotBeReadMayBecomeAnything) {
  auto image = Lettered();
  image->SetL2(0, image->OffsetOf(kData) + 512);
  Proposal proposal(*image);
  proposal.SetL2(0, proposal.OffsetOf(kData) | kCopiedFlag);
  EXPECT_TRUE(proposal.Run().ok);
}

TEST(ProofTest, ZeroesWrittenAsAFlagAreProven) {
  auto image = Lettered();
  image->Fill(kData, 0);
  Proposal proposal(*image);
  proposal.SetL2(0, kZeroFlag);
  EXPECT_EQ(proposal.GuestFailures(), "");
}

TEST(ProofTest, WithABackingFileUnallocatedIsNotZeros) {
  auto image = Lettered();
  image->SetL2(0, kZeroFlag);
  const auto clear = [&] {
    Proposal proposal(*image);
    proposal.SetL2(0, 0);
    return proposal.GuestFailures();
  };
  EXPECT_EQ(clear(), "");
  image->WriteText(1024, "base");
  image->header.backing_file_offset = HostOffset(1024);
  image->header.backing_file_size = 4;
  EXPECT_EQ(clear(),
            "4096 bytes of the active disk at offset 0 would read otherwise: "
            "zeros before, the backing file after\n");
}

TEST(ProofTest, SnapshotsAreReadThroughTheirOwnTables) {
  auto image = WithSnapshot({kZeroFlag});
  Proposal proposal(*image);
  proposal.WriteBe64(proposal.OffsetOf(9), proposal.OffsetOf(kData));
  const std::string failure =
      "4096 bytes of snapshot \"s\" at offset 0 would read otherwise: zeros "
      "before, the host cluster at 0x5000 after\n";
  EXPECT_EQ(proposal.GuestFailures(), failure);
  proposal.NameLost(0, 4096);
  EXPECT_EQ(proposal.GuestFailures(), failure);
  proposal.NameLost(0, 4096, "s");
  EXPECT_EQ(proposal.GuestFailures(), "");
}

TEST(ProofTest, VmStateIsReadAsWell) {
  auto image = WithSnapshot({0, 0, 0, kZeroFlag});
  Proposal proposal(*image);
  proposal.WriteBe64(proposal.OffsetOf(9) + 24, proposal.OffsetOf(kData));
  EXPECT_EQ(proposal.GuestFailures(), "");
  // The window of the second L1 entry begins past the end of the disk.
  auto with_state = WithSnapshot({});
  with_state->Write(with_state->OffsetOf(10) + 8,
                    std::array<std::byte, 4>{std::byte{0}, std::byte{0},
                                             std::byte{0}, std::byte{2}});
  with_state->WriteBe64(with_state->OffsetOf(8) + 8, with_state->OffsetOf(kL2));
  Proposal cleared(*with_state);
  cleared.WriteBe64(cleared.OffsetOf(8) + 8, 0);
  EXPECT_EQ(cleared.GuestFailures(),
            "12288 bytes of snapshot \"s\" at offset 2097152 (VM state) would "
            "read otherwise: the host cluster at 0x5000 before, zeros after\n");
}

TEST(ProofTest, ASharedTableConcernsAllWhoReadThroughIt) {
  auto image = WithSnapshot({});
  image->WriteBe64(image->OffsetOf(8), image->OffsetOf(kL2));
  Proposal proposal(*image);
  proposal.SetL2(0, 0);
  proposal.NameLost(0, 4096);
  EXPECT_EQ(proposal.GuestFailures(),
            "4096 bytes of snapshot \"s\" at offset 0 would read otherwise: "
            "the host cluster at 0x5000 before, zeros after\n");
}

TEST(ProofTest, ASnapshotThatIsGoneFailsUnlessNamed) {
  auto image = WithSnapshot({kZeroFlag});
  Proposal proposal(*image);
  Header header = image->header;
  header.nb_snapshots = 0;
  proposal.Write(0, header.Encode());
  EXPECT_EQ(proposal.GuestFailures(), "snapshot \"s\" would be gone\n");
  proposal.NameLost(0, header.size, "s");
  EXPECT_EQ(proposal.GuestFailures(), "");
}

TEST(ProofTest, ASnapshotWhoseNameIsMendedIsTheSame) {
  auto image = WithSnapshot({kZeroFlag});
  Proposal proposal(*image);
  const std::string other = "2x";
  proposal.Write(proposal.OffsetOf(10) + 40 + 16, checker::BytesOf(other));
  EXPECT_EQ(proposal.GuestFailures(), "");
  proposal.WriteBe64(proposal.OffsetOf(9), proposal.OffsetOf(kData));
  EXPECT_NE(proposal.GuestFailures(), "");
  proposal.NameLost(0, 4096, "x");
  EXPECT_EQ(proposal.GuestFailures(), "");
}

// The image's first guest cluster holds 'z's, compressed, in kData.
std::unique_ptr<TestImage> Compressed() {
  auto image = Lettered();
  const std::vector<std::byte> data(4096, std::byte{'z'});
  image->Write(image->OffsetOf(kData),
               *CompressCluster(CompressionType::kDeflate, data));
  image->SetL2(0, CompressedWord(*image, image->OffsetOf(kData), 1));
  return image;
}

TEST(ProofTest, CompressedDataIsComparedDecompressed) {
  auto image = Compressed();
  Proposal proposal(*image);
  proposal.Copy(kData, kFree);
  proposal.SetL2(0, CompressedWord(*image, image->OffsetOf(kFree), 2));
  EXPECT_EQ(proposal.GuestFailures(), "");
  proposal.Fill(kFree, 'z');
  proposal.SetL2(0, proposal.OffsetOf(kFree));
  EXPECT_EQ(proposal.GuestFailures(), "");
  proposal.Fill(kFree, 'y');
  EXPECT_NE(proposal.GuestFailures(), "");
}

TEST(ProofTest, CompressedDataOverwrittenInPlaceFails) {
  auto image = Compressed();
  Proposal proposal(*image);
  proposal.Write(proposal.OffsetOf(kData) + 1024,
                 std::array<std::byte, 1>{std::byte{1}});
  EXPECT_EQ(proposal.GuestFailures(), "");
  proposal.Fill(kData, 'x');
  EXPECT_NE(proposal.GuestFailures(), "");
}

TEST(ProofTest, SubclustersAreComparedOneByOne) {
  auto image = Lettered(3, 14);
  image->header.incompatible_features |= kIncompatibleExtendedL2;
  const uint64_t table = image->OffsetOf(kL2);
  image->Fill(kL2, 0);
  image->WriteBe64(table, image->OffsetOf(kData) | kCopiedFlag);
  image->WriteBe64(table + 8, 0x0000000f'00000ff0);
  Proposal proposal(*image);
  proposal.WriteBe64(table + 8, 0x0000000f'00000bf0);
  EXPECT_EQ(proposal.GuestFailures(),
            "512 bytes of the active disk at offset 5120 would read otherwise: "
            "the host cluster at 0x14000 before, zeros after\n");
  // Zeros that need no word are zeros as well.
  proposal.WriteBe64(table + 8, 0x00000000'00000ff0);
  EXPECT_EQ(proposal.GuestFailures(), "");
}

TEST(ProofTest, EncryptedDataMayMoveOnlyWhereItsPlaceIsNotPartOfTheKey) {
  for (const uint32_t method : {kCryptAes, kCryptLuks}) {
    auto image = Lettered();
    image->header.crypt_method = method;
    Proposal proposal(*image);
    proposal.Copy(kData, kFree);
    proposal.SetL2(0, proposal.OffsetOf(kFree));
    EXPECT_EQ(proposal.GuestFailures().empty(), method == kCryptAes);
  }
}

TEST(ProofTest, AFileThatGrowsOverAPlaceAnEntryNamesFails) {
  auto image = Lettered();
  image->SetL2(0, image->OffsetOf(20));
  Proposal proposal(*image);
  ASSERT_TRUE(proposal.view().Truncate(proposal.OffsetOf(21)).ok());
  EXPECT_EQ(proposal.GuestFailures(), "");
  proposal.Fill(20, 'x');
  EXPECT_NE(proposal.GuestFailures(), "");
}

TEST(ProofTest, AFileThatGrowsOverAPlaceOfATableFails) {
  auto image = Lettered();
  image->SetL1(0, image->OffsetOf(20));
  Proposal proposal(*image);
  ASSERT_TRUE(proposal.view().Truncate(proposal.OffsetOf(21)).ok());
  EXPECT_EQ(proposal.GuestFailures(), "");
  proposal.WriteBe64(proposal.OffsetOf(20), proposal.OffsetOf(kData));
  EXPECT_NE(proposal.GuestFailures(), "");
}

TEST(ProofTest, ExternalDataStaysAtItsOffset) {
  auto image = Lettered();
  image->header.incompatible_features |= kIncompatibleDataFile;
  image->AddExtension(kExtensionDataFile, checker::BytesOf("data"));
  Proposal proposal(*image);
  proposal.SetL2(0, proposal.OffsetOf(kData + 1) | kCopiedFlag);
  EXPECT_NE(proposal.GuestFailures(), "");
}

TEST(ProofTest, CountedClustersWithoutAnOwnerAreNotOverwritten) {
  auto image = Lettered();
  image->SetCount(kFree, 1);
  Proposal proposal(*image);
  proposal.Fill(kFree, 'x');
  proposal.Fill(kFree + 1, 'x');
  EXPECT_EQ(proposal.FailuresOf(Kind::kEvidence),
            "host cluster 8 (offset 0x8000), which nothing refers to but is "
            "counted, would be overwritten\n");
}

TEST(ProofTest, NewDamageFails) {
  auto image = Lettered();
  image->SetCount(kFree, 1);
  Proposal proposal(*image);
  proposal.SetCount(kFree, 0);
  EXPECT_TRUE(proposal.Run().ok);
  // As many leaks as before, but another.
  proposal.SetCount(kFree + 1, 1);
  EXPECT_EQ(proposal.FailuresOf(Kind::kNewProblem),
            "new damage (cluster-leaked): host cluster 9 (offset 0x9000): "
            "refcount is 1, but nothing refers to it\n");
}

TEST(ProofTest, DamageBehindAMendedEntryIsNotNew) {
  auto image = Lettered();
  image->SetL1(0, image->OffsetOf(kL2) + 512);
  image->SetL2(0, image->OffsetOf(kData) + 1024);
  Proposal proposal(*image);
  proposal.SetL1(0, proposal.OffsetOf(kL2) | kCopiedFlag);
  const ProofResult result = proposal.Run();
  EXPECT_TRUE(result.ok) << result.failures.front().message;
}

TEST(ProofTest, DamageOfATableThatBecomesActiveIsNotNew) {
  auto image = WithSnapshot({});
  image->WriteBe64(image->OffsetOf(8), image->OffsetOf(kL2));
  image->SetL1(0, 512);
  image->SetL2(0, image->OffsetOf(kData) + 1024);
  Proposal proposal(*image);
  proposal.SetL1(0, proposal.OffsetOf(kL2));
  EXPECT_EQ(proposal.FailuresOf(Kind::kNewProblem).find("l2-entry-unaligned"),
            std::string::npos);
}

TEST(ProofTest, ATableFoundAgainMayBeMendedButSaysTheSame) {
  auto image = Lettered();
  image->SetL1(0, image->OffsetOf(kL2) + 512);
  image->SetL2(0, image->OffsetOf(kData) + 1024);
  Proposal proposal(*image);
  proposal.SetL1(0, proposal.OffsetOf(kL2));
  proposal.SetL2(0, proposal.OffsetOf(kData));
  EXPECT_EQ(proposal.FailuresOf(Kind::kEvidence), "");
  EXPECT_EQ(proposal.GuestFailures(), "");
  proposal.SetL2(1, 0);
  EXPECT_EQ(proposal.GuestFailures(),
            "4096 bytes of the active disk at offset 4096 would read "
            "otherwise: the host cluster at 0x6000 before, zeros after\n");
}

TEST(ProofTest, TheHeaderMayNotChangeWhatIsRead) {
  auto image = Lettered();
  const auto with = [&](const auto& change) {
    Proposal proposal(*image);
    Header header = image->header;
    change(header);
    proposal.Write(0, header.Encode());
    return proposal.GuestFailures();
  };
  EXPECT_EQ(with([](Header& header) { header.size += 512; }),
            "the virtual size would change\n");
  EXPECT_EQ(with([](Header& header) { header.crypt_method = kCryptAes; }),
            "the encryption method would change\n");
  EXPECT_EQ(with([](Header& header) { header.cluster_bits = 13; }),
            "the layout of the image would change\n");
  EXPECT_EQ(with([](Header& header) { header.refcount_order = 3; }), "");
}

// What the header names decides on what is read as well.
TEST(ProofTest, NamesInTheHeaderStay) {
  auto image = Lettered();
  image->header.incompatible_features |= kIncompatibleDataFile;
  image->AddExtension(kExtensionDataFile, checker::BytesOf("data"));
  const uint64_t name = image->header.encoded_size() + 8;
  Proposal other_data_file(*image);
  other_data_file.Write(name, checker::BytesOf("dato"));
  EXPECT_THAT(other_data_file.GuestFailures(),
              HasSubstr("the external data file would change"));

  image = Lettered();
  image->header.backing_file_offset = HostOffset(1024);
  image->header.backing_file_size = 4;
  image->WriteText(1024, "base");
  Proposal other_backing_file(*image);
  other_backing_file.Write(1024, checker::BytesOf("bass"));
  EXPECT_EQ(other_backing_file.GuestFailures(),
            "the backing file would change\n");
}

TEST(ProofTest, TheCompressionTypeStays) {
  auto image = Lettered();
  image->header.compression_type = kCompressionZstd;
  image->header.incompatible_features |= kIncompatibleCompressionType;
  Proposal proposal(*image);
  Header header = image->header;
  header.compression_type = 0;
  header.incompatible_features &= ~kIncompatibleCompressionType;
  proposal.Write(0, header.Encode());
  EXPECT_EQ(proposal.GuestFailures(), "the compression type would change\n");
}

// Without the LUKS header nothing of an encrypted image can be read.
TEST(ProofTest, TheLuksHeaderMayMoveButStaysTheSame) {
  auto image = Lettered();
  image->header.crypt_method = kCryptLuks;
  std::array<std::byte, 16> pointer;
  StoreBe64(pointer.data(), image->OffsetOf(kFree));
  StoreBe64(pointer.data() + 8, 2 * image->cluster_size());
  image->AddExtension(kExtensionLuks, pointer);
  const uint64_t pointer_at = image->header.encoded_size() + 8;
  for (const uint64_t cluster : {kFree, kFree + 1}) {
    image->Fill(cluster, 'k');
    image->SetCount(cluster, 1);
  }
  constexpr char kFailure[] = "the LUKS header would change\n";
  Proposal changed(*image);
  changed.Fill(kFree + 1, 'x');
  EXPECT_EQ(changed.GuestFailures(), kFailure);

  Proposal moved(*image);
  moved.Copy(kFree, kFree + 2);
  moved.Copy(kFree + 1, kFree + 3);
  moved.WriteBe64(pointer_at, moved.OffsetOf(kFree + 2));
  EXPECT_EQ(moved.GuestFailures(), "");
  moved.Fill(kFree + 3, 'x');
  EXPECT_EQ(moved.GuestFailures(), kFailure);

  Proposal shortened(*image);
  shortened.WriteBe64(pointer_at + 8, image->cluster_size());
  EXPECT_EQ(shortened.GuestFailures(), kFailure);
}

TEST(ProofTest, WhatCouldBeReadMustStayReadable) {
  auto image = Lettered();
  FaultyFile faulty(image->file());
  faulty.FailReadsIn({image->OffsetOf(kFree), 512});
  Proposal proposal(faulty, *image);
  proposal.SetL1(0, proposal.OffsetOf(kFree) | kCopiedFlag);
  EXPECT_EQ(proposal.FailuresOf(Kind::kIncomplete),
            "less of the planned image can be read than of the image\n");
}

TEST(ProofTest, BadSectorsExcuseNothingBesideThem) {
  auto image = Lettered();
  FaultyFile faulty(image->file());
  faulty.FailReadsIn({image->OffsetOf(kData), 512});
  for (const bool whole : {true, false}) {
    Proposal proposal(faulty, *image);
    proposal.Fill(kFree, whole ? 'a' : 'x');
    proposal.SetL2(0, proposal.OffsetOf(kFree));
    EXPECT_EQ(proposal.GuestFailures().empty(), whole);
  }
}

TEST(ProofTest, ACancelledProofIsNone) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.Fill(kFree, 'x');
  const std::atomic<bool> cancel = true;
  const ProofResult result = proposal.Run({.cancel = &cancel});
  EXPECT_FALSE(result.ok);
  EXPECT_TRUE(result.cancelled);
}

TEST(ProofTest, ListsNoMoreThanAskedFor) {
  auto image = Lettered();
  Proposal proposal(*image);
  proposal.SetL2(0, 0);
  proposal.SetL2(2, 0);
  const ProofResult result = proposal.Run({.max_failures = 1});
  EXPECT_EQ(result.failures.size(), 1u);
  EXPECT_GE(result.failures_omitted, 1u);
  EXPECT_FALSE(result.ok);
}

}  // namespace
}  // namespace qcow2::repair
