// The kinds of images that the engine's tests go through: every cluster size,
// refcount width, version, L2 entry format, compression and place of the data,
// each with each at least once.
//
// For tests only.
#ifndef TESTS_ENGINE_VARIANTS_H_
#define TESTS_ENGINE_VARIANTS_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/image/create_options.h"
#include "engine/image/image.h"
#include "engine/storage/file.h"

namespace qcow2 {

struct EngineVariant {
  std::string name;
  CreateOptions create;
  // For an image with crypt_method 1.
  std::string password;

  // Opens the image in `file`, which outlives it; `data_file` is used where the
  // variant has one.
  absl::StatusOr<std::unique_ptr<Image>> Open(File& file, File& data_file,
                                              ImageOptions options) const;

  // What GoogleTest prints.
  friend std::ostream& operator<<(std::ostream& out, const EngineVariant& v) {
    return out << v.name;
  }
};

std::vector<EngineVariant> EngineVariants();

// Those with all in one file and clusters of at most 64 KiB: small enough to be
// looked at thousands of times.
std::vector<EngineVariant> SmallVariants();

}  // namespace qcow2

#endif  // TESTS_ENGINE_VARIANTS_H_
