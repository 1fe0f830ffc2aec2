// Writing to an image whose refcounts leave out a cluster that is in use, that
// of the header or of an L2 table: it is given to nobody, and the image still
// opens and reads.
#include <memory>
#include <utility>
#include <vector>

#include "engine/format/byte_order.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr uint64_t kClusterBytes = 512;

class DamagedRefcountsTest : public testing::Test {
 protected:
  void SetUp() override {
    CreateOptions create;
    create.cluster_bits = 9;
    create.virtual_size = 40 * kClusterBytes;
    ASSERT_EQ(CreateImage(file_, nullptr, create), absl::OkStatus());
    header_ = HeaderBytes();
  }

  std::unique_ptr<Image> Open(bool writable) {
    ImageOptions options;
    options.writable = writable;
    auto image = Image::Open(std::make_unique<ForwardingFile>(file_),
                             std::move(options));
    EXPECT_EQ(image.status(), absl::OkStatus());
    return *std::move(image);
  }
  Bytes HeaderBytes() const {
    const auto begin = file_.bytes().begin();
    return {begin, begin + kClusterBytes};
  }
  uint64_t TableOffset() const { return LoadBe64(file_.bytes().data() + 48); }
  void Zero(uint64_t offset, size_t bytes) {
    ASSERT_EQ(file_.Pwrite(offset, Bytes(bytes)), absl::OkStatus());
  }
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
    Bytes now = HeaderBytes();
    now[79] = header_[79];
    std::copy_n(header_.begin() + 48, 12, now.begin() + 48);
    EXPECT_TRUE(now == header_);
    const auto image = Open(/*writable=*/false);
    Bytes read(image->size_bytes());
    EXPECT_EQ(image->Read(0, read), absl::OkStatus());
  }

  MemoryFile file_;
  Bytes header_;
};

TEST_F(DamagedRefcountsTest, ABlockThatIsMissingIsMadeBehindTheHeader) {
  Zero(TableOffset(), 8);
  ExpectRoomBehindTheHeader();
}

TEST_F(DamagedRefcountsTest, AHeaderThatIsNotCountedIsNotFree) {
  Zero(LoadBe64(file_.bytes().data() + TableOffset()), 2);
  ExpectRoomBehindTheHeader();
}

TEST_F(DamagedRefcountsTest, WritesWithoutABlockLeaveTheHeader) {
  Zero(TableOffset(), 8);
  WriteAll();
  ExpectHeaderInPlace();
}

TEST_F(DamagedRefcountsTest, WritesWithAHeaderNotCountedLeaveIt) {
  Zero(LoadBe64(file_.bytes().data() + TableOffset()), 2);
  WriteAll();
  ExpectHeaderInPlace();
}

TEST_F(DamagedRefcountsTest, AnL2TableThatIsNotCountedIsNotItsOwnCopy) {
  WriteAll();
  Bytes before(40 * kClusterBytes);
  ASSERT_EQ(Open(/*writable=*/false)->Read(0, before), absl::OkStatus());
  // Shared, as its L1 entry says, and yet with no reference.
  const uint64_t l1 = LoadBe64(file_.bytes().data() + 40);
  const uint64_t table = LoadBe64(file_.bytes().data() + l1) << 1 >> 1;
  const uint64_t block = LoadBe64(file_.bytes().data() + TableOffset());
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
