// Planning the repair of header fields, header extensions, snapshot tables and
// bitmaps: each kind of damage to a small image, and what the view is
// afterwards.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checker/test_image.h"
#include "engine/codec/deflate.h"
#include "engine/format/bitmap_directory.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_header.h"
#include "engine/format/snapshot_table.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/overlay_file.h"
#include "gtest/gtest.h"
#include "repair/planner.h"

namespace qcow2::repair {
namespace {

using checker::BytesOf;
using checker::CheckReport;
using checker::CheckStatus;
using checker::Finding;
using checker::Problem;
using checker::TestImage;

// Where TestImage has its structures, in clusters, and what is added here.
constexpr uint64_t kRefcountBlock = 2;
constexpr uint64_t kL1 = 3;
constexpr uint64_t kL2 = 4;
constexpr uint64_t kTable = 8;  // snapshot table or bitmap directory
constexpr uint64_t kSnapshotL1 = 9;
constexpr uint64_t kBitmapTable = 9;
constexpr uint64_t kBitmapData = 10;
constexpr uint64_t kFree = 12;
constexpr uint64_t kPastEnd = 0x100000;

struct Planned {
  PlannedRepair repair;
  std::unique_ptr<OverlayFile> view;
};

Planned PlanFor(const File& image, RepairOptions options = {}) {
  Planned planned;
  planned.view = *OverlayFile::Create(image);
  options.check.deep = true;
  absl::StatusOr<PlannedRepair> repair =
      PlanRepair(image, "image", *planned.view, options);
  EXPECT_TRUE(repair.ok()) << repair.status();
  if (repair.ok()) planned.repair = *std::move(repair);
  return planned;
}

std::string Texts(const CheckReport& report) {
  std::string text;
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const Finding& finding : *list) {
      text += DescribeWhere(finding) + ": " + DescribeFinding(finding) + "\n";
    }
  }
  return text;
}

bool Has(const CheckReport& report, Problem problem) {
  for (const auto* list : {&report.problems, &report.warnings}) {
    for (const Finding& finding : *list) {
      if (finding.problem == problem) return true;
    }
  }
  return false;
}

bool Answers(const Plan& plan, Problem problem) {
  return std::any_of(plan.edits().begin(), plan.edits().end(),
                     [&](const Edit& edit) {
                       return edit.problem == problem && !edit.where.empty() &&
                              !edit.before.empty() && !edit.after.empty();
                     });
}

std::vector<std::byte> BytesAt(const File& file, uint64_t offset,
                               uint64_t length) {
  std::vector<std::byte> bytes(length);
  EXPECT_TRUE(ReadZeroFilled(file, offset, bytes).ok());
  return bytes;
}

uint64_t Be64At(const File& file, uint64_t offset) {
  return LoadBe64(BytesAt(file, offset, 8).data());
}

uint32_t Be32At(const File& file, uint64_t offset) {
  return LoadBe32(BytesAt(file, offset, 4).data());
}

Header HeaderOf(const File& file) {
  return Header::Decode(BytesAt(file, 0, 4096));
}

void SetCount(TestImage& image, uint64_t cluster, uint16_t count) {
  const std::byte bytes[] = {std::byte(count >> 8), std::byte(count & 0xff)};
  image.Write(image.OffsetOf(kRefcountBlock) + cluster * 2, bytes);
}

std::vector<std::byte> Be64Bytes(uint64_t value) {
  std::vector<std::byte> bytes(8);
  StoreBe64(bytes.data(), value);
  return bytes;
}

// A plan with the damage, and one more after it that has nothing to do.
Planned ExpectMended(TestImage& image, Problem problem,
                     const RepairOptions& options = {}) {
  Planned planned = PlanFor(image.file(), options);
  EXPECT_TRUE(Has(planned.repair.before, problem))
      << Texts(planned.repair.before);
  EXPECT_FALSE(Has(planned.repair.after, problem))
      << Texts(planned.repair.after);
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean)
      << Texts(planned.repair.after);
  EXPECT_TRUE(Answers(planned.repair.plan, problem));
  EXPECT_TRUE(planned.repair.stopped.empty());
  const Planned again = PlanFor(*planned.view, options);
  EXPECT_TRUE(again.repair.plan.empty());
  EXPECT_TRUE(again.view->DirtyRanges().empty());
  return planned;
}

void ExpectLeft(TestImage& image, Problem problem,
                const RepairOptions& options = {}) {
  const Planned planned = PlanFor(image.file(), options);
  EXPECT_TRUE(Has(planned.repair.before, problem));
  EXPECT_TRUE(Has(planned.repair.after, problem));
  EXPECT_TRUE(planned.view->DirtyRanges().empty());
}

// ---- header fields ----------------------------------------------------------

TEST(HeaderStepTest, L1TableIsMadeAsLongAsItGoesOn) {
  TestImage image;
  // A second L1 entry, for data behind the first L2 table's range.
  image.header.size = 2 * 512 * image.cluster_size();
  image.header.l1_size = 1;
  image.WriteBe64(image.OffsetOf(kL1) + 8, image.OffsetOf(8) | kCopiedFlag);
  image.WriteBe64(image.OffsetOf(8), image.OffsetOf(9) | kCopiedFlag);
  SetCount(image, 8, 1);
  SetCount(image, 9, 1);
  const Planned planned = ExpectMended(image, Problem::kL1TableTooSmall);
  EXPECT_EQ(HeaderOf(*planned.view).l1_size, 2);
  EXPECT_EQ(HeaderOf(*planned.view).size, image.header.size);
  ASSERT_EQ(planned.repair.plan.guest_changes().size(), 1);
  const GuestChange& change = planned.repair.plan.guest_changes().front();
  EXPECT_EQ(change.kind, GuestChange::Kind::kRecovered);
  EXPECT_EQ(change.range.offset_bytes, 512 * image.cluster_size());
}

TEST(HeaderStepTest, L1TableThatWouldTakeSomeoneElsesClusterStays) {
  TestImage image;
  // More entries than a cluster holds: the L2 table is behind the L1 table.
  image.header.size = 600 * 512 * image.cluster_size();
  ExpectLeft(image, Problem::kL1TableTooSmall);
}

TEST(HeaderStepTest, L1TableFollowedByNonsenseStays) {
  TestImage image;
  image.header.size = 2 * 512 * image.cluster_size();
  image.WriteBe64(image.OffsetOf(kL1) + 8, 0x1234567);
  ExpectLeft(image, Problem::kL1TableTooSmall);
}

TEST(HeaderStepTest, RefcountTableHasItsLength) {
  TestImage image;
  image.header.refcount_table_clusters = 1u << 31 | 1;
  const Planned planned = ExpectMended(image, Problem::kRefcountTableTooLarge);
  EXPECT_EQ(HeaderOf(*planned.view).refcount_table_clusters, 1);
}

TEST(HeaderStepTest, HeaderLengthIsWhereExtensionsBegin) {
  for (const uint32_t wrong : {0u, 96u, 109u, 8192u + 112u, 1u << 31}) {
    TestImage image;
    image.AddExtension(kExtensionFeatureNames, std::vector<std::byte>());
    image.AddExtension(0x12345678, BytesOf("unknown"));
    image.header.header_length = 112;
    MemoryFile& file = image.file();
    std::vector<std::byte> field(4);
    StoreBe32(field.data(), wrong);
    ASSERT_TRUE(file.Pwrite(100, field).ok());
    const Planned planned = PlanFor(file);
    EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean)
        << Texts(planned.repair.after);
    EXPECT_EQ(HeaderOf(*planned.view).header_length, 112) << wrong;
    EXPECT_EQ(BytesAt(*planned.view, 104, 64), BytesAt(file, 104, 64));
    EXPECT_TRUE(PlanFor(*planned.view).repair.plan.empty());
  }
}

TEST(HeaderStepTest, PaddingIsCleared) {
  TestImage image;
  image.header.padding[2] = std::byte{7};
  const Planned planned = ExpectMended(image, Problem::kHeaderPadding);
  EXPECT_EQ(Be64At(*planned.view, 104), 0);
}

TEST(HeaderStepTest, CompressionBitFollowsTheTypeWithoutCompressedClusters) {
  TestImage zstd;
  zstd.header.compression_type = kCompressionZstd;
  Planned planned = ExpectMended(zstd, Problem::kCompressionTypeBit);
  EXPECT_TRUE(
      HeaderOf(*planned.view).has_incompatible(kIncompatibleCompressionType));
  TestImage deflate;
  deflate.header.incompatible_features = kIncompatibleCompressionType;
  planned = ExpectMended(deflate, Problem::kCompressionTypeBit);
  EXPECT_EQ(HeaderOf(*planned.view).incompatible_features, 0);
}

// The type field says zstd, but the data is deflate data.
TEST(HeaderStepTest, CompressedClustersTellTheCompressionType) {
  TestImage image;
  image.header.compression_type = kCompressionZstd;
  const std::vector<std::byte> cluster(image.cluster_size(), std::byte{'x'});
  const absl::StatusOr<std::vector<std::byte>> data =
      CompressCluster(CompressionType::kDeflate, cluster);
  ASSERT_TRUE(data.ok());
  image.Write(image.OffsetOf(5), *data);
  // One cluster, no further sectors: bit 62 and the offset.
  image.WriteBe64(image.OffsetOf(kL2), uint64_t{1} << 62 | image.OffsetOf(5));
  const Planned planned = ExpectMended(image, Problem::kCompressionTypeBit);
  EXPECT_EQ(HeaderOf(*planned.view).compression_type, kCompressionDeflate);
  EXPECT_EQ(HeaderOf(*planned.view).incompatible_features, 0);
}

TEST(HeaderStepTest, UnreadableCompressedClustersTellNothing) {
  TestImage image;
  image.header.compression_type = kCompressionZstd;
  image.WriteText(image.OffsetOf(5), "neither of the two");
  image.WriteBe64(image.OffsetOf(kL2), uint64_t{1} << 62 | image.OffsetOf(5));
  const Planned planned = PlanFor(image.file());
  EXPECT_TRUE(Has(planned.repair.after, Problem::kCompressionTypeBit));
}

TEST(HeaderStepTest, AutoclearBitsWithNothingToVouchForAreCleared) {
  TestImage image;
  image.header.autoclear_features =
      kAutoclearBitmaps | kAutoclearRawData | 1 << 5;
  const Planned planned = ExpectMended(image, Problem::kRawWithoutDataFile);
  EXPECT_TRUE(
      Answers(planned.repair.plan, Problem::kAutoclearWithoutExtension));
  EXPECT_EQ(HeaderOf(*planned.view).autoclear_features, 1 << 5);
}

TEST(HeaderStepTest, RawBitBesideADataFileNameStays) {
  TestImage image;
  image.header.autoclear_features = kAutoclearRawData;
  image.AddExtension(kExtensionDataFile, BytesOf("disk.data"));
  ExpectLeft(image, Problem::kRawWithoutDataFile);
}

// ---- header extensions ------------------------------------------------------

std::vector<std::byte> FeatureRow(uint8_t kind, uint8_t bit,
                                  std::string_view name) {
  std::vector<std::byte> row = {std::byte(kind), std::byte(bit)};
  const std::vector<std::byte> text = BytesOf(name);
  row.insert(row.end(), text.begin(), text.end());
  row.resize(48);
  return row;
}

// Where the extension of `type` stands, or 0.
uint64_t PlaceOf(const File& file, uint32_t type) {
  const std::vector<std::byte> cluster = BytesAt(file, 0, 4096);
  const Header header = Header::Decode(cluster);
  const HeaderExtensions list =
      DecodeHeaderExtensions(cluster, header.header_length,
                             ExtensionAreaEndOffset(header, cluster.size()));
  const HeaderExtension* found = list.Find(type);
  return found == nullptr ? 0 : found->offset;
}

TEST(ExtensionStepTest, OverflowingExtensionIsLeftOutAndTheNextOnesAreFound) {
  TestImage image;
  image.AddExtension(0x11111111, BytesOf("kept, padded"));
  image.AddExtension(0x22222222, BytesOf("damaged."));
  image.AddExtension(kExtensionFeatureNames, FeatureRow(0, 9, "nine"));
  image.AddExtension(0x33333333, BytesOf("kept"));
  const uint64_t damaged = PlaceOf(image.file(), 0x22222222);
  std::vector<std::byte> length(4, std::byte{0x7f});
  image.Write(damaged + 4, length);
  const Planned planned = ExpectMended(image, Problem::kExtensionOverflow);
  EXPECT_EQ(PlaceOf(*planned.view, 0x11111111), 112);
  EXPECT_EQ(PlaceOf(*planned.view, 0x22222222), 0);
  const uint64_t names = PlaceOf(*planned.view, kExtensionFeatureNames);
  EXPECT_EQ(names, damaged);
  EXPECT_EQ(BytesAt(*planned.view, names + 8, 48), FeatureRow(0, 9, "nine"));
  EXPECT_EQ(BytesAt(*planned.view, PlaceOf(*planned.view, 0x33333333) + 8, 4),
            BytesOf("kept"));
}

TEST(ExtensionStepTest, LengthThatTheContentTellsIsMended) {
  TestImage image;
  image.AddExtension(kExtensionDataFile, BytesOf("disk.data"));
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.header.incompatible_features = kIncompatibleDataFile;
  // Guest clusters are in the data file then.
  image.WriteBe64(image.OffsetOf(kL1), 0);
  for (uint64_t cluster = 4; cluster < 8; ++cluster) {
    SetCount(image, cluster, 0);
  }
  image.file();
  image.Write(112 + 4, std::vector<std::byte>(4, std::byte{0x7f}));
  const Planned planned = ExpectMended(image, Problem::kExtensionOverflow);
  EXPECT_EQ(Be32At(*planned.view, 112 + 4), 9);
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112 + 24);
}

TEST(ExtensionStepTest, UnmarkedEndIsMarkedAndTheBackingNameMoves) {
  TestImage image;
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.header.backing_file_offset = HostOffset(112 + 16 + 4);
  image.header.backing_file_size = 8;
  image.WriteText(112 + 16 + 4, "base.raw");
  const Planned planned = ExpectMended(image, Problem::kExtensionOverflow);
  const Header header = HeaderOf(*planned.view);
  EXPECT_EQ(header.backing_file_offset.value(), 112 + 16 + 8);
  EXPECT_EQ(BytesAt(*planned.view, 112 + 16 + 8, 8), BytesOf("base.raw"));
  EXPECT_EQ(BytesAt(*planned.view, 112 + 8, 4), BytesOf("kept"));
}

TEST(ExtensionStepTest, OnlyTheLastOfAKindStays) {
  TestImage image;
  image.AddExtension(kExtensionFeatureNames, FeatureRow(0, 8, "first"));
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.AddExtension(kExtensionFeatureNames, FeatureRow(0, 9, "last"));
  image.AddExtension(0x33333333, BytesOf("as well"));
  const Planned planned = ExpectMended(image, Problem::kExtensionDuplicate);
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112);
  EXPECT_EQ(BytesAt(*planned.view, 112 + 16 + 8, 48), FeatureRow(0, 9, "last"));
  EXPECT_EQ(BytesAt(*planned.view, 112 + 16 + 56 + 8, 7), BytesOf("as well"));
}

TEST(ExtensionStepTest, ExtensionOfAWrongLengthIsLeftOut) {
  TestImage image;
  image.AddExtension(kExtensionBitmaps, BytesOf("far too short"));
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.header.autoclear_features = kAutoclearBitmaps;
  const Planned planned = ExpectMended(image, Problem::kExtensionLength);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionBitmaps), 0);
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112);
  EXPECT_EQ(HeaderOf(*planned.view).autoclear_features, 0);
}

TEST(ExtensionStepTest, LuksPointerOfAnEncryptedImageIsNeverLeftOut) {
  TestImage image;
  image.header.crypt_method = kCryptLuks;
  image.AddExtension(kExtensionLuks, BytesOf("not a pointer"));
  ExpectLeft(image, Problem::kExtensionLength);
}

TEST(ExtensionStepTest, FeatureNamesThatMakeSenseStay) {
  TestImage image;
  std::vector<std::byte> rows = FeatureRow(0, 9, "nine");
  for (const auto& row :
       {FeatureRow(3, 9, "no kind"), FeatureRow(2, 60, "x")}) {
    rows.insert(rows.end(), row.begin(), row.end());
  }
  image.AddExtension(kExtensionFeatureNames, rows);
  image.AddExtension(0x33333333, BytesOf("kept"));
  const Planned planned = ExpectMended(image, Problem::kFeatureNameTable);
  EXPECT_EQ(Be32At(*planned.view, 112 + 4), 96);
  EXPECT_EQ(BytesAt(*planned.view, 112 + 8 + 48, 48), FeatureRow(2, 60, "x"));
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112 + 8 + 96);
}

std::vector<std::byte> LuksPointer(uint64_t offset, uint64_t length) {
  std::vector<std::byte> bytes = Be64Bytes(offset);
  const std::vector<std::byte> second = Be64Bytes(length);
  bytes.insert(bytes.end(), second.begin(), second.end());
  return bytes;
}

TEST(ExtensionStepTest, LuksPointerWithoutLuksIsLeftOut) {
  TestImage image;
  image.AddExtension(kExtensionLuks,
                     LuksPointer(image.OffsetOf(8), image.cluster_size()));
  SetCount(image, 8, 1);
  const Planned planned = ExpectMended(image, Problem::kLuksUnexpected);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionLuks), 0);
}

TEST(ExtensionStepTest, LuksHeaderTellsTheCryptMethod) {
  TestImage image;
  image.AddExtension(kExtensionLuks,
                     LuksPointer(image.OffsetOf(8), image.cluster_size()));
  SetCount(image, 8, 1);
  image.Write(image.OffsetOf(8), kLuksMagic);
  image.Write(image.OffsetOf(8) + 6, std::vector<std::byte>{{}, std::byte{1}});
  const Planned planned = PlanFor(image.file());
  EXPECT_TRUE(Has(planned.repair.before, Problem::kLuksUnexpected));
  EXPECT_FALSE(Has(planned.repair.after, Problem::kLuksUnexpected));
  EXPECT_EQ(HeaderOf(*planned.view).crypt_method, kCryptLuks);
}

TEST(ExtensionStepTest, DataFileNameGoesOnlyFromASoundImage) {
  TestImage image;
  image.AddExtension(kExtensionDataFile, BytesOf("disk.data"));
  const Planned planned = ExpectMended(image, Problem::kDataFileNameUnexpected);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionDataFile), 0);
  // An entry past the end of the file might be one of the data file.
  image.WriteBe64(image.OffsetOf(kL2), kPastEnd | kCopiedFlag);
  const Planned doubtful = PlanFor(image.file());
  EXPECT_NE(PlaceOf(*doubtful.view, kExtensionDataFile), 0);
}

// An image whose backing file is `backing`, by the format `format`.
RepairOptions WithBacking(TestImage& image, std::string_view format,
                          std::shared_ptr<MemoryFile> backing) {
  image.AddExtension(kExtensionBackingFormat, BytesOf(format));
  image.AddExtension(0x33333333, BytesOf("kept"));
  image.header.backing_file_offset = HostOffset(1024);
  image.header.backing_file_size = 4;
  image.WriteText(1024, "base");
  RepairOptions options;
  options.check.open_other_file =
      [backing = std::move(backing)](
          const std::string&,
          const std::string&) -> absl::StatusOr<std::unique_ptr<File>> {
    return std::unique_ptr<File>(std::make_unique<MemoryFile>(*backing));
  };
  return options;
}

TEST(ExtensionStepTest, BackingFormatIsThatOfTheBackingFile) {
  TestImage image;
  TestImage base;
  const RepairOptions options =
      WithBacking(image, "qcowx", std::make_shared<MemoryFile>(base.file()));
  const Planned planned = ExpectMended(image, Problem::kBackingFormat, options);
  EXPECT_EQ(BytesAt(*planned.view, 112 + 8, 5), BytesOf("qcow2"));
  EXPECT_EQ(PlaceOf(*planned.view, 0x33333333), 112 + 16);
  EXPECT_EQ(BytesAt(*planned.view, 1024, 4), BytesOf("base"));
}

TEST(ExtensionStepTest, BackingFormatThatMayHaveBeenRawStays) {
  TestImage image;
  TestImage base;
  const RepairOptions options =
      WithBacking(image, "rav", std::make_shared<MemoryFile>(base.file()));
  ExpectLeft(image, Problem::kBackingFormat, options);
}

TEST(ExtensionStepTest, BackingFormatOfAnUnknownFileStays) {
  TestImage image;
  auto base = std::make_shared<MemoryFile>();
  ASSERT_TRUE(base->Truncate(4096).ok());
  const RepairOptions options = WithBacking(image, "qcowx", base);
  ExpectLeft(image, Problem::kBackingFormat, options);
}

// ---- the snapshot table -----------------------------------------------------

SnapshotEntry SnapshotAt(uint64_t l1_offset, std::string id, std::string name,
                         uint64_t disk_size) {
  SnapshotEntry entry;
  entry.l1_table_offset = HostOffset(l1_offset);
  entry.l1_size = 1;
  entry.date_seconds = 1700000000;
  entry.extra_data.resize(16);
  StoreBe64(&entry.extra_data[8], disk_size);
  entry.id = std::move(id);
  entry.name = std::move(name);
  return entry;
}

// An image with snapshots of an empty disk, `entries` in the table.
void PutSnapshots(TestImage& image, const std::vector<SnapshotEntry>& entries) {
  image.Write(image.OffsetOf(kTable), EncodeSnapshotTable(entries));
  SetCount(image, kTable, 1);
  for (uint64_t i = 0; i < entries.size(); ++i) {
    SetCount(image, kSnapshotL1 + i, 1);
  }
  image.header.nb_snapshots = static_cast<uint32_t>(entries.size());
  image.header.snapshots_offset = HostOffset(image.OffsetOf(kTable));
}

SnapshotEntry First(const TestImage& image) {
  return SnapshotAt(image.OffsetOf(kSnapshotL1), "1", "before",
                    image.header.size);
}

SnapshotEntry Second(const TestImage& image) {
  return SnapshotAt(image.OffsetOf(kSnapshotL1 + 1), "2", "after",
                    image.header.size);
}

std::vector<SnapshotEntry> SnapshotsOf(const File& file) {
  const Header header = HeaderOf(file);
  std::vector<SnapshotEntry> entries;
  for (LocatedSnapshot& snapshot :
       DecodeSnapshotTable(BytesAt(file, header.snapshots_offset.value(), 8192),
                           header.nb_snapshots)) {
    entries.push_back(std::move(snapshot.entry));
  }
  return entries;
}

TEST(SnapshotStepTest, MissingExtraDataIsAdded) {
  TestImage image;
  SnapshotEntry entry = First(image);
  entry.vm_state_size_32 = 77;
  entry.extra_data.clear();
  PutSnapshots(image, {entry, Second(image)});
  const Planned planned = ExpectMended(image, Problem::kSnapshotExtraShort);
  const std::vector<SnapshotEntry> mended = SnapshotsOf(*planned.view);
  ASSERT_EQ(mended.size(), 2);
  EXPECT_EQ(mended[0].vm_state_size(), 77);
  EXPECT_EQ(mended[0].disk_size(), image.header.size);
  EXPECT_EQ(mended[0].name, "before");
  EXPECT_EQ(mended[1], Second(image));
  EXPECT_EQ(HeaderOf(*planned.view).snapshots_offset.value(),
            image.OffsetOf(kTable));
}

TEST(SnapshotStepTest, ExtraDataBeyondTheLimitIsCutOff) {
  TestImage image;
  SnapshotEntry entry = First(image);
  entry.extra_data.resize(1500, std::byte{0x55});
  PutSnapshots(image, {entry, Second(image)});
  const Planned planned = ExpectMended(image, Problem::kSnapshotExtraLong);
  entry.extra_data.resize(1024);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{entry, Second(image)}));
}

TEST(SnapshotStepTest, LengthOfExtraDataThatCannotBeTrueIsFound) {
  TestImage image;
  PutSnapshots(image, {First(image), Second(image)});
  image.Write(image.OffsetOf(kTable) + 36,
              std::vector<std::byte>{{}, std::byte{1}, {}, std::byte{16}});
  const Planned planned = PlanFor(image.file());
  EXPECT_NE(planned.repair.before.status, CheckStatus::kClean);
  EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean)
      << Texts(planned.repair.after);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{First(image), Second(image)}));
}

TEST(SnapshotStepTest, LengthOfANameThatCannotBeTrueIsFound) {
  TestImage image;
  PutSnapshots(image, {First(image), Second(image)});
  // The first entry is 63 bytes long, so that the second begins at 64.
  image.Write(image.OffsetOf(kTable) + 64 + 14,
              std::vector<std::byte>(2, std::byte{0xff}));
  const Planned planned = ExpectMended(image, Problem::kSnapshotTablePastEnd);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{First(image), Second(image)}));
}

TEST(SnapshotStepTest, SecondOwnerOfAnIdGetsANewOne) {
  TestImage image;
  SnapshotEntry second = Second(image);
  second.id = "1";
  PutSnapshots(image, {First(image), second});
  const Planned planned = ExpectMended(image, Problem::kSnapshotDuplicateId);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{First(image), Second(image)}));
}

TEST(SnapshotStepTest, DiskSizeIsWhatTheL1TableMaps) {
  TestImage image;
  SnapshotEntry entry = First(image);
  StoreBe64(&entry.extra_data[8], uint64_t{1} << 62);
  PutSnapshots(image, {entry});
  const Planned planned = ExpectMended(image, Problem::kSnapshotDiskSize);
  EXPECT_EQ(SnapshotsOf(*planned.view).front(), First(image));
}

TEST(SnapshotStepTest, L1TableIsMadeAsLongAsItGoesOn) {
  TestImage image;
  image.header.l1_size = 2;
  SnapshotEntry entry = First(image);
  StoreBe64(&entry.extra_data[8], 2 * 512 * image.cluster_size());
  PutSnapshots(image, {entry});
  const Planned planned = ExpectMended(image, Problem::kSnapshotL1TooSmall);
  entry.l1_size = 2;
  EXPECT_EQ(SnapshotsOf(*planned.view).front(), entry);
}

TEST(SnapshotStepTest, L1TableThatEndsIsCopiedInSalvageOnly) {
  TestImage image;
  SnapshotEntry entry = First(image);
  StoreBe64(&entry.extra_data[8], 2 * 512 * image.cluster_size());
  PutSnapshots(image, {entry});
  image.WriteBe64(image.OffsetOf(kSnapshotL1) + 8, 0x1234567);
  ExpectLeft(image, Problem::kSnapshotL1TooSmall);
  RepairOptions options;
  options.mode = Mode::kSalvage;
  const Planned planned =
      ExpectMended(image, Problem::kSnapshotL1TooSmall, options);
  const SnapshotEntry mended = SnapshotsOf(*planned.view).front();
  EXPECT_EQ(mended.l1_size, 2);
  EXPECT_NE(mended.l1_table_offset, entry.l1_table_offset);
  ASSERT_EQ(planned.repair.plan.guest_changes().size(), 1);
  const GuestChange& change = planned.repair.plan.guest_changes().front();
  EXPECT_EQ(change.kind, GuestChange::Kind::kLost);
  EXPECT_EQ(change.range.snapshot, "before");
  EXPECT_EQ(change.range.length_bytes, 512 * image.cluster_size());
}

TEST(SnapshotStepTest, L1TableIsFoundByItsOrphanedCluster) {
  TestImage image;
  PutSnapshots(image, {First(image)});
  image.WriteBe64(image.OffsetOf(kSnapshotL1), image.OffsetOf(kL2));
  SetCount(image, kL2, 2);
  for (uint64_t cluster = 5; cluster < 8; ++cluster) {
    SetCount(image, cluster, 2);
    image.WriteBe64(image.OffsetOf(kL2) + 8 * (cluster - 5),
                    image.OffsetOf(cluster));
  }
  image.WriteBe64(image.OffsetOf(kL1), image.OffsetOf(kL2));
  ASSERT_EQ(PlanFor(image.file()).repair.before.status, CheckStatus::kClean);
  // Unaligned, and with one bit too many.
  for (const uint64_t wrong : {uint64_t{512}, uint64_t{1} << 40}) {
    image.WriteBe64(image.OffsetOf(kTable),
                    image.OffsetOf(kSnapshotL1) ^ wrong);
    const Planned planned = PlanFor(image.file());
    EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean)
        << Texts(planned.repair.after);
    EXPECT_EQ(SnapshotsOf(*planned.view).front(), First(image));
  }
  // A length that cannot be true.
  PutSnapshots(image, {First(image)});
  image.Write(image.OffsetOf(kTable) + 8,
              std::vector<std::byte>(4, std::byte{0xff}));
  const Planned planned = ExpectMended(image, Problem::kSnapshotL1TooLarge);
  EXPECT_EQ(SnapshotsOf(*planned.view).front(), First(image));
}

TEST(SnapshotStepTest, LostL1TableIsDroppedOnRequestOnly) {
  TestImage image;
  SnapshotEntry lost = First(image);
  lost.l1_table_offset = HostOffset(kPastEnd);
  PutSnapshots(image, {lost, Second(image)});
  SetCount(image, kSnapshotL1, 0);
  ExpectLeft(image, Problem::kSnapshotL1PastEnd);
  RepairOptions options;
  options.drop_snapshots = {"before", "after"};
  ExpectLeft(image, Problem::kSnapshotL1PastEnd, options);
  options.mode = Mode::kSalvage;
  const Planned planned =
      ExpectMended(image, Problem::kSnapshotL1PastEnd, options);
  // The other one is named, too, but sound.
  EXPECT_EQ(SnapshotsOf(*planned.view),
            std::vector<SnapshotEntry>{Second(image)});
  ASSERT_EQ(planned.repair.plan.guest_changes().size(), 1);
  EXPECT_EQ(planned.repair.plan.guest_changes().front().range.snapshot,
            "before");
}

TEST(SnapshotStepTest, CountIsThatOfTheEntries) {
  TestImage image;
  PutSnapshots(image, {First(image), Second(image)});
  image.header.nb_snapshots = 0xfffffffe;
  Planned planned = ExpectMended(image, Problem::kSnapshotCount);
  EXPECT_EQ(SnapshotsOf(*planned.view).size(), 2);
  // Within the limit, but behind the last entry there are zeros.
  image.header.nb_snapshots = 5;
  planned = ExpectMended(image, Problem::kSnapshotExtraShort);
  EXPECT_EQ(SnapshotsOf(*planned.view),
            (std::vector<SnapshotEntry>{First(image), Second(image)}));
}

TEST(SnapshotStepTest, ZerosMayHaveBeenEntriesWhileSomethingIsLeft) {
  TestImage image;
  PutSnapshots(image, {First(image)});
  image.header.nb_snapshots = 2;
  // Shaped like an L2 table: it is kept, and with it the doubt.
  image.WriteBe64(image.OffsetOf(kFree), image.OffsetOf(5));
  image.WriteBe64(image.OffsetOf(kFree) + 8, image.OffsetOf(6));
  image.WriteBe64(image.OffsetOf(kFree) + 16, image.OffsetOf(7));
  SetCount(image, kFree, 1);
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(HeaderOf(*planned.view).nb_snapshots, 2);
  EXPECT_TRUE(Has(planned.repair.after, Problem::kSnapshotExtraShort));
}

TEST(SnapshotStepTest, TableIsFoundByItsOrphanedCluster) {
  for (const uint64_t wrong : {uint64_t{0x200}, uint64_t{0x40000000}}) {
    TestImage image;
    PutSnapshots(image, {First(image), Second(image)});
    image.header.snapshots_offset = HostOffset(image.OffsetOf(kTable) ^ wrong);
    const Planned planned = PlanFor(image.file());
    EXPECT_NE(planned.repair.before.status, CheckStatus::kClean);
    EXPECT_EQ(planned.repair.after.status, CheckStatus::kClean)
        << Texts(planned.repair.after);
    EXPECT_EQ(HeaderOf(*planned.view).snapshots_offset.value(),
              image.OffsetOf(kTable));
    EXPECT_EQ(SnapshotsOf(*planned.view).size(), 2);
  }
}

TEST(SnapshotStepTest, LostTableIsGivenUpWhenNothingIsLeftOfIt) {
  TestImage image;
  image.header.nb_snapshots = 3;
  image.header.snapshots_offset = HostOffset(kPastEnd);
  Planned planned = ExpectMended(image, Problem::kSnapshotTablePastEnd);
  EXPECT_EQ(HeaderOf(*planned.view).nb_snapshots, 0);
  EXPECT_EQ(HeaderOf(*planned.view).snapshots_offset.value(), 0);

  // A leak may be what is left of a snapshot.
  SetCount(image, kFree, 1);
  EXPECT_TRUE(
      Has(PlanFor(image.file()).repair.after, Problem::kSnapshotTablePastEnd));
  RepairOptions options;
  options.mode = Mode::kSalvage;
  planned = PlanFor(image.file(), options);
  EXPECT_EQ(HeaderOf(*planned.view).nb_snapshots, 0);
  EXPECT_FALSE(planned.repair.plan.notes().empty());
}

TEST(SnapshotStepTest, OffsetWithoutSnapshotsIsCleared) {
  TestImage image;
  image.header.snapshots_offset = HostOffset(0x1234);
  const Planned planned = ExpectMended(image, Problem::kSnapshotTableUnaligned);
  EXPECT_EQ(HeaderOf(*planned.view).snapshots_offset.value(), 0);
}

TEST(SnapshotStepTest, TableThatSharesItsClusterMoves) {
  TestImage image;
  SnapshotEntry entry = First(image);
  entry.extra_data.clear();
  // The table ends in the cluster that guest data begins in.
  PutSnapshots(image, {entry});
  image.WriteBe64(image.OffsetOf(kL2), image.OffsetOf(kTable) | kCopiedFlag);
  SetCount(image, 5, 0);
  const std::vector<std::byte> before =
      BytesAt(image.file(), image.OffsetOf(kTable), image.cluster_size());
  const Planned planned = PlanFor(image.file());
  EXPECT_FALSE(Has(planned.repair.after, Problem::kSnapshotExtraShort));
  EXPECT_NE(HeaderOf(*planned.view).snapshots_offset.value(),
            image.OffsetOf(kTable));
  EXPECT_EQ(
      BytesAt(*planned.view, image.OffsetOf(kTable), image.cluster_size()),
      before);
}

// ---- bitmaps ----------------------------------------------------------------

BitmapDirectoryEntry BitmapAt(uint64_t table, std::string name) {
  BitmapDirectoryEntry entry;
  entry.table_offset = HostOffset(table);
  entry.table_size = 1;
  entry.name = std::move(name);
  return entry;
}

// Two bitmaps with a table each; the first has data, too.
struct BitmapImage {
  BitmapImage() {
    entries = {BitmapAt(image.OffsetOf(kBitmapTable), "nightly"),
               BitmapAt(image.OffsetOf(kFree), "weekly")};
    image.WriteBe64(image.OffsetOf(kBitmapTable), image.OffsetOf(kBitmapData));
    image.WriteText(image.OffsetOf(kBitmapData), "\1");
    for (const uint64_t cluster : {kTable, kBitmapTable, kBitmapData, kFree}) {
      SetCount(image, cluster, 1);
    }
    extension.directory_offset = HostOffset(image.OffsetOf(kTable));
    image.header.autoclear_features = kAutoclearBitmaps;
  }

  // Frees what the first bitmap fills, for cases in which it is not reached: a
  // bitmap table looks like an L2 table, and such a leak is kept.
  void FreeFirst() {
    SetCount(image, kBitmapTable, 0);
    SetCount(image, kBitmapData, 0);
  }

  // Writes directory and extension; the latter as set, but for what is zero.
  TestImage& Finish() {
    const std::vector<std::byte> directory = EncodeBitmapDirectory(entries);
    image.Write(image.OffsetOf(kTable), directory);
    if (extension.nb_bitmaps == 0) {
      extension.nb_bitmaps = static_cast<uint32_t>(entries.size());
    }
    if (extension.directory_size == 0) {
      extension.directory_size = directory.size();
    }
    image.AddExtension(0x11111111, BytesOf("kept"));
    image.AddExtension(kExtensionBitmaps, extension.Encode());
    image.AddExtension(0x33333333, BytesOf("kept"));
    return image;
  }

  TestImage image;
  BitmapExtension extension;
  std::vector<BitmapDirectoryEntry> entries;
};

std::vector<BitmapDirectoryEntry> BitmapsOf(const File& file) {
  const uint64_t place = PlaceOf(file, kExtensionBitmaps);
  std::vector<BitmapDirectoryEntry> entries;
  if (place == 0) return entries;
  const auto extension = BitmapExtension::Decode(BytesAt(file, place + 8, 24));
  for (LocatedBitmap& bitmap :
       DecodeBitmapDirectory(BytesAt(file, extension.directory_offset.value(),
                                     extension.directory_size),
                             ~uint64_t{0})) {
    entries.push_back(std::move(bitmap.entry));
  }
  EXPECT_EQ(entries.size(), extension.nb_bitmaps);
  return entries;
}

void ExpectOthersKept(const File& file) {
  EXPECT_EQ(BytesAt(file, PlaceOf(file, 0x11111111) + 8, 4), BytesOf("kept"));
  EXPECT_EQ(BytesAt(file, PlaceOf(file, 0x33333333) + 8, 4), BytesOf("kept"));
}

TEST(BitmapStepTest, SoundBitmapsAreLeftAlone) {
  BitmapImage bitmaps;
  const Planned planned = PlanFor(bitmaps.Finish().file());
  EXPECT_EQ(planned.repair.before.status, CheckStatus::kClean)
      << Texts(planned.repair.before);
  EXPECT_TRUE(planned.view->DirtyRanges().empty());
}

TEST(BitmapStepTest, StaleBitmapsGo) {
  BitmapImage bitmaps;
  bitmaps.image.header.autoclear_features = 0;
  const Planned planned =
      ExpectMended(bitmaps.Finish(), Problem::kBitmapsStale);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionBitmaps), 0);
  ExpectOthersKept(*planned.view);
}

TEST(BitmapStepTest, DirectoryThatCanBeFoundIsFound) {
  struct Wrong {
    Problem problem;
    std::function<void(BitmapExtension&)> apply;
  };
  const Wrong cases[] = {
      {Problem::kBitmapExtension, [](BitmapExtension& e) { e.reserved = 1; }},
      {Problem::kBitmapExtension,
       [](BitmapExtension& e) { e.directory_size = uint64_t{1} << 40; }},
      {Problem::kBitmapCount,
       [](BitmapExtension& e) { e.nb_bitmaps = 1u << 31; }},
      {Problem::kBitmapExtension,
       [](BitmapExtension& e) {
         e.directory_offset = HostOffset(e.directory_offset.value() + 8);
       }},
      {Problem::kBitmapCount, [](BitmapExtension& e) { e.nb_bitmaps = 3; }},
      {Problem::kBitmapCount,
       [](BitmapExtension& e) { e.directory_size = 32; }},
      {Problem::kBitmapDirectoryEntry,
       [](BitmapExtension& e) { e.directory_size = 40; }},
  };
  for (const Wrong& wrong : cases) {
    BitmapImage bitmaps;
    wrong.apply(bitmaps.extension);
    const Planned planned = ExpectMended(bitmaps.Finish(), wrong.problem);
    EXPECT_EQ(BitmapsOf(*planned.view), bitmaps.entries);
    EXPECT_EQ(
        Be64At(*planned.view, PlaceOf(*planned.view, kExtensionBitmaps) + 24),
        bitmaps.image.OffsetOf(kTable));
    ExpectOthersKept(*planned.view);
  }
}

TEST(BitmapStepTest, LostDirectoryGoesWithItsExtension) {
  BitmapImage bitmaps;
  bitmaps.FreeFirst();
  bitmaps.extension.directory_offset = HostOffset(kPastEnd);
  const Planned planned =
      ExpectMended(bitmaps.Finish(), Problem::kBitmapDirectoryPastEnd);
  EXPECT_EQ(PlaceOf(*planned.view, kExtensionBitmaps), 0);
  EXPECT_EQ(HeaderOf(*planned.view).autoclear_features, 0);
  ExpectOthersKept(*planned.view);
}

TEST(BitmapStepTest, BitmapThatCannotBeUsedIsDroppedAlone) {
  struct Wrong {
    Problem problem;
    std::function<void(BitmapDirectoryEntry&)> apply;
  };
  const Wrong cases[] = {
      {Problem::kBitmapDirectoryEntry,
       [](BitmapDirectoryEntry& e) { e.granularity_bits = 40; }},
      {Problem::kBitmapDirectoryEntry,
       [](BitmapDirectoryEntry& e) { e.type = 2; }},
      {Problem::kBitmapTablePastEnd,
       [](BitmapDirectoryEntry& e) { e.table_offset = HostOffset(kPastEnd); }},
  };
  for (const Wrong& wrong : cases) {
    BitmapImage bitmaps;
    wrong.apply(bitmaps.entries[0]);
    if (wrong.problem == Problem::kBitmapTablePastEnd) bitmaps.FreeFirst();
    const Planned planned = ExpectMended(bitmaps.Finish(), wrong.problem);
    EXPECT_EQ(BitmapsOf(*planned.view),
              std::vector<BitmapDirectoryEntry>{bitmaps.entries[1]});
    ExpectOthersKept(*planned.view);
  }
}

TEST(BitmapStepTest, BitmapInDoubtIsMarkedAsInUse) {
  BitmapImage size;
  size.entries[1].table_size = 2;
  Planned planned = ExpectMended(size.Finish(), Problem::kBitmapSize);
  size.entries[1].flags = kBitmapInUse;
  EXPECT_EQ(BitmapsOf(*planned.view), size.entries);

  BitmapImage flags;
  flags.entries[1].flags = 0x80 | kBitmapAuto;
  planned = ExpectMended(flags.Finish(), Problem::kBitmapDirectoryEntry);
  flags.entries[1].flags = kBitmapInUse | kBitmapAuto;
  EXPECT_EQ(BitmapsOf(*planned.view), flags.entries);
}

TEST(BitmapStepTest, SecondOfANameGetsAnother) {
  BitmapImage bitmaps;
  bitmaps.entries[1].name = "nightly";
  const Planned planned =
      ExpectMended(bitmaps.Finish(), Problem::kBitmapDuplicateName);
  bitmaps.entries[1].name = "nightly-2";
  bitmaps.entries[0].flags = bitmaps.entries[1].flags = kBitmapInUse;
  EXPECT_EQ(BitmapsOf(*planned.view), bitmaps.entries);
}

TEST(BitmapStepTest, DamagedPartOfABitmapBecomesAllChanged) {
  for (const auto& [word, problem] :
       {std::pair(uint64_t{1} << 57, Problem::kBitmapTableEntry),
        std::pair(kPastEnd, Problem::kBitmapDataPastEnd)}) {
    BitmapImage bitmaps;
    bitmaps.image.WriteBe64(bitmaps.image.OffsetOf(kBitmapTable), word);
    const Planned planned = ExpectMended(bitmaps.Finish(), problem);
    EXPECT_EQ(BitmapsOf(*planned.view), bitmaps.entries);
    EXPECT_EQ(Be64At(*planned.view, bitmaps.image.OffsetOf(kBitmapTable)), 1);
  }
}

TEST(BitmapStepTest, BitmapTableThatIsSomethingElseIsNotWrittenTo) {
  BitmapImage bitmaps;
  // The L2 table: its entries make no bitmap table.
  bitmaps.entries[1].table_offset = HostOffset(bitmaps.image.OffsetOf(kL2));
  TestImage& image = bitmaps.Finish();
  const std::vector<std::byte> before =
      BytesAt(image.file(), image.OffsetOf(kL2), image.cluster_size());
  const Planned planned = PlanFor(image.file());
  EXPECT_EQ(BitmapsOf(*planned.view),
            std::vector<BitmapDirectoryEntry>{bitmaps.entries[0]});
  EXPECT_EQ(BytesAt(*planned.view, image.OffsetOf(kL2), image.cluster_size()),
            before);
}

TEST(BitmapStepTest, BitsPastTheEndOfTheDiskAreCleared) {
  BitmapImage bitmaps;
  // The disk has 12 KiB: one bit of 64 KiB.
  bitmaps.image.WriteText(bitmaps.image.OffsetOf(kBitmapData), "\x7f\x01");
  const Planned planned = ExpectMended(bitmaps.Finish(), Problem::kBitmapTail);
  EXPECT_EQ(BitmapsOf(*planned.view), bitmaps.entries);
  EXPECT_EQ(BytesAt(*planned.view, bitmaps.image.OffsetOf(kBitmapData), 2),
            (std::vector<std::byte>{std::byte{1}, std::byte{0}}));
}

}  // namespace
}  // namespace qcow2::repair
