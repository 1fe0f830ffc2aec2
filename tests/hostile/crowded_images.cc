// Tables as long as the format permits, and files far longer than any disk.
#include <array>
#include <utility>

#include "engine/format/entry_flags.h"
#include "engine/format/header_extension.h"
#include "engine/status_macros.h"
#include "tests/hostile/hostile_images.h"
#include "tests/hostile/sparse_image.h"

namespace qcow2::hostile {
namespace {

constexpr uint64_t kL1EntriesMax = kMaxL1Bytes / 8;

// Bit 62 of an L2 entry.
constexpr uint64_t kCompressedFlag = uint64_t{1} << 62;

using Path = const std::string&;

// A refcount table of one cluster and one block, both of zeros; the L1 table
// behind them.
absl::StatusOr<SparseImage> WithRefcounts(Path path, uint32_t cluster_bits) {
  ASSIGN_OR_RETURN(SparseImage image, SparseImage::Create(path, cluster_bits));
  image.SetRefcountTable(
      1, 1, [&image](uint64_t i) { return i == 0 ? image.OffsetOf(2) : 0; });
  return image;
}

// Where L1Max() puts its L2 tables.
uint64_t BehindL1(const SparseImage& image) {
  return 3 + kMaxL1Bytes / image.cluster_size() + 1;
}

// The longest L1 table there may be. `stride`: clusters from one L2 table to
// the next, 0: all entries name the same.
absl::Status L1Max(Path path, uint32_t cluster_bits, uint64_t stride) {
  ASSIGN_OR_RETURN(SparseImage image, WithRefcounts(path, cluster_bits));
  const uint64_t first = BehindL1(image);
  image.SetL1(3, kL1EntriesMax, [&](uint64_t i) {
    return image.OffsetOf(first + i * stride) | kCopiedFlag;
  });
  return image.Finish(image.OffsetOf(first + kL1EntriesMax * stride + 1));
}

// The same, and every L2 table is the L1 table, or a part of it.
absl::Status L1NamesItself(Path path, uint32_t cluster_bits) {
  ASSIGN_OR_RETURN(SparseImage image, WithRefcounts(path, cluster_bits));
  const uint64_t clusters = kMaxL1Bytes / image.cluster_size();
  image.SetL1(3, kL1EntriesMax, [&](uint64_t i) {
    return image.OffsetOf(3 + i % clusters) | kCopiedFlag;
  });
  return image.Finish(image.OffsetOf(BehindL1(image)));
}

// An L1 table of words that are wrong in a way of their own, each.
absl::Status L1Garbage(Path path, uint32_t cluster_bits) {
  ASSIGN_OR_RETURN(SparseImage image, WithRefcounts(path, cluster_bits));
  image.SetL1(3, kL1EntriesMax,
              [&](uint64_t i) { return i * uint64_t{0x9e3779b97f4a7c15}; });
  return image.Finish(image.OffsetOf(BehindL1(image)));
}

// L2 tables of 2 MiB that are holes but for one page: little to store, much to
// read.
absl::Status SparseL2Tables(Path path, uint64_t tables) {
  ASSIGN_OR_RETURN(SparseImage image, WithRefcounts(path, 21));
  image.SetL1(3, tables,
              [&](uint64_t i) { return image.OffsetOf(4 + i) | kCopiedFlag; });
  for (uint64_t i = 0; i < tables; ++i) {
    image.Fill(image.OffsetOf(4 + i) + (1 << 20), 8, std::byte{0x80});
  }
  return image.Finish(image.OffsetOf(4 + tables));
}

// `entries` L2 entries in tables that lie one behind the other.
absl::Status L2Entries(
    Path path, uint32_t cluster_bits, uint64_t entries,
    const std::function<uint64_t(const SparseImage&, uint64_t)>& entry,
    uint64_t file_clusters) {
  ASSIGN_OR_RETURN(SparseImage image, WithRefcounts(path, cluster_bits));
  const uint64_t per_table = image.cluster_size() / 8;
  const uint64_t tables = entries / per_table;
  const uint64_t first = 3 + tables * 8 / image.cluster_size() + 1;
  image.SetL1(3, tables, [&](uint64_t i) {
    return image.OffsetOf(first + i) | kCopiedFlag;
  });
  image.WriteWords(image.OffsetOf(first), entries,
                   [&](uint64_t i) { return entry(image, i); });
  return image.Finish(image.OffsetOf(first + tables + file_clusters));
}

absl::Status AllNameOneCluster(Path path) {
  const auto entry = [](const SparseImage& image, uint64_t) {
    return image.OffsetOf(1 << 16) | kCopiedFlag;
  };
  return L2Entries(path, 16, 1 << 22, entry, 1 << 17);
}

// No two entries follow each other, half of the clusters are named twice, all
// with COPIED.
absl::Status ScatteredPairs(Path path) {
  const auto entry = [](const SparseImage& image, uint64_t i) {
    return image.OffsetOf((1 << 17) + i * 7919 % (1 << 21) * 2) | kCopiedFlag;
  };
  return L2Entries(path, 12, 1 << 22, entry, 1 << 23);
}

// Every entry names another part of a huge file.
absl::Status FarApart(Path path, uint32_t cluster_bits, uint64_t entries,
                      uint64_t stride) {
  const auto entry = [=](const SparseImage& image, uint64_t i) {
    return image.OffsetOf((i + 1) * stride) | kCopiedFlag;
  };
  return L2Entries(path, cluster_bits, entries, entry, (entries + 1) * stride);
}

// Every compressed cluster reaches as far as it can, over all before it.
absl::Status CompressedOnCompressed(Path path) {
  const auto entry = [](const SparseImage& image, uint64_t i) {
    const uint32_t shift = 62 - (image.header.cluster_bits - 8);
    const uint64_t sectors = (uint64_t{1} << (62 - shift)) - 1;
    return kCompressedFlag | sectors << shift | (uint64_t{1} << 30) | i;
  };
  return L2Entries(path, 16, 1 << 21, entry, 1 << 16);
}

absl::Status RefcountTableMax(Path path, uint32_t cluster_bits,
                              uint32_t refcount_order, std::byte counts,
                              uint64_t stride, uint64_t file_clusters) {
  ASSIGN_OR_RETURN(SparseImage image, SparseImage::Create(path, cluster_bits));
  image.header.refcount_order = refcount_order;
  const uint64_t clusters = kMaxRefcountTableBytes / image.cluster_size();
  const uint64_t first = 1 + clusters;
  image.SetRefcountTable(1, clusters, [&](uint64_t i) {
    return image.OffsetOf(first + i * stride);
  });
  if (counts != std::byte{0}) {
    image.Fill(image.OffsetOf(first), image.cluster_size(), counts);
  }
  return image.Finish(image.OffsetOf(file_clusters));
}

// `blocks` refcount blocks of 1-bit counts, no two neighbours alike, and so
// large a file that they count clusters of it.
absl::Status AlternatingCounts(Path path, uint64_t blocks, uint64_t stride) {
  ASSIGN_OR_RETURN(SparseImage image, SparseImage::Create(path, 21));
  image.header.refcount_order = 0;
  image.SetRefcountTable(1, 1, [&](uint64_t i) {
    return i < blocks ? image.OffsetOf(2 + i * stride) : 0;
  });
  for (uint64_t i = 0; i < (stride == 0 ? 1 : blocks); ++i) {
    image.Fill(image.OffsetOf(2 + i), image.cluster_size(), std::byte{0x55});
  }
  return image.Finish(image.OffsetOf(blocks * image.cluster_size() * 8));
}

// As many header extensions as cluster 0 has room for.
absl::Status Extensions(Path path, uint32_t type, uint64_t count) {
  ASSIGN_OR_RETURN(SparseImage image, WithRefcounts(path, 21));
  for (uint64_t i = 0; i < count; ++i) {
    const std::array<std::byte, 1> data = {};
    image.AddExtension(type == 0 ? static_cast<uint32_t>(i + 1) : type,
                       std::span(data).first(0));
  }
  return image.Finish(image.OffsetOf(4));
}

absl::Status HugeFile(Path path, uint32_t cluster_bits, int size_bits) {
  ASSIGN_OR_RETURN(SparseImage image, WithRefcounts(path, cluster_bits));
  image.Fill(image.OffsetOf(2), image.cluster_size(), std::byte{1});
  image.SetL1(3, 64, [&](uint64_t i) {
    return (image.OffsetOf(16 + (i << 20)) & ~(~uint64_t{0} << 55)) |
           kCopiedFlag;
  });
  return image.Finish(uint64_t{1} << size_bits);
}

}  // namespace

std::vector<HostileImage> CrowdedImages() {
  return {
      {"FourMillionL1EntriesOneL2Table512",
       [](Path p) { return L1Max(p, 9, 0); }},
      {"FourMillionL1EntriesOneL2Table2M",
       [](Path p) { return L1Max(p, 21, 0); }},
      {"FourMillionL2Tables512", [](Path p) { return L1Max(p, 9, 1); }},
      {"FourMillionL2TablesApart512", [](Path p) { return L1Max(p, 9, 129); }},
      {"FourMillionL2Tables64K", [](Path p) { return L1Max(p, 16, 1); }},
      {"FourMillionL2Tables2M", [](Path p) { return L1Max(p, 21, 1); }},
      {"LongestL1NamesItself512", [](Path p) { return L1NamesItself(p, 9); }},
      {"LongestL1NamesItself64K", [](Path p) { return L1NamesItself(p, 16); }},
      {"L1Garbage512", [](Path p) { return L1Garbage(p, 9); }},
      {"L1Garbage64K", [](Path p) { return L1Garbage(p, 16); }},
      {"SparseL2Tables2M", [](Path p) { return SparseL2Tables(p, 8192); }},
      {"AllL2EntriesNameOneCluster", AllNameOneCluster},
      {"ScatteredPairs", ScatteredPairs},
      {"FarApart512", [](Path p) { return FarApart(p, 9, 1 << 20, 1 << 15); }},
      {"FarApart64K", [](Path p) { return FarApart(p, 16, 1 << 20, 1 << 15); }},
      {"CompressedOnCompressed", CompressedOnCompressed},
      {"ExtensionsOfOneKind",
       [](Path p) { return Extensions(p, kExtensionBackingFormat, 250000); }},
      {"UnknownExtensions", [](Path p) { return Extensions(p, 0, 250000); }},
  };
}

std::vector<HostileImage> HugeImages() {
  std::vector<HostileImage> images = {
      {"RefcountTableMaxOneBlock512",
       [](Path p) {
         return RefcountTableMax(p, 9, 4, std::byte{1}, 0, uint64_t{1} << 33);
       }},
      {"RefcountTableMaxOneBlock2M",
       [](Path p) {
         return RefcountTableMax(p, 21, 4, std::byte{1}, 0, uint64_t{1} << 40);
       }},
      {"RefcountTableMaxBlocks64K",
       [](Path p) {
         return RefcountTableMax(p, 16, 4, std::byte{1}, 1, uint64_t{1} << 35);
       }},
      {"RefcountTableMaxBlocks2M",
       [](Path p) {
         return RefcountTableMax(p, 21, 0, std::byte{1}, 1, uint64_t{1} << 40);
       }},
      {"AlternatingCounts", [](Path p) { return AlternatingCounts(p, 16, 1); }},
      {"AlternatingCountsOneBlock",
       [](Path p) { return AlternatingCounts(p, 1000, 0); }},
      {"AlternatingCountsOneBlockOften",
       [](Path p) { return AlternatingCounts(p, 100000, 0); }},
  };
  for (const uint32_t cluster_bits : {9u, 16u, 21u}) {
    for (const int size_bits : {60, 62}) {
      images.push_back(
          {"Clusters2To" + std::to_string(cluster_bits) + "File2To" +
               std::to_string(size_bits),
           [=](Path p) { return HugeFile(p, cluster_bits, size_bits); }});
    }
  }
  return images;
}

}  // namespace qcow2::hostile
