// Every image of the corpus, sound or damaged, opened and read as a whole, and
// written to: what is wrong with it is said, and nothing worse happens.
#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/codec/secret.h"
#include "engine/image/image_chain.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/corpus/case_test.h"
#include "tests/corpus/corpus_case.h"
#include "tests/engine/read_everything.h"

namespace qcow2 {
namespace {

using corpus::UnpackedCase;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

ChainOptions Options(const std::string& passphrase) {
  ChainOptions options;
  options.passphrase = [passphrase](const std::string&) {
    return absl::StatusOr<Secret>(Secret::FromText(passphrase));
  };
  return options;
}

// All that went wrong when the image was opened and read.
std::vector<absl::Status> ErrorsOf(const std::string& path,
                                   const ChainOptions& options,
                                   bool* complete = nullptr) {
  const auto image = OpenImage(path, options);
  if (!image.ok()) return {image.status()};
  ReadResult result = ReadEverything(**image);
  if (complete != nullptr) *complete = result.complete;
  result.errors.push_back((*image)->Close());
  std::erase_if(result.errors, [](const absl::Status& s) { return s.ok(); });
  return result.errors;
}

std::string Joined(const std::vector<absl::Status>& errors) {
  std::string text;
  for (const absl::Status& error : errors) {
    absl::StrAppend(&text, error.ToString(), "\n");
  }
  return text;
}

// It says what the matter is and in which file. A key that was damaged cannot
// be told from a passphrase that is wrong.
void ExpectClear(const absl::Status& error, const UnpackedCase& unpacked) {
  EXPECT_THAT(
      error.code(),
      AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kDataLoss,
            absl::StatusCode::kUnimplemented,
            absl::StatusCode::kFailedPrecondition, absl::StatusCode::kNotFound,
            absl::StatusCode::kPermissionDenied))
      << error;
  EXPECT_THAT(std::string(error.message()), HasSubstr(unpacked.directory()));
  EXPECT_EQ(absl::IsPermissionDenied(error),
            absl::StrContains(error.message(), "wrong passphrase"))
      << error;
}

using DamagedImagesTest = corpus::CaseTest;

TEST_P(DamagedImagesTest, IsReadOrSaysWhyNot) {
  for (const bool salvage : {false, true}) {
    ChainOptions options = Options("secret");
    options.tuning.salvage = salvage;
    bool complete = false;
    const auto errors = ErrorsOf(case_->image_path(), options, &complete);
    for (const absl::Status& error : errors) ExpectClear(error, *case_);
    if (opens()) {
      EXPECT_THAT(errors, IsEmpty()) << Joined(errors);
      EXPECT_TRUE(complete);
    }
  }
  const auto now = case_->ReadBack();
  ASSERT_TRUE(now.ok()) << now.status();
  EXPECT_TRUE(*now == case_->image());
}

TEST_P(DamagedImagesTest, IsWrittenOrSaysWhyNot) {
  ChainOptions options = Options("secret");
  options.writable = true;
  const auto image = OpenImage(case_->image_path(), options);
  if (!image.ok()) {
    ExpectClear(image.status(), *case_);
    return;
  }
  const uint64_t cluster = (*image)->geometry().cluster_size();
  const uint64_t size = (*image)->size_bytes();
  std::vector<absl::Status> errors;
  for (uint64_t i = 0; i < 40 && i * 3 * cluster < size; ++i) {
    const uint64_t at = i * 3 * cluster;
    const uint64_t length = std::min(cluster + 512, size - at);
    const std::vector<std::byte> bytes(length, std::byte{0x5a});
    errors.push_back(i % 3 == 0 ? (*image)->Discard(at, length)
                     : i % 3 == 1
                         ? (*image)->WriteZeroes(at, length, ZeroMode::kUnmap)
                         : (*image)->Write(at, bytes));
    if (i % 8 == 0) errors.push_back((*image)->Flush());
  }
  errors.push_back((*image)->Close());
  for (const absl::Status& error : errors) {
    if (!error.ok()) ExpectClear(error, *case_);
    EXPECT_TRUE(error.ok() || !opens()) << error;
  }
}

INSTANTIATE_TEST_SUITE_P(Corpus, DamagedImagesTest,
                         testing::ValuesIn(corpus::CaseNames()),
                         [](const auto& info) {
                           return corpus::TestNameOf(info.param);
                         });

// What is said of a damage first: structure, offset and value.
struct MessageCase {
  const char* name;
  const char* message;
  absl::StatusCode code = absl::StatusCode::kDataLoss;
  bool salvage = false;
  const char* passphrase = "secret";

  friend std::ostream& operator<<(std::ostream& out, const MessageCase& c) {
    return out << c.name;
  }
};

class DamageMessageTest : public testing::TestWithParam<MessageCase> {};

TEST_P(DamageMessageTest, NamesStructureOffsetAndValue) {
  auto unpacked = UnpackedCase::Unpack(GetParam().name);
  ASSERT_EQ(unpacked.status(), absl::OkStatus());
  ChainOptions options = Options(GetParam().passphrase);
  options.tuning.salvage = GetParam().salvage;
  const auto errors = ErrorsOf((*unpacked)->image_path(), options);
  ASSERT_THAT(errors, Not(IsEmpty()));
  EXPECT_EQ(errors[0].code(), GetParam().code) << errors[0];
  EXPECT_THAT(std::string(errors[0].message()), HasSubstr(GetParam().message));
}

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

constexpr MessageCase kMessages[] = {
    {"header-magic", "not a qcow2 image: the file begins with 0x54686973",
     kInvalid},
    {"header-truncated-empty", "not a qcow2 image: the file has 0 bytes",
     kInvalid},
    {"header-truncated", "with bytes of it missing (value 0x40)", kInvalid},
    {"header-version", "version at byte 4 is neither 2 nor 3 (value 0x4)",
     kInvalid},
    {"header-cluster-bits-22",
     "bad header: cluster_bits is 22, must be in 9..21 (cluster_bits is at "
     "byte 20",
     kInvalid},
    {"refcount-order", "bad header: refcount_order is 7, must be at most 6",
     kInvalid},
    {"extended-l2-cluster-size", "bad header: cluster_bits is 12", kInvalid},
    {"header-crypt-method", "crypt_method at byte 32 (value 0x3)", kInvalid},
    {"l1-table-unaligned", "l1_table_offset at byte 40 (value 0x3200)",
     kInvalid},
    {"snapshot-count", "nb_snapshots at byte 60 (value 0x10001)", kInvalid},
    {"unknown-incompatible-feature",
     "features that are not known here: 'time travel' (bit 5); the header's "
     "incompatible_features at byte 72 are 0x20",
     kUnimplemented},
    {"backing-cycle", "a cycle, which has no end", kInvalid},
    {"backing-cycle-long", "a cycle, which has no end", kInvalid},
    {"backing-format", "format is 'qcowx'", kUnimplemented},
    {"backing-name-invalid", "'base\\000raw'", kInvalid},
    {"backing-name-outside", "backing_file_offset at byte 8 (value 0x2000)",
     kInvalid},
    {"l1-entry-unaligned",
     "L1 entry 0x7200 names an L2 table that is not cluster aligned (entry 1 "
     "of the L1 table)"},
    {"l1-entry-past-end", "the L2 table at 0x100000 lies past the end"},
    {"l1-table-past-end", "the L1 table reaches past the end of the file",
     absl::StatusCode::kDataLoss, true},
    {"l2-entry-unaligned",
     "L2 table at 0x4000, entry 1 is 0x6800, which names a cluster that is not "
     "aligned"},
    {"l2-entry-past-end", "the data cluster at 0x100000 lies past the end",
     absl::StatusCode::kDataLoss, true},
    {"compressed-data-file",
     "entry 7 is 0x4000000000006000, which is compressed"},
    {"compressed-undecodable", "compressed cluster at 0x5016: "},
    {"compressed-undecodable-zstd", "compressed cluster at 0x5000: zstd"},
    {"subcluster-contradiction", "entry 0 is 0x8000000000014000, which has"},
    {"subcluster-without-offset", "L2 table at 0x10000, entry 0 is 0x0"},
    {"zero-flag-version-2", "entry 1 is 0x8000000000006001, which has"},
    {"snapshot-table-past-end-name",
     "snapshot table at 0x7000: only 1 of 2 entries are there"},
    {"snapshot-l1-unaligned",
     "entry at byte 0: bad L1 table (offset 0x4200, 2 entries)"},
    {"bitmap-directory-past-end", "the directory of 1 dirty bitmaps at 0x"},
    {"healthy-luks", "wrong passphrase: it opens none of the 1 active", kDenied,
     false, "sesame"},
    {"luks-key-slot-offset",
     "slot 0 has key material from sector 65536 on, past the LUKS area"},
    {"luks-pointer-past-end", "0 bytes after offset 1048576"},
};

INSTANTIATE_TEST_SUITE_P(Corpus, DamageMessageTest,
                         testing::ValuesIn(kMessages), [](const auto& info) {
                           return corpus::TestNameOf(info.param.name);
                         });

}  // namespace
}  // namespace qcow2
