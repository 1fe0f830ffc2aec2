// Writing to an image whose refcounts leave out a cluster that is in use, that
// of the header or of an L2 table: it is given to nobody, and the image still
// opens and reads.
#include <algorithm>
#include <string>

#include "engine/image/image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/image_bytes_test.h"

namespace qcow2 {
namespace {

class DamagedRefcountsTest : public ImageBytesTest {
 protected:
  void SetUp() override {
    ImageBytesTest::SetUp();
    header_ = ClusterAt(0);
  }

  uint64_t FirstBlockOffset() const { return Load(RefcountTableOffset()); }
  // Writes all of the disk, one cluster after the other.
  void WriteAll() {
    const auto image = Open(/*writable=*/true);
    for (uint64_t at = 0; at < image->size_bytes(); at += kClusterBytes) {
      // The damage may be noticed, and then is said.
      const absl::Status status =
          image->Write(at, Bytes(kClusterBytes, std::byte{0x31}));
      EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
    }
    image->Close().IgnoreError();
  }
  // What a write gets first.
  void ExpectRoomBehindTheHeader() {
    const auto image = Open(/*writable=*/true);
    const ExclusiveUse everything(image->core());
    const auto allocation =
        image->core().metadata->AllocateData(3, HostCluster(0));
    ASSERT_EQ(allocation.status(), absl::OkStatus());
    EXPECT_GT(allocation->run.first, HostCluster(0));
    EXPECT_GT(allocation->run.clusters, 0u);
  }
  void ExpectHeaderInPlace() {
    // But for the corrupt bit, and where a grown refcount table went.
    Bytes now = ClusterAt(0);
    now[79] = header_[79];
    std::copy_n(header_.begin() + 48, 12, now.begin() + 48);
    EXPECT_TRUE(now == header_);
    const auto image = Open(/*writable=*/false);
    Bytes read(image->size_bytes());
    EXPECT_EQ(image->Read(0, read), absl::OkStatus());
  }

  Bytes header_;
};

TEST_F(DamagedRefcountsTest, ABlockThatIsMissingIsMadeBehindTheHeader) {
  Zero(RefcountTableOffset(), 8);
  ExpectRoomBehindTheHeader();
}

TEST_F(DamagedRefcountsTest, AHeaderThatIsNotCountedIsNotFree) {
  Zero(FirstBlockOffset(), 2);
  ExpectRoomBehindTheHeader();
}

TEST_F(DamagedRefcountsTest, WritesWithoutABlockLeaveTheHeader) {
  Zero(RefcountTableOffset(), 8);
  WriteAll();
  ExpectHeaderInPlace();
}

TEST_F(DamagedRefcountsTest, WritesWithAHeaderNotCountedLeaveIt) {
  Zero(FirstBlockOffset(), 2);
  WriteAll();
  ExpectHeaderInPlace();
}

TEST_F(DamagedRefcountsTest, AnL2TableThatIsNotCountedIsNotItsOwnCopy) {
  WriteAll();
  Bytes before(40 * kClusterBytes);
  ASSERT_EQ(Open(/*writable=*/false)->Read(0, before), absl::OkStatus());
  // Shared, as its L1 entry says, and yet with no reference.
  const uint64_t l1 = L1Offset();
  const uint64_t table = Load(l1) << 1 >> 1;
  const uint64_t block = FirstBlockOffset();
  Zero(l1, 1);
  Zero(block + table / kClusterBytes * 2, 2);
  {
    const auto image = Open(/*writable=*/true);
    const absl::Status status = image->Write(0, Bytes(100, std::byte{0x44}));
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                testing::HasSubstr("in use, but its refcount is 0"));
  }
  Bytes after(before.size());
  ASSERT_EQ(Open(/*writable=*/false)->Read(0, after), absl::OkStatus());
  EXPECT_TRUE(after == before);
}

}  // namespace
}  // namespace qcow2
