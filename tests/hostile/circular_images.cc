// Tables that name themselves or each other.
#include <utility>

#include "engine/format/entry_flags.h"
#include "engine/status_macros.h"
#include "tests/hostile/hostile_images.h"
#include "tests/hostile/sparse_image.h"

namespace qcow2::hostile {
namespace {

// With 512-byte clusters: the refcount table is cluster 1, its block 2, the L1
// table 3, L2 tables 4 and 5.
absl::StatusOr<SparseImage> SmallImage(const std::string& path) {
  ASSIGN_OR_RETURN(SparseImage image, SparseImage::Create(path, 9));
  image.SetRefcountTable(
      1, 1, [&image](uint64_t i) { return i == 0 ? image.OffsetOf(2) : 0; });
  image.Write(image.OffsetOf(2), std::vector<std::byte>(512, std::byte{1}));
  image.SetL1(3, 2, [&image](uint64_t i) {
    return image.OffsetOf(4 + i) | kCopiedFlag;
  });
  return image;
}

// Every word of the L2 tables names `cluster`.
absl::Status NameInL2(const std::string& path, uint64_t cluster) {
  ASSIGN_OR_RETURN(SparseImage image, SmallImage(path));
  image.WriteWords(image.OffsetOf(4), 128, [&](uint64_t) {
    return image.OffsetOf(cluster) | kCopiedFlag;
  });
  return image.Finish(image.OffsetOf(16));
}

// Every word of the L1 table names `cluster`.
absl::Status NameInL1(const std::string& path, uint64_t cluster) {
  ASSIGN_OR_RETURN(SparseImage image, SmallImage(path));
  image.SetL1(3, 64,
              [&](uint64_t) { return image.OffsetOf(cluster) | kCopiedFlag; });
  return image.Finish(image.OffsetOf(16));
}

absl::Status NameInRefcountTable(const std::string& path, uint64_t cluster) {
  ASSIGN_OR_RETURN(SparseImage image, SmallImage(path));
  image.SetRefcountTable(1, 1,
                         [&](uint64_t) { return image.OffsetOf(cluster); });
  return image.Finish(image.OffsetOf(16));
}

// All structures are the same cluster.
absl::Status AllInOne(const std::string& path) {
  ASSIGN_OR_RETURN(SparseImage image, SmallImage(path));
  image.SetL1(3, 64, [&](uint64_t) { return image.OffsetOf(3); });
  image.SetRefcountTable(3, 1, [&](uint64_t) { return image.OffsetOf(3); });
  image.header.nb_snapshots = 3;
  image.header.snapshots_offset = HostOffset(image.OffsetOf(3));
  return image.Finish(image.OffsetOf(16));
}

}  // namespace

void PrintTo(const HostileImage& image, std::ostream* out) {
  *out << image.name;
}

std::vector<HostileImage> CircularImages() {
  using Path = const std::string&;
  return {
      {"L2NamesHeader", [](Path p) { return NameInL2(p, 0); }},
      {"L2NamesRefcountTable", [](Path p) { return NameInL2(p, 1); }},
      {"L2NamesL1", [](Path p) { return NameInL2(p, 3); }},
      {"L2NamesItself", [](Path p) { return NameInL2(p, 4); }},
      {"L2NamesOtherL2", [](Path p) { return NameInL2(p, 5); }},
      {"L1NamesHeader", [](Path p) { return NameInL1(p, 0); }},
      {"L1NamesRefcountBlock", [](Path p) { return NameInL1(p, 2); }},
      {"L1NamesItself", [](Path p) { return NameInL1(p, 3); }},
      {"RefcountTableNamesHeader",
       [](Path p) { return NameInRefcountTable(p, 0); }},
      {"RefcountTableNamesItself",
       [](Path p) { return NameInRefcountTable(p, 1); }},
      {"RefcountTableNamesL1",
       [](Path p) { return NameInRefcountTable(p, 3); }},
      {"AllInOneCluster", AllInOne},
  };
}

}  // namespace qcow2::hostile
