// Diagnosis of a file whose header is not usable. Two questions: what is it
// instead, told by the marks other formats leave; and are there qcow2 tables
// behind the first cluster, told by tables that name each other? Bounded by
// constants below, whatever the file holds.
#include "checker/header_diagnosis.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checker/pass_findings.h"
#include "checker/printable.h"
#include "engine/format/byte_order.h"
#include "engine/format/entry_flags.h"
#include "engine/format/refcount_block.h"

namespace qcow2::checker {
namespace {

using namespace std::string_view_literals;

// Covers the marks below, the last of which lies at 64 KiB.
constexpr uint64_t kHeadBytes = uint64_t{68} << 10;
// How far tables are looked for, and how often a table's name is followed.
constexpr uint64_t kSearchBytes = uint64_t{64} << 20;
constexpr uint64_t kSearchPieceBytes = uint64_t{1} << 20;
constexpr int kMaxCandidates = 4096;
constexpr uint64_t kSectorBytes = 512;

struct Mark {
  uint64_t offset;
  std::string_view bytes;
  std::string_view name;
};

// The more telling ones first.
constexpr Mark kMarks[] = {
    {0, "QED\0"sv, "a QED image"},
    {0, "KDMV"sv, "a VMDK image"},
    {0, "COWD"sv, "a VMDK image"},
    {0, "# Disk DescriptorFile"sv, "a VMDK descriptor"},
    {64, "\x7f\x10\xda\xbe"sv, "a VDI image"},
    {0, "vhdxfile"sv, "a VHDX image"},
    {0, "conectix"sv, "a VHD image"},
    {0, "WithoutFreeSpace"sv, "a Parallels image"},
    {0, "WithouFreSpacExt"sv, "a Parallels image"},
    {0, "LUKS\xba\xbe"sv, "a LUKS volume"},
    {0, "\x1f\x8b"sv, "gzip data: it may be a compressed image"},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "xz data: it may be a compressed image"},
    {0, "\x28\xb5\x2f\xfd"sv, "zstd data: it may be a compressed image"},
    {0, "BZh"sv, "bzip2 data: it may be a compressed image"},
    {0, "\x04\x22\x4d\x18"sv, "lz4 data: it may be a compressed image"},
    {0, "PK\x03\x04"sv, "a zip archive"},
    {0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive"},
    {257, "ustar"sv, "a tar archive (an OVA file is one)"},
    {32769, "CD001"sv, "an ISO 9660 image"},
    {512, "EFI PART"sv, "a raw disk with a GUID partition table"},
    {4096, "EFI PART"sv, "a raw disk with a GUID partition table"},
    {3, "NTFS    "sv, "a raw NTFS file system"},
    {0, "XFSB"sv, "a raw XFS file system"},
    {0, "hsqs"sv, "a squashfs file system"},
    {65600, "_BHRfS_M"sv, "a raw Btrfs file system"},
    {536, "LABELONE"sv, "an LVM physical volume"},
    {1080, "\x53\xef"sv, "a raw ext2, ext3 or ext4 file system"},
    {510, "\x55\xaa"sv, "a raw disk with a boot sector or partition table"},
    {0,
     "\x7f"
     "ELF"sv,
     "an ELF program"},
};

bool HasMark(std::span<const std::byte> head, const Mark& mark) {
  if (head.size() < mark.offset + mark.bytes.size()) return false;
  return std::equal(
      mark.bytes.begin(), mark.bytes.end(),
      head.begin() + static_cast<ptrdiff_t>(mark.offset),
      [](char c, std::byte b) { return static_cast<std::byte>(c) == b; });
}

bool IsText(std::span<const std::byte> head) {
  const auto start = head.first(std::min<size_t>(head.size(), kSectorBytes));
  return std::all_of(start.begin(), start.end(), [](std::byte byte) {
    const auto c = std::to_integer<unsigned char>(byte);
    return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
}

// ": it looks like ..." or another remark on how the file begins; may be empty.
std::string DescribeHead(std::span<const std::byte> head, uint32_t magic) {
  for (const Mark& mark : kMarks) {
    if (HasMark(head, mark)) {
      return ": it looks like " + std::string(mark.name);
    }
  }
  if (std::all_of(head.begin(), head.end(),
                  [](std::byte b) { return b == std::byte{0}; })) {
    return ": its first " + std::to_string(head.size()) + " bytes are zeros";
  }
  if (IsText(head)) return ": it looks like text";
  const int bits = std::popcount(magic ^ kMagic);
  if (bits <= 4) {
    return ": " + std::to_string(bits) +
           " bits of the qcow2 magic are wrong, the rest is right";
  }
  return "";
}

// qcow2 tables found behind the first cluster.
struct SurvivingTables {
  uint32_t cluster_bits = 0;
  std::string evidence;
};

class TableSearch {
 public:
  explicit TableSearch(CheckState& state) : state_(state) {}

  std::optional<SurvivingTables> Run() {
    for (uint32_t bits = kMinClusterBits; bits <= kMaxClusterBits; ++bits) {
      if (RefcountsInUsualPlace(bits)) {
        return SurvivingTables{
            bits, "a refcount table at " + Hex(uint64_t{1} << bits)};
      }
    }
    return MappingTables();
  }

 private:
  std::vector<std::byte> Read(uint64_t offset, uint64_t length) const {
    std::vector<std::byte> bytes(length);
    state_.reader.Read(offset, bytes);
    return bytes;
  }

  // Whether cluster 1 holds a refcount table, as in a new image, whose first
  // block counts the first cluster, the table and itself once.
  bool RefcountsInUsualPlace(uint32_t bits) const {
    const uint64_t cluster_size = uint64_t{1} << bits;
    const uint64_t file_size = state_.model.file_size_bytes;
    if (file_size <= 2 * cluster_size) return false;
    const std::vector<std::byte> table = Read(cluster_size, kSectorBytes);
    for (size_t at = 0; at < table.size(); at += 8) {
      const uint64_t word = LoadBe64(&table[at]);
      if (word % cluster_size != 0 || word >= file_size) return false;
    }
    const uint64_t block = LoadBe64(table.data());
    const uint64_t self = block / cluster_size;
    if (self < 2) return false;
    const std::vector<std::byte> counts = Read(block, cluster_size);
    for (uint32_t order = 0; order <= kMaxRefcountOrder; ++order) {
      if (self < RefcountsIn(cluster_size, order) &&
          GetRefcount(counts, order, 0) == 1 &&
          GetRefcount(counts, order, 1) == 1 &&
          GetRefcount(counts, order, self) == 1) {
        return true;
      }
    }
    return false;
  }

  // Whether `word` has the shape of an L1 or L2 entry that may be written in
  // place: COPIED, a host offset inside the file, nothing else.
  bool IsEntry(uint64_t word) const {
    const uint64_t offset = word & ~kCopiedFlag;
    return (word & kCopiedFlag) != 0 && offset != 0 &&
           offset % kSectorBytes == 0 && offset < state_.model.file_size_bytes;
  }

  // If `bytes` begins like an L2 table, all that the offsets have set.
  std::optional<uint64_t> OffsetsOfL2(std::span<const std::byte> bytes) const {
    uint64_t offsets = 0;
    int entries = 0;
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      const uint64_t word = LoadBe64(&bytes[at]);
      if (word == 0) continue;
      if (!IsEntry(word)) return std::nullopt;
      offsets |= word & ~kCopiedFlag;
      ++entries;
    }
    if (entries < 2) return std::nullopt;
    return offsets;
  }

  // Looks in one piece of the file for L1 tables, and counts by cluster size
  // those that lead to an L2 table.
  void SearchPiece(std::span<const std::byte> piece) {
    for (size_t at = 0;
         at + kSectorBytes <= piece.size() && candidates_ < kMaxCandidates;
         at += kSectorBytes) {
      const auto sector = piece.subspan(at, kSectorBytes);
      uint64_t word = 0;
      for (size_t i = 0; i < kSectorBytes && word == 0; i += 8) {
        word = LoadBe64(&sector[i]);
      }
      if (!IsEntry(word)) continue;
      ++candidates_;
      const uint64_t table = word & ~kCopiedFlag;
      const std::optional<uint64_t> offsets =
          OffsetsOfL2(Read(table, kSectorBytes));
      if (!offsets) continue;
      const int bits = std::countr_zero(*offsets | table);
      ++votes_[std::min<uint32_t>(bits, kMaxClusterBits)];
    }
  }

  // L1 tables that name L2 tables that name clusters.
  std::optional<SurvivingTables> MappingTables() {
    const uint64_t end = std::min(state_.model.file_size_bytes, kSearchBytes);
    for (uint64_t offset = 0; offset < end && !state_.reader.Cancelled();
         offset += kSearchPieceBytes) {
      SearchPiece(Read(offset, std::min(kSearchPieceBytes, end - offset)));
    }
    const auto most = std::max_element(votes_.begin(), votes_.end());
    if (*most == 0) return std::nullopt;
    return SurvivingTables{static_cast<uint32_t>(most - votes_.begin()),
                           "L1 and L2 tables"};
  }

  CheckState& state_;
  int candidates_ = 0;
  std::array<int, kMaxClusterBits + 1> votes_{};
};

std::string ClusterSizeText(const SurvivingTables& tables) {
  return tables.evidence + ", by clusters of " +
         std::to_string(uint64_t{1} << tables.cluster_bits) + " bytes";
}

}  // namespace

void ReportForeignMagic(CheckState& state, uint32_t magic) {
  std::vector<std::byte> head(
      std::min(state.model.file_size_bytes, kHeadBytes));
  ReportUnreadable(state, Location{}, state.reader.Read(0, head));
  Finding finding = HeaderFinding(Problem::kHeaderMagic, "magic", magic, kMagic,
                                  DescribeHead(head, magic));
  state.sink.Add(std::move(finding));
  const std::optional<SurvivingTables> tables = TableSearch(state).Run();
  if (!tables) return;
  state.sink.Add(HeaderFinding(Problem::kHeaderOverwritten, "", std::nullopt,
                               std::nullopt, ": " + ClusterSizeText(*tables)));
}

void ReportBadClusterBits(CheckState& state, uint32_t cluster_bits) {
  const std::optional<SurvivingTables> tables = TableSearch(state).Run();
  Finding finding =
      HeaderFinding(Problem::kHeaderClusterBits, "cluster_bits", cluster_bits);
  if (tables) {
    finding.expected = tables->cluster_bits;
    finding.detail = "; there are " + ClusterSizeText(*tables);
  }
  state.sink.Add(std::move(finding));
}

}  // namespace qcow2::checker
