#include "engine/image/create_header.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/format/feature_name_table.h"
#include "engine/format/header.h"
#include "engine/format/header_extension.h"
#include "engine/format/luks_extension.h"

namespace qcow2 {
namespace {

void SetVersion3Fields(const CreateOptions& options, Header& header) {
  header.refcount_order =
      static_cast<uint32_t>(std::countr_zero(options.refcount_bits));
  header.compression_type = static_cast<uint8_t>(options.compression_type);
  const auto set_if = [](bool wanted, uint64_t bit, uint64_t& features) {
    if (wanted) features |= bit;
  };
  set_if(!options.data_file.empty(), kIncompatibleDataFile,
         header.incompatible_features);
  set_if(options.compression_type != CompressionType::kDeflate,
         kIncompatibleCompressionType, header.incompatible_features);
  set_if(options.extended_l2, kIncompatibleExtendedL2,
         header.incompatible_features);
  set_if(options.lazy_refcounts, kCompatibleLazyRefcounts,
         header.compatible_features);
  set_if(options.data_file_raw, kAutoclearRawData, header.autoclear_features);
}

Header MakeHeader(const CreateOptions& options, const ImageLayout& layout) {
  Header header;
  header.version = options.version;
  header.cluster_bits = options.cluster_bits;
  header.size = options.virtual_size;
  header.crypt_method = options.crypt_method;
  header.l1_size = static_cast<uint32_t>(layout.l1_entries);
  header.l1_table_offset = layout.l1_table;
  header.refcount_table_offset = layout.refcount_table;
  header.refcount_table_clusters =
      static_cast<uint32_t>(layout.refcount_table_clusters);
  if (options.version == 2) {
    header.header_length = kHeaderLengthV2;
  } else {
    SetVersion3Fields(options, header);
  }
  return header;
}

void Append(uint32_t type, std::span<const std::byte> data, HeaderArea& area) {
  area.extensions.push_back({type, {data.begin(), data.end()}});
}

void Append(uint32_t type, std::string_view text, HeaderArea& area) {
  Append(type, std::as_bytes(std::span(text)), area);
}

}  // namespace

HeaderArea MakeHeaderArea(const CreateOptions& options,
                          const ImageLayout& layout) {
  HeaderArea area;
  area.header = MakeHeader(options, layout);
  area.backing_name = options.backing_file;
  if (!options.backing_format.empty()) {
    Append(kExtensionBackingFormat, options.backing_format, area);
  }
  if (!options.data_file.empty()) {
    Append(kExtensionDataFile, options.data_file, area);
  }
  if (options.crypt_method == kCryptLuks) {
    const LuksExtension luks = {.offset = layout.luks_area,
                                .length = options.luks_area.size()};
    Append(kExtensionLuks, luks.Encode(), area);
  }
  if (options.feature_name_table && options.version >= 3 &&
      options.cluster_bits >= kMinFeatureNameClusterBits) {
    Append(kExtensionFeatureNames, KnownFeatureNames(), area);
  }
  return area;
}

}  // namespace qcow2
