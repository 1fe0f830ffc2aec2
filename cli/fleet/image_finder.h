// Finds the images that a run over many is about: those named, those in trees,
// and those that others lie on.
//
// Reads the first bytes of files; writes nothing.
#ifndef CLI_FLEET_IMAGE_FINDER_H_
#define CLI_FLEET_IMAGE_FINDER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/fleet/fleet_options.h"
#include "engine/storage/named_file.h"
#include "engine/storage/posix_file.h"

namespace qcow2::cli {

struct FleetImage {
  std::string path;  // what to call it
  // Of one that is on a server; empty for a file of this machine.
  std::string address = {};
  // Where it was found; both empty for one that was named, or that an image
  // names as its backing file.
  std::string root = {};
  std::string relative = {};
  // Other images found that have it as their backing file.
  uint64_t overlays = 0;
};

// The image that `argument`, a path or an address, stands for.
FleetImage NamedImage(const std::string& argument);

struct FindRequest {
  // Images, and with `options.recursive` also folders.
  const std::vector<std::string>& arguments;
  const FleetOptions& options;
  // Whether a file at this path was an image at an earlier run. Then it is one
  // now as well, whatever it begins with.
  std::function<bool(const std::string& path)> was_image;
  // Told of files that look like images but are none.
  std::function<void(const std::string& remark)> remark;
  const std::atomic<bool>* cancel = nullptr;
  // Which backing files may be opened because an image names them.
  NamedFilePolicy named_files = NamedFilePolicy::kFollow;
};

struct FoundImages {
  // Every file once, under the first of its names.
  std::vector<FleetImage> images;
  uint64_t other_names = 0;  // hard links to files already found
  uint64_t doubtful = 0;     // files that `remark` was told of
  std::vector<absl::Status> errors;
};

FoundImages FindImages(const FindRequest& request);

// Opens an image of this machine that was found, for reading and without locks.
absl::StatusOr<std::unique_ptr<PosixFile>> OpenFound(const FleetImage& image);

}  // namespace qcow2::cli

#endif  // CLI_FLEET_IMAGE_FINDER_H_
