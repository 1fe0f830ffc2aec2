// The header pass: is there a qcow2 header, and does each of its fields fit the
// others and the file? Collects the geometry, the active L1 table, the place of
// the refcount table and the feature flags. What the header extensions hold is
// left to header_extension_pass.cc, what a file without a usable header is to
// header_diagnosis.cc.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checker/header_diagnosis.h"
#include "checker/header_extension_pass.h"
#include "checker/pass_findings.h"
#include "checker/passes.h"
#include "engine/format/byte_order.h"

namespace qcow2::checker {
namespace {

// Enough for every field known, and what the smallest disk reads at once.
constexpr uint64_t kFirstSectorBytes = 512;
// What is read before the cluster size is known. Most images have their whole
// header cluster in it, and cost a disk that takes its time one request.
constexpr uint64_t kFirstReadBytes = uint64_t{64} << 10;
constexpr uint64_t kL1EntryBytes = 8;
constexpr uint64_t kMaxL1Entries = kMaxL1Bytes / kL1EntryBytes;

bool IsClusterBits(uint32_t bits) {
  return bits >= kMinClusterBits && bits <= kMaxClusterBits;
}

Location HeaderLocation() {
  Location location;
  location.structure = Structure::kHeader;
  return location;
}

// The start of the file, with zeros past its end and where it is unreadable.
struct FileStart {
  std::vector<std::byte> bytes;
  std::vector<UnreadableRange> unreadable;
};

// Makes `start` `length` bytes long. What was read of it before stays as it was
// judged, should another program change it now.
void ReadUpTo(const CheckState& state, uint64_t length, FileStart& start) {
  const uint64_t begin = start.bytes.size();
  start.bytes.resize(length);
  const uint64_t end = std::min(length, state.model.file_size_bytes);
  if (begin >= end) return;
  for (UnreadableRange& range : state.reader.Read(
           begin, std::span(start.bytes).subspan(begin, end - begin))) {
    start.unreadable.push_back(std::move(range));
  }
}

// Reports what is unreadable of the first `length` bytes. False if anything is.
bool IsReadable(CheckState& state, uint64_t length, const FileStart& start) {
  std::vector<UnreadableRange> unreadable;
  for (UnreadableRange range : start.unreadable) {
    if (range.offset_bytes >= length) break;
    range.length_bytes =
        std::min(range.length_bytes, length - range.offset_bytes);
    unreadable.push_back(std::move(range));
  }
  ReportUnreadable(state, HeaderLocation(), unreadable);
  return unreadable.empty();
}

// Whether the bytes are the header of a qcow2 image whose clusters can be told
// apart. Reports what stands against it.
bool IsUsable(CheckState& state, const Header& header) {
  const uint64_t size = state.model.file_size_bytes;
  if (header.magic != kMagic && size >= sizeof(kMagic)) {
    ReportForeignMagic(state, header.magic);
    return false;
  }
  const uint64_t needed =
      header.version >= 3 ? kHeaderLengthV3 : kHeaderLengthV2;
  if (size < needed) {
    state.sink.Add(HeaderFinding(Problem::kHeaderTruncated, "", size, needed));
    return false;
  }
  bool usable = true;
  if (header.version != 2 && header.version != 3) {
    state.sink.Add(
        HeaderFinding(Problem::kHeaderVersion, "version", header.version));
    usable = false;
  }
  if (!IsClusterBits(header.cluster_bits)) {
    ReportBadClusterBits(state, header.cluster_bits);
    usable = false;
  }
  if (LooksLikeDraftV3(header)) {
    state.sink.Add(
        HeaderFinding(Problem::kHeaderDraftV3, "header_length",
                      static_cast<uint32_t>(header.compatible_features)));
    usable = false;
  }
  return usable;
}

void ChooseGeometry(CheckState& state) {
  const Header& header = state.model.header;
  const bool order_known = header.refcount_order <= kMaxRefcountOrder;
  if (!order_known) {
    state.sink.Add(HeaderFinding(Problem::kRefcountOrder, "refcount_order",
                                 header.refcount_order, kMaxRefcountOrder));
    state.model.refcounts_unknown = true;
  }
  const bool fits = header.cluster_bits >= kMinExtendedL2ClusterBits;
  if (header.has_extended_l2() && !fits) {
    state.sink.Add(HeaderFinding(Problem::kExtendedL2ClusterSize,
                                 "cluster_bits", header.cluster_bits,
                                 kMinExtendedL2ClusterBits));
  }
  // Where two fields contradict each other, the feature bit is the more likely
  // to be wrong: hardly anything would be in place with another cluster size.
  state.model.geometry =
      *Geometry::Create(header.cluster_bits,
                        order_known ? header.refcount_order : kRefcountOrderV2,
                        header.has_extended_l2() && fits);
}

// header_length tells where the extensions begin; 0 if it cannot be true.
void JudgeHeaderLength(CheckState& state) {
  const Header& header = state.model.header;
  const uint64_t cluster_size = state.model.geometry->cluster_size();
  if (header.version < 3) return;
  std::string detail;
  if (header.header_length < kHeaderLengthV3) {
    detail = "version 3 needs at least " + std::to_string(kHeaderLengthV3);
  } else if (header.header_length > cluster_size) {
    detail = "that is more than the cluster of " +
             std::to_string(cluster_size) + " bytes it must lie in";
  } else if (header.header_length % 8 != 0) {
    state.sink.Add(HeaderFinding(Problem::kHeaderLengthUnaligned,
                                 "header_length", header.header_length));
    return;
  } else {
    return;
  }
  state.sink.Add(HeaderFinding(Problem::kHeaderLength, "header_length",
                               header.header_length, kHeaderLengthV3,
                               std::move(detail)));
}

void JudgeCompressionType(CheckState& state) {
  const Header& header = state.model.header;
  const uint64_t padding = LoadBePadded(header.padding, 0, 7);
  if (padding != 0) {
    state.sink.Add(
        HeaderFinding(Problem::kHeaderPadding, "padding", padding, 0));
  }
  if (header.compression_type > kCompressionZstd) {
    state.sink.Add(HeaderFinding(Problem::kCompressionTypeUnknown,
                                 "compression_type", header.compression_type));
    return;
  }
  const bool bit = header.has_incompatible(kIncompatibleCompressionType);
  if (bit != (header.compression_type != kCompressionDeflate)) {
    state.sink.Add(HeaderFinding(Problem::kCompressionTypeBit,
                                 "compression_type", header.compression_type,
                                 bit ? kCompressionZstd : kCompressionDeflate));
  }
}

void JudgeStateBits(CheckState& state) {
  const Header& header = state.model.header;
  if (header.has_incompatible(kIncompatibleDirty)) {
    state.sink.Add(HeaderFinding(Problem::kDirtyBit, "incompatible_features",
                                 header.incompatible_features));
  }
  if (header.has_incompatible(kIncompatibleCorrupt)) {
    state.sink.Add(HeaderFinding(Problem::kCorruptBit, "incompatible_features",
                                 header.incompatible_features));
  }
}

void JudgeEncryption(CheckState& state) {
  const uint32_t method = state.model.header.crypt_method;
  state.model.encrypted = method != kCryptNone;
  if (method == kCryptAes) state.summary.encryption = "aes";
  if (method == kCryptLuks) state.summary.encryption = "luks";
  if (method > kCryptLuks) {
    state.sink.Add(
        HeaderFinding(Problem::kHeaderCryptMethod, "crypt_method", method));
  }
}

// Judges size and l1_size. Returns how many entries of the L1 table to follow.
uint64_t JudgeSizes(CheckState& state) {
  const Header& header = state.model.header;
  const uint64_t needed = state.model.geometry->L1EntriesFor(header.size);
  if (needed > kMaxL1Entries) {
    state.sink.Add(
        HeaderFinding(Problem::kHeaderSizeTooLarge, "size", header.size));
  } else if (header.l1_size < needed) {
    state.sink.Add(HeaderFinding(Problem::kL1TableTooSmall, "l1_size",
                                 header.l1_size, needed));
  }
  if (header.size % 512 != 0) {
    state.sink.Add(
        HeaderFinding(Problem::kHeaderSizeUnaligned, "size", header.size));
  }
  if (header.l1_size <= kMaxL1Entries) return header.l1_size;
  state.sink.Add(HeaderFinding(Problem::kL1TableTooLarge, "l1_size",
                               header.l1_size, kMaxL1Entries));
  // The disk's own entries are still worth following; saved VM state behind
  // them is not.
  state.model.references_incomplete = true;
  return std::min(needed, kMaxL1Entries);
}

void FindActiveL1(CheckState& state) {
  ImageModel& model = state.model;
  const uint64_t offset = model.header.l1_table_offset.value();
  const uint64_t entries = JudgeSizes(state);
  const uint64_t length = entries * kL1EntryBytes;
  if (!model.geometry->IsAligned(offset) || !IsAddressable(offset, length)) {
    state.sink.Add(
        HeaderFinding(Problem::kL1TableUnaligned, "l1_table_offset", offset));
    model.references_incomplete = true;
    return;
  }
  // A short table that begins behind the end is none of qemu-img's concern.
  const bool begins_past_end =
      !state.options.qemu_compatible && offset >= model.file_size_bytes;
  if (length != 0 &&
      (begins_past_end || model.ReachesPastEnd(offset, length))) {
    Finding finding = HeaderFinding(Problem::kL1TablePastEnd, "l1_table_offset",
                                    offset, model.file_size_bytes);
    finding.host = RunOf(*model.geometry, offset, length);
    state.sink.Add(std::move(finding));
    model.references_incomplete = true;
  }
  L1Table table;
  table.active = true;
  table.offset_bytes = offset;
  table.entries = entries;
  table.disk_size_bytes = model.header.size;
  model.l1_tables.push_back(std::move(table));
  AddRegion(state, {kOwnerActiveL1, offset, length});
}

// How many clusters the refcount table may be taken to have.
uint64_t RefcountTableClusters(CheckState& state) {
  const ImageModel& model = state.model;
  const uint64_t cluster_size = model.geometry->cluster_size();
  const uint64_t clusters = model.header.refcount_table_clusters;
  const uint64_t limit = kMaxRefcountTableBytes / cluster_size;
  if (clusters == 0) {
    state.sink.Add(HeaderFinding(Problem::kRefcountTableMissing,
                                 "refcount_table_clusters", 0));
  }
  if (clusters <= limit) return clusters;
  state.sink.Add(HeaderFinding(Problem::kRefcountTableTooLarge,
                               "refcount_table_clusters", clusters, limit));
  // As many as the file needs are surely meant.
  const uint64_t blocks =
      (model.FileClusters() + model.geometry->refcount_block_entries() - 1) /
      model.geometry->refcount_block_entries();
  return std::min(limit, model.geometry->ClustersFor(blocks * 8));
}

void FindRefcountTable(CheckState& state) {
  ImageModel& model = state.model;
  const uint64_t offset = model.header.refcount_table_offset.value();
  const uint64_t length = RefcountTableClusters(state)
                          << model.geometry->cluster_bits();
  if (!model.geometry->IsAligned(offset) || !IsAddressable(offset, length)) {
    state.sink.Add(HeaderFinding(Problem::kRefcountTableUnaligned,
                                 "refcount_table_offset", offset));
    model.refcounts_unknown = true;
    return;
  }
  if (length != 0 && model.ReachesPastEnd(offset, length)) {
    Finding finding =
        HeaderFinding(Problem::kRefcountTablePastEnd, "refcount_table_offset",
                      offset, model.file_size_bytes);
    finding.host = RunOf(*model.geometry, offset, length);
    state.sink.Add(std::move(finding));
  }
  AddRegion(state, {kOwnerRefcountTable, offset, length});
  // What lies past the end of the file is zeros: no blocks.
  const uint64_t end = model.FileClusters() << model.geometry->cluster_bits();
  model.refcount_table_offset_bytes = offset;
  model.refcount_table_entries =
      offset < end ? std::min(length, end - offset) / 8 : 0;
}

// What speaks against `name` as the name of a file; empty if nothing does.
std::string NameFault(std::string_view name) {
  for (size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (byte >= 0x20 && byte != 0x7f) continue;
    return std::string(byte == 0 ? "has a NUL byte"
                                 : "has a control character") +
           " at position " + std::to_string(i);
  }
  return "";
}

void ReportBackingName(CheckState& state, std::string fault) {
  state.sink.Add(HeaderFinding(Problem::kBackingNameInvalid,
                               "backing_file_offset",
                               state.model.header.backing_file_offset.value(),
                               std::nullopt, std::move(fault)));
}

// Whether the header says of a name where it is, and that can be true.
bool HasBackingName(CheckState& state, uint64_t cluster_size) {
  const Header& header = state.model.header;
  const uint64_t offset = header.backing_file_offset.value();
  const uint64_t length = header.backing_file_size;
  if (offset == 0) return false;
  if (offset <= cluster_size && length > kMaxBackingNameBytes) {
    state.sink.Add(HeaderFinding(Problem::kBackingNameTooLong,
                                 "backing_file_size", length,
                                 kMaxBackingNameBytes));
    return false;
  }
  if (offset > cluster_size || length > cluster_size - offset) {
    state.sink.Add(HeaderFinding(
        Problem::kBackingNameOutside, "backing_file_offset", offset,
        cluster_size,
        std::to_string(length) + " bytes at " + std::to_string(offset)));
    return false;
  }
  if (offset < header.encoded_size()) {
    ReportBackingName(
        state, "begins inside the header, at byte " + std::to_string(offset));
  }
  return true;
}

// A name of no length is what QEMU leaves when it removes the backing file.
void JudgeBackingName(CheckState& state, std::span<const std::byte> cluster) {
  const Header& header = state.model.header;
  if (!HasBackingName(state, cluster.size())) return;
  std::string name;
  for (const std::byte byte : cluster.subspan(
           header.backing_file_offset.value(), header.backing_file_size)) {
    name.push_back(static_cast<char>(byte));
  }
  std::string fault = NameFault(name);
  if (!fault.empty() && !state.sink.Has(Problem::kBackingNameInvalid)) {
    ReportBackingName(state, std::move(fault));
  }
  state.model.backing_file = name.substr(0, name.find('\0'));
  state.summary.backing_file = state.model.backing_file;
}

void Summarise(CheckState& state) {
  const Header& header = state.model.header;
  ImageSummary& summary = state.summary;
  summary.recognised = true;
  summary.version = header.version;
  summary.virtual_size_bytes = header.size;
  summary.cluster_size_bytes = state.model.geometry->cluster_size();
  summary.refcount_bits = state.model.geometry->refcount_bits();
  summary.compression_type =
      header.compression_type == kCompressionZstd ? "zstd" : "deflate";
}

}  // namespace

bool RunHeaderPass(CheckState& state) {
  const absl::StatusOr<uint64_t> size = state.reader.file().Size();
  if (!size.ok()) {
    state.errors.emplace_back(size.status().message());
    return false;
  }
  state.model.file_size_bytes = *size;
  state.summary.file_size_bytes = *size;

  FileStart start;
  ReadUpTo(state, kFirstReadBytes, start);
  if (!IsReadable(state, kFirstSectorBytes, start)) return false;
  const Header header = Header::Decode(start.bytes);
  if (!IsUsable(state, header)) return false;

  const uint64_t cluster_size = uint64_t{1} << header.cluster_bits;
  ReadUpTo(state, cluster_size, start);
  IsReadable(state, cluster_size, start);
  // Once more, since a header_length that is not true kept more than that.
  state.model.header = Header::Decode(start.bytes);
  ChooseGeometry(state);
  Summarise(state);
  AddRegion(state, {kOwnerHeader, 0, cluster_size});
  state.model.external_data_file = state.model.header.has_external_data_file();
  state.model.raw_external_data =
      (state.model.header.autoclear_features & kAutoclearRawData) != 0;

  JudgeHeaderLength(state);
  JudgeCompressionType(state);
  JudgeStateBits(state);
  JudgeEncryption(state);
  JudgeBackingName(state, start.bytes);
  JudgeHeaderExtensions(state, start.bytes);
  FindActiveL1(state);
  FindRefcountTable(state);
  return true;
}

}  // namespace qcow2::checker
