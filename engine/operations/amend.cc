#include "engine/operations/amend.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/format/header_extension.h"
#include "engine/image/amend.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

absl::Status CheckOptions(const Header& header, const AmendOptions& options) {
  const uint32_t version = options.version.value_or(header.version);
  if (version != 2 && version != 3) {
    return absl::InvalidArgumentError(absl::StrCat(
        "version ", version,
        " is not one of the format's: 2 (compat 0.10) or 3 (1.1)"));
  }
  if (version == 3) return absl::OkStatus();
  if (options.refcount_bits.value_or(16) != 16) {
    return absl::InvalidArgumentError(
        "refcounts of other than 16 bits need version 3 (compat 1.1)");
  }
  if (options.lazy_refcounts.value_or(false)) {
    return absl::InvalidArgumentError(
        "lazy refcounts need version 3 (compat 1.1)");
  }
  return absl::OkStatus();
}

// The image's own where the options say nothing.
absl::Status ChangeBackingFile(Image& image, const AmendOptions& options) {
  if (!options.backing_file.has_value() &&
      !options.backing_format.has_value()) {
    return absl::OkStatus();
  }
  const HeaderArea area = image.header_area();
  const std::string name = options.backing_file.value_or(area.backing_name);
  const std::string own_format =
      name.empty() ? "" : area.TextOf(kExtensionBackingFormat).value_or("");
  return SetBackingFile(image, name,
                        options.backing_format.value_or(own_format));
}

}  // namespace

absl::Status AmendImage(const std::string& path, ChainOptions chain,
                        const AmendOptions& options) {
  chain.writable = true;
  chain.writable_backing = false;
  chain.force_share = false;
  chain.backing = NamedFilePolicy::kNone;
  chain.tuning.lazy_refcounts = false;
  chain.tuning.overlap_check &= ~static_cast<uint32_t>(kOverlapInactiveL2);
  ASSIGN_OR_RETURN(std::unique_ptr<Image> image, OpenImage(path, chain));
  const Header header = image->header_area().header;
  RETURN_IF_ERROR(CheckOptions(header, options));
  const uint32_t version = options.version.value_or(header.version);
  if (version == 3) RETURN_IF_ERROR(UpgradeImage(*image));
  if (options.lazy_refcounts.has_value()) {
    RETURN_IF_ERROR(SetLazyRefcounts(*image, *options.lazy_refcounts));
  }
  RETURN_IF_ERROR(ChangeBackingFile(*image, options));
  const uint32_t bits = uint32_t{1} << header.refcount_order;
  if (options.refcount_bits.value_or(bits) != bits) {
    RETURN_IF_ERROR(ChangeRefcountWidth(*image, *options.refcount_bits));
    image.reset();
    ASSIGN_OR_RETURN(image, OpenImage(path, chain));
  }
  if (version == 2) RETURN_IF_ERROR(DowngradeImage(*image));
  return image->Close();
}

}  // namespace qcow2
