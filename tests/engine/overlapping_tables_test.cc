// Writing to an image whose tables name a cluster that another structure has
// already: nothing is written over that structure, the image is marked corrupt,
// and no more is written.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/image/image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/image_bytes_test.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kCopied = uint64_t{1} << 63;

class OverlappingTablesTest : public ImageBytesTest {
 protected:
  void SetUp() override {
    ImageBytesTest::SetUp();
    const auto image = Open(/*writable=*/true);
    ASSERT_EQ(image->Write(0, Bytes(kClusterBytes, std::byte{0x31})),
              absl::OkStatus());
    ASSERT_EQ(image->Close(), absl::OkStatus());
  }

  uint64_t L2Offset() const { return Load(L1Offset()) & ~kCopied; }
  // A refcount block for clusters far behind the end, all zeros, in the cluster
  // at `offset`.
  void NameRefcountBlock(uint64_t offset) {
    Store(RefcountTableOffset() + 8, offset);
  }

  // A write at `guest` is refused, at once or when it is stored, for the sake
  // of `structure`, whose cluster at `offset` stays as it is.
  void ExpectRefused(uint64_t guest, const std::string& structure,
                     uint64_t offset) {
    const Bytes before = ClusterAt(offset);
    const auto image = Open(/*writable=*/true);
    const Bytes data(kClusterBytes, std::byte{0x44});
    absl::Status status = image->Write(guest, data);
    if (status.ok()) status = image->Flush();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("would hit " + structure));
    EXPECT_TRUE(ClusterAt(offset) == before);
    // Bit 1 of the incompatible features is CORRUPT.
    EXPECT_EQ(Load(72), 2u);
    EXPECT_TRUE(absl::IsDataLoss(image->Write(8 * kClusterBytes, data)));
    image->Close().IgnoreError();
    EXPECT_TRUE(ClusterAt(offset) == before);
  }
};

TEST_F(OverlappingTablesTest, GuestDataInTheL1Table) {
  Store(L2Offset(), L1Offset() | kCopied);
  ExpectRefused(0, "the active L1 table", L1Offset());
}

TEST_F(OverlappingTablesTest, GuestDataInItsL2Table) {
  Store(L2Offset(), L2Offset() | kCopied);
  ExpectRefused(0, "an active L2 table", L2Offset());
}

TEST_F(OverlappingTablesTest, PartOfAClusterInTheRefcountTable) {
  Store(L2Offset(), RefcountTableOffset() | kCopied);
  ExpectRefused(100, "the refcount table", RefcountTableOffset());
}

TEST_F(OverlappingTablesTest, TheL1TableIsARefcountBlock) {
  Store(L1Offset(), 0);
  NameRefcountBlock(L1Offset());
  ExpectRefused(0, "a refcount block", L1Offset());
}

TEST_F(OverlappingTablesTest, AnL2TableIsARefcountBlock) {
  const uint64_t table = L2Offset();
  Store(table, 0);
  NameRefcountBlock(table);
  ExpectRefused(0, "a refcount block", table);
}

}  // namespace
}  // namespace qcow2
