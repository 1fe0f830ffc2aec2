// The refcount table has grown out of its place, and moving it fails: the image
// goes on with the old table, and grows when the file takes the new one.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/format/byte_order.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "gtest/gtest.h"
#include "tests/engine/soundness.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr uint64_t kClusterBytes = 512;

// Refuses the first writes of more than a cluster. The engine makes none but of
// a new refcount table where its caller writes clusters one by one.
class RefusesTables : public ForwardingFile {
 public:
  RefusesTables(File& target, int& refusals)
      : ForwardingFile(target), refusals_(refusals) {}

  absl::Status Pwrite(uint64_t offset,
                      std::span<const std::byte> data) override {
    if (data.size() > kClusterBytes && refusals_ > 0) {
      --refusals_;
      return absl::ResourceExhaustedError("no room for a table");
    }
    return ForwardingFile::Pwrite(offset, data);
  }

 private:
  int& refusals_;
};

class RefcountTableMoveTest : public testing::TestWithParam<int> {};

TEST_P(RefcountTableMoveTest, IsDoneAgainWhereItFailed) {
  // A table of one cluster has 64 entries, each for 64 clusters: 2 MiB.
  CreateOptions create;
  create.cluster_bits = 9;
  create.refcount_bits = 64;
  create.virtual_size = 3 << 20;
  MemoryFile file;
  ASSERT_EQ(CreateImage(file, nullptr, create), absl::OkStatus());
  const uint64_t table = LoadBe64(file.bytes().data() + 48);

  int refusals = GetParam();
  int refused_writes = 0;
  ImageOptions options;
  options.writable = true;
  auto image = Image::Open(std::make_unique<RefusesTables>(file, refusals),
                           std::move(options));
  ASSERT_EQ(image.status(), absl::OkStatus());
  for (uint64_t at = 0; at < create.virtual_size; at += kClusterBytes) {
    const Bytes data(kClusterBytes, std::byte(at / kClusterBytes % 251 + 1));
    absl::Status status = (*image)->Write(at, data);
    while (absl::IsResourceExhausted(status) && refused_writes < GetParam()) {
      ++refused_writes;
      EXPECT_EQ(LoadBe64(file.bytes().data() + 48), table);
      ASSERT_EQ((*image)->Flush(), absl::OkStatus());
      EXPECT_EQ(TrueCorruptions(CheckFile(file)), 0u);
      status = (*image)->Write(at, data);
    }
    ASSERT_EQ(status, absl::OkStatus()) << at;
  }
  EXPECT_EQ(refusals, 0);
  EXPECT_EQ(refused_writes, GetParam());
  EXPECT_NE(LoadBe64(file.bytes().data() + 48), table);
  for (uint64_t at = 0; at < create.virtual_size; at += kClusterBytes) {
    Bytes read(kClusterBytes);
    ASSERT_EQ((*image)->Read(at, read), absl::OkStatus());
    ASSERT_TRUE(read ==
                Bytes(kClusterBytes, std::byte(at / kClusterBytes % 251 + 1)))
        << at;
  }
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
  EXPECT_EQ(TrueCorruptions(CheckFile(file)), 0u);
}

INSTANTIATE_TEST_SUITE_P(Refusals, RefcountTableMoveTest,
                         testing::Values(0, 1, 3));

}  // namespace
}  // namespace qcow2
