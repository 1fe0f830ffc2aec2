// Healthy images of many kinds, made by qemu-img, to be damaged.
//
// For tests only; starts processes.
#ifndef TESTS_DIFFERENTIAL_BASE_IMAGES_H_
#define TESTS_DIFFERENTIAL_BASE_IMAGES_H_

#include <span>
#include <string>

namespace qcow2 {

struct BaseImage {
  const char* name;
  // Shell commands that make it at $1.
  const char* script;
};

std::span<const BaseImage> AllBaseImages();

// Makes `base` at `path`. Returns the commands' exit status.
int MakeBaseImage(const BaseImage& base, const std::string& path,
                  std::string* output);

}  // namespace qcow2

#endif  // TESTS_DIFFERENTIAL_BASE_IMAGES_H_
