// Images made to cost a checker more than they should: claims of millions,
// circles, tables on top of tables, files far larger than any disk.
//
// For tests only; each writes one file.
#ifndef TESTS_HOSTILE_HOSTILE_IMAGES_H_
#define TESTS_HOSTILE_HOSTILE_IMAGES_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace qcow2::hostile {

struct HostileImage {
  std::string name;  // letters, digits and underscores
  std::function<absl::Status(const std::string& path)> write;
};
void PrintTo(const HostileImage& image, std::ostream* out);

// Circles: tables that name themselves or each other.
std::vector<HostileImage> CircularImages();
// Tables as long as the format permits, and longer.
std::vector<HostileImage> CrowdedImages();
// Of snapshots and bitmaps, as many as the format permits, and more.
std::vector<HostileImage> CrowdedDirectories();
// Files of up to 2^62 bytes that hold next to nothing.
std::vector<HostileImage> HugeImages();

}  // namespace qcow2::hostile

#endif  // TESTS_HOSTILE_HOSTILE_IMAGES_H_
