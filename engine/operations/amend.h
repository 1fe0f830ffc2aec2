// Amending: changing what an image is, by its path.
#ifndef ENGINE_OPERATIONS_AMEND_H_
#define ENGINE_OPERATIONS_AMEND_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "engine/image/image_chain.h"

namespace qcow2 {

// What is not set stays as it is.
struct AmendOptions {
  std::optional<uint32_t> version = {};  // 2 or 3
  std::optional<uint32_t> refcount_bits = {};
  std::optional<bool> lazy_refcounts = {};
  // The names alone, as an unsafe rebase does it; empty: no backing file.
  std::optional<std::string> backing_file = {};
  std::optional<std::string> backing_format = {};
};

// Makes the image at `path` what `options` say, as the functions of
// engine/image/amend.h do it, one after the other. The backing file is not
// opened.
//
// InvalidArgument for options that do not go together, with nothing changed;
// else as those functions. What an error came after stays changed.
absl::Status AmendImage(const std::string& path, ChainOptions chain,
                        const AmendOptions& options);

}  // namespace qcow2

#endif  // ENGINE_OPERATIONS_AMEND_H_
