#include "engine/image/bitmaps.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/format/bitmap_extension.h"
#include "engine/format/header_extension.h"
#include "engine/image/bitmap_store.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

constexpr uint64_t kLeastDefaultGranularity = 4 << 10;
constexpr uint64_t kMostDefaultGranularity = 64 << 10;

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

absl::StatusOr<BitmapDirectory> LoadIntact(Metadata& metadata) {
  ASSIGN_OR_RETURN(BitmapDirectory directory, LoadBitmapDirectory(metadata));
  if (directory.intact) return directory;
  const auto extension =
      BitmapExtension::Decode(metadata.area().Find(kExtensionBitmaps)->data);
  return absl::DataLossError(absl::StrCat(
      metadata.file().name(), ": the directory of ", extension.nb_bitmaps,
      " dirty bitmaps at 0x", absl::Hex(extension.directory_offset.value()),
      ", ", extension.directory_size,
      " bytes, is damaged; qcow2-fsck --repair mends it or drops it"));
}

absl::Status NoSuchBitmap(const Metadata& metadata, const File& file,
                          std::string_view name) {
  const bool stale =
      metadata.area().Find(kExtensionBitmaps) != nullptr &&
      (metadata.header().autoclear_features & kAutoclearBitmaps) == 0;
  return absl::NotFoundError(absl::StrCat(
      file.name(), ": there is no bitmap \"", View(name), "\"",
      stale ? "; a program that does not know bitmaps has written the image, "
              "and what it has of them is void"
            : ""));
}

absl::Status Inconsistent(const File& file, std::string_view name) {
  return absl::FailedPreconditionError(
      absl::StrCat(file.name(), ": bitmap \"", View(name),
                   "\" is inconsistent: it was in use and not stored; it can "
                   "only be removed"));
}

absl::Status Unusable(const File& file, std::string_view name) {
  return absl::FailedPreconditionError(
      absl::StrCat(file.name(), ": bitmap \"", View(name),
                   "\" has a type, flags, extra data or a size that are not "
                   "known here"));
}

absl::Status Damaged(const File& file, std::string_view name) {
  return absl::DataLossError(absl::StrCat(
      file.name(), ": the table of bitmap \"", View(name), "\" is damaged"));
}

// Calls `visit` with the bits of each cluster of a bitmap and the index of
// their first byte, with what is unstored added. False if its table is damaged.
absl::StatusOr<bool> VisitBits(
    Metadata& metadata, const BitmapDirectoryEntry& entry,
    const DirtyBits* unstored,
    const std::function<void(uint64_t first, std::span<const std::byte>)>&
        visit) {
  ASSIGN_OR_RETURN(const auto table, ReadBitmapTable(metadata, entry));
  if (!table.has_value()) return false;
  const uint64_t cluster_size = metadata.geometry().cluster_size();
  const uint64_t bit_count =
      DirtyBits(metadata.header().size, entry.granularity_bits).bit_count();
  std::vector<std::byte> bits(cluster_size);
  for (uint64_t i = 0; i < table->size(); ++i) {
    const BitmapTableEntry stored((*table)[i]);
    const uint64_t first = i * cluster_size;
    const bool more =
        unstored != nullptr && unstored->Touches(first, cluster_size);
    if (stored.raw() == 0 && !more) continue;
    RETURN_IF_ERROR(ReadBits(metadata, stored, bits));
    if (more) unstored->OrInto(first, bits);
    ClearBitsFrom(bits, bit_count - first * 8);
    visit(first, bits);
  }
  return true;
}

absl::StatusOr<std::optional<uint64_t>> DirtyBytesOf(
    Metadata& metadata, const BitmapDirectoryEntry& entry,
    const DirtyBits* unstored) {
  const uint64_t size = metadata.header().size;
  uint64_t count = 0;
  bool last = false;
  const DirtyBits all(size, entry.granularity_bits);
  const uint64_t last_bit = all.bit_count() - 1;
  ASSIGN_OR_RETURN(
      const bool readable,
      VisitBits(metadata, entry, unstored,
                [&](uint64_t first, std::span<const std::byte> bits) {
                  count += CountBits(bits);
                  const uint64_t byte = last_bit / 8 - first;
                  if (last_bit / 8 < first || byte >= bits.size()) return;
                  last = (bits[byte] >> (last_bit % 8) & std::byte{1}) !=
                         std::byte{0};
                }));
  if (!readable) return std::nullopt;
  // The last bit may stand for less.
  const uint64_t past_end = ((last_bit + 1) << entry.granularity_bits) - size;
  return (count << entry.granularity_bits) - (last ? past_end : 0);
}

// One change of an image's bitmaps, while nobody else uses the image.
class BitmapWork {
 public:
  BitmapWork(ImageCore& core, const BitmapDirectory& directory)
      : core_(core),
        metadata_(*core.metadata),
        size_(core.metadata->header().size),
        change_(*core.metadata, directory) {}

  absl::Status Add(const NewBitmap& bitmap);
  absl::Status Remove(std::string_view name);
  absl::Status Clear(std::string_view name);
  absl::Status SetRecords(std::string_view name, bool records);
  absl::Status Merge(std::string_view name, const DirtyBits& dirty);
  absl::Status Resize(uint64_t new_size);
  absl::Status Replace(
      uint64_t new_size,
      const std::function<absl::Status(HeaderArea next)>& switch_header);

 private:
  // The entry of a bitmap that can be used.
  absl::StatusOr<BitmapDirectoryEntry*> FindUsable(std::string_view name);
  absl::Status ResizeOne(BitmapDirectoryEntry& entry, uint64_t new_size);
  absl::StatusOr<uint32_t> GranularityBitsFor(const NewBitmap& bitmap) const;
  absl::Status CheckName(const std::string& name) const;

  ImageCore& core_;
  Metadata& metadata_;
  const uint64_t size_;
  BitmapChange change_;
};

absl::StatusOr<BitmapDirectoryEntry*> BitmapWork::FindUsable(
    std::string_view name) {
  BitmapDirectoryEntry* const entry = change_.Find(name);
  if (entry == nullptr) return NoSuchBitmap(metadata_, *core_.file, name);
  if (entry->in_use()) return Inconsistent(*core_.file, name);
  if (!IsUsable(*entry, size_, metadata_.geometry())) {
    return Unusable(*core_.file, name);
  }
  return entry;
}

absl::StatusOr<uint32_t> BitmapWork::GranularityBitsFor(
    const NewBitmap& bitmap) const {
  const Geometry& geometry = metadata_.geometry();
  const uint64_t granularity = bitmap.granularity_bytes.value_or(
      std::clamp(geometry.cluster_size(), kLeastDefaultGranularity,
                 kMostDefaultGranularity));
  const auto bits = static_cast<uint32_t>(std::bit_width(granularity)) - 1;
  if (!std::has_single_bit(granularity) || bits < kMinBitmapGranularityBits ||
      bits > kMaxBitmapGranularityBits) {
    return absl::InvalidArgumentError(
        absl::StrCat(core_.file->name(),
                     ": a bitmap's granularity is a power of two from 512 to "
                     "2147483648, not ",
                     granularity));
  }
  if (BitmapTableEntriesFor(size_, bits, geometry) > kMaxBitmapBytes >>
      geometry.cluster_bits()) {
    return absl::InvalidArgumentError(
        absl::StrCat(core_.file->name(), ": with a granularity of ",
                     granularity, " the bitmap of a disk of ", size_,
                     " bytes would take more than ", kMaxBitmapBytes));
  }
  return bits;
}

absl::Status BitmapWork::CheckName(const std::string& name) const {
  if (name.empty() || name.size() > kMaxBitmapNameBytes ||
      name.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(core_.file->name(), ": a bitmap's name has 1 to ",
                     kMaxBitmapNameBytes, " bytes, none of them NUL"));
  }
  return absl::OkStatus();
}

absl::Status BitmapWork::Add(const NewBitmap& bitmap) {
  RETURN_IF_ERROR(CheckName(bitmap.name));
  if (change_.Find(bitmap.name) != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat(core_.file->name(),
                                                 ": there is a bitmap \"",
                                                 bitmap.name, "\" already"));
  }
  if (size_ == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        core_.file->name(), ": a disk of 0 bytes cannot have a bitmap"));
  }
  if (change_.entries().size() >= kMaxBitmaps) {
    return absl::ResourceExhaustedError(
        absl::StrCat(core_.file->name(), ": the image has ", kMaxBitmaps,
                     " bitmaps, and there cannot be more"));
  }
  BitmapDirectoryEntry entry;
  ASSIGN_OR_RETURN(const uint32_t bits, GranularityBitsFor(bitmap));
  entry.granularity_bits = static_cast<uint8_t>(bits);
  entry.flags = bitmap.records ? kBitmapAuto : 0;
  entry.name = bitmap.name;
  RETURN_IF_ERROR(change_.Clear(entry, size_));
  change_.entries().push_back(std::move(entry));
  return change_.Commit(size_);
}

absl::Status BitmapWork::Remove(std::string_view name) {
  const BitmapDirectoryEntry* const entry = change_.Find(name);
  if (entry == nullptr) return NoSuchBitmap(metadata_, *core_.file, name);
  RETURN_IF_ERROR(change_.GiveUp(*entry));
  change_.entries().erase(change_.entries().begin() +
                          (entry - change_.entries().data()));
  return change_.Commit(size_);
}

absl::Status BitmapWork::Clear(std::string_view name) {
  ASSIGN_OR_RETURN(BitmapDirectoryEntry* const entry, FindUsable(name));
  RETURN_IF_ERROR(change_.Clear(*entry, size_));
  return change_.Commit(size_);
}

absl::Status BitmapWork::SetRecords(std::string_view name, bool records) {
  ASSIGN_OR_RETURN(BitmapDirectoryEntry* const entry, FindUsable(name));
  entry->flags =
      records ? entry->flags | kBitmapAuto : entry->flags & ~kBitmapAuto;
  return change_.Commit(size_);
}

absl::Status BitmapWork::Merge(std::string_view name, const DirtyBits& dirty) {
  ASSIGN_OR_RETURN(BitmapDirectoryEntry* const entry, FindUsable(name));
  if (entry->granularity_bits != dirty.granularity_bits() ||
      DirtyBits(size_, entry->granularity_bits).bit_count() !=
          dirty.bit_count()) {
    return absl::AbortedError(absl::StrCat(core_.file->name(), ": bitmap \"",
                                           View(name), "\" changed meanwhile"));
  }
  ASSIGN_OR_RETURN(const bool merged, change_.Merge(*entry, dirty));
  if (!merged) return Damaged(*core_.file, name);
  return change_.Commit(size_);
}

absl::Status BitmapWork::ResizeOne(BitmapDirectoryEntry& entry,
                                   uint64_t new_size) {
  ASSIGN_OR_RETURN(const bool resized, change_.Resize(entry, size_, new_size));
  return resized ? absl::OkStatus() : Damaged(*core_.file, entry.name);
}

absl::Status BitmapWork::Resize(uint64_t new_size) {
  for (BitmapDirectoryEntry& entry : change_.entries()) {
    RETURN_IF_ERROR(FindUsable(entry.name).status());
    RETURN_IF_ERROR(ResizeOne(entry, new_size));
  }
  return change_.Commit(new_size);
}

absl::Status BitmapWork::Replace(
    uint64_t new_size,
    const std::function<absl::Status(HeaderArea next)>& switch_header) {
  for (BitmapDirectoryEntry& entry : change_.entries()) {
    RETURN_IF_ERROR(FindUsable(entry.name).status());
    RETURN_IF_ERROR((entry.flags & kBitmapAuto) != 0
                        ? change_.SetAll(entry, new_size)
                        : ResizeOne(entry, new_size));
  }
  ASSIGN_OR_RETURN(HeaderArea next, change_.WriteDirectory(new_size));
  RETURN_IF_ERROR(switch_header(std::move(next)));
  change_.Committed();
  return absl::OkStatus();
}

// For who has the image to itself. An error: the header is as it was.
template <typename Work>
absl::Status ChangeUnflushed(ImageCore& core, const Work& work) {
  Metadata& metadata = *core.metadata;
  RETURN_IF_ERROR(metadata.BeginChange());
  if (metadata.header().version < 3) {
    return absl::FailedPreconditionError(absl::StrCat(
        core.file->name(),
        ": an image of version 2 (compat 0.10) cannot have dirty bitmaps"));
  }
  if (core.bitmaps != nullptr) RETURN_IF_ERROR(core.bitmaps->Store());
  ASSIGN_OR_RETURN(const BitmapDirectory directory, LoadIntact(metadata));
  {
    BitmapWork bitmaps(core, directory);
    RETURN_IF_ERROR(work(bitmaps));
  }
  core.bitmaps = HasConsistentBitmaps(metadata)
                     ? std::make_unique<BitmapTracker>(metadata)
                     : nullptr;
  return absl::OkStatus();
}

template <typename Work>
absl::Status ChangeHeld(ImageCore& core, const Work& work) {
  RETURN_IF_ERROR(ChangeUnflushed(core, work));
  return core.metadata->Flush();
}

template <typename Work>
absl::Status Change(ImageCore& core, const Work& work) {
  const ExclusiveUse everything(core);
  return ChangeHeld(core, work);
}

// The entry of a bitmap, stored or recording at the moment.
absl::StatusOr<BitmapDirectoryEntry> FindToRead(
    ImageCore& core, const BitmapDirectory& directory, std::string_view name) {
  const LocatedBitmap* const found = directory.Find(name);
  if (found == nullptr) return NoSuchBitmap(*core.metadata, *core.file, name);
  const bool recording =
      core.bitmaps != nullptr && core.bitmaps->Unstored(name) != nullptr;
  if (found->entry.in_use() && !recording) {
    return Inconsistent(*core.file, name);
  }
  if (!IsUsable(found->entry, core.metadata->header().size,
                core.metadata->geometry())) {
    return Unusable(*core.file, name);
  }
  return found->entry;
}

// What is dirty in a bitmap, in stretches of 2^granularity_bits bytes.
absl::StatusOr<DirtyBits> ReadBitmap(ImageCore& core, std::string_view name,
                                     uint32_t granularity_bits) {
  MutexLock held(&core.mutex);
  Metadata& metadata = *core.metadata;
  ASSIGN_OR_RETURN(const BitmapDirectory directory, LoadIntact(metadata));
  ASSIGN_OR_RETURN(const BitmapDirectoryEntry entry,
                   FindToRead(core, directory, name));
  DirtyBits dirty(metadata.header().size, granularity_bits);
  const auto add = [&](uint64_t first, std::span<const std::byte> bits) {
    for (uint64_t i = 0; i < bits.size(); ++i) {
      const uint64_t at = (first + i) * 8;
      for (uint64_t bit = 0; bits[i] != std::byte{0} && bit < 8; ++bit) {
        if ((bits[i] >> bit & std::byte{1}) == std::byte{0}) continue;
        dirty.Set((at + bit) << entry.granularity_bits,
                  uint64_t{1} << entry.granularity_bits);
      }
    }
  };
  const DirtyBits* const unstored =
      core.bitmaps == nullptr ? nullptr : core.bitmaps->Unstored(name);
  ASSIGN_OR_RETURN(const bool readable,
                   VisitBits(metadata, entry, unstored, add));
  if (!readable) return Damaged(*core.file, name);
  return dirty;
}

}  // namespace

absl::StatusOr<std::vector<BitmapInfo>> ListBitmaps(ImageCore& core) {
  MutexLock held(&core.mutex);
  Metadata& metadata = *core.metadata;
  ASSIGN_OR_RETURN(const BitmapDirectory directory, LoadIntact(metadata));
  std::vector<BitmapInfo> list;
  for (const LocatedBitmap& located : directory.bitmaps) {
    const BitmapDirectoryEntry& entry = located.entry;
    BitmapInfo info;
    info.name = entry.name;
    info.granularity_bytes =
        entry.granularity_bits < 64 ? uint64_t{1} << entry.granularity_bits : 0;
    const DirtyBits* const unstored =
        core.bitmaps == nullptr ? nullptr : core.bitmaps->Unstored(entry.name);
    info.in_use = entry.in_use() && unstored == nullptr;
    info.records = (entry.flags & kBitmapAuto) != 0;
    if (!info.in_use &&
        IsUsable(entry, metadata.header().size, metadata.geometry())) {
      ASSIGN_OR_RETURN(info.dirty_bytes,
                       DirtyBytesOf(metadata, entry, unstored));
    }
    list.push_back(std::move(info));
  }
  return list;
}

absl::Status AddBitmap(ImageCore& core, const NewBitmap& bitmap) {
  return Change(core, [&](BitmapWork& work) { return work.Add(bitmap); });
}

absl::Status RemoveBitmap(ImageCore& core, std::string_view name) {
  return Change(core, [&](BitmapWork& work) { return work.Remove(name); });
}

absl::Status ClearBitmap(ImageCore& core, std::string_view name) {
  return Change(core, [&](BitmapWork& work) { return work.Clear(name); });
}

absl::Status EnableBitmap(ImageCore& core, std::string_view name) {
  return Change(core,
                [&](BitmapWork& work) { return work.SetRecords(name, true); });
}

absl::Status DisableBitmap(ImageCore& core, std::string_view name) {
  return Change(core,
                [&](BitmapWork& work) { return work.SetRecords(name, false); });
}

absl::Status MergeBitmap(ImageCore& source, std::string_view source_name,
                         ImageCore& target, std::string_view target_name) {
  uint32_t granularity_bits = 0;
  uint64_t target_size = 0;
  {
    MutexLock held(&target.mutex);
    ASSIGN_OR_RETURN(const BitmapDirectory directory,
                     LoadIntact(*target.metadata));
    ASSIGN_OR_RETURN(const BitmapDirectoryEntry entry,
                     FindToRead(target, directory, target_name));
    granularity_bits = entry.granularity_bits;
    target_size = target.metadata->header().size;
  }
  if (source.size_bytes.load() != target_size) {
    return absl::FailedPreconditionError(absl::StrCat(
        target.file->name(), ": bitmaps of disks of ", target_size, " and ",
        source.size_bytes.load(), " bytes cannot be merged"));
  }
  ASSIGN_OR_RETURN(const DirtyBits dirty,
                   ReadBitmap(source, source_name, granularity_bits));
  return Change(
      target, [&](BitmapWork& work) { return work.Merge(target_name, dirty); });
}

absl::Status CheckBitmapsCanResize(ImageCore& core, uint64_t new_size_bytes) {
  MutexLock held(&core.mutex);
  return CheckBitmapsCanResizeHeld(core, new_size_bytes);
}

absl::Status CheckBitmapsCanResizeHeld(ImageCore& core,
                                       uint64_t new_size_bytes) {
  Metadata& metadata = *core.metadata;
  ASSIGN_OR_RETURN(const BitmapDirectory directory, LoadIntact(metadata));
  const uint64_t most = kMaxBitmapBytes >> metadata.geometry().cluster_bits();
  for (const LocatedBitmap& bitmap : directory.bitmaps) {
    const std::string& name = bitmap.entry.name;
    RETURN_IF_ERROR(FindToRead(core, directory, name).status());
    if (new_size_bytes == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(core.file->name(),
                       ": a disk of 0 bytes cannot have "
                       "bitmaps; remove bitmap \"",
                       name, "\" first"));
    }
    if (BitmapTableEntriesFor(new_size_bytes, bitmap.entry.granularity_bits,
                              metadata.geometry()) > most) {
      return absl::InvalidArgumentError(absl::StrCat(
          core.file->name(), ": bitmap \"", name, "\" of a disk of ",
          new_size_bytes, " bytes would take more than ", kMaxBitmapBytes));
    }
  }
  return absl::OkStatus();
}

absl::Status ResizeWithBitmaps(ImageCore& core, uint64_t new_size_bytes) {
  return ChangeHeld(core, [&](BitmapWork& bitmaps) {
    return bitmaps.Resize(new_size_bytes);
  });
}

absl::Status ReplaceDiskAndBitmaps(
    ImageCore& core, uint64_t new_size_bytes,
    const std::function<absl::Status(HeaderArea next)>& switch_header) {
  return ChangeUnflushed(core, [&](BitmapWork& bitmaps) {
    return bitmaps.Replace(new_size_bytes, switch_header);
  });
}

}  // namespace qcow2
