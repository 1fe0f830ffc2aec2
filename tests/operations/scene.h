// A folder with disks in it, and what qemu-img and the checker say of them.
//
// For tests only.
#ifndef TESTS_OPERATIONS_SCENE_H_
#define TESTS_OPERATIONS_SCENE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace qcow2 {

class Scene {
 public:
  // Makes a folder of its own, which goes with the scene.
  Scene();
  ~Scene();
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }

  // Runs "qemu-img ARGUMENTS", or qemu-io, in the folder; empty if it
  // succeeded, else what it printed.
  std::string QemuImg(const std::string& arguments) const;
  std::string QemuIo(const std::string& arguments) const;

  // A raw disk of data, letters and holes.
  void MakeRaw(const std::string& name, uint64_t size, uint64_t seed) const;

  // What the checker and qemu-img find wrong with the image; empty if nothing.
  std::string Complaints(const std::string& name) const;
  // How the contents of two disks differ, as qemu-img compares them; empty if
  // they do not.
  std::string Differences(const std::string& a, const std::string& format_a,
                          const std::string& b,
                          const std::string& format_b) const;

 private:
  std::string Run(const std::string& command) const;

  std::string folder_;
};

// Stretches of noise, of one letter and of zeros, at any byte.
std::vector<std::byte> MixedContents(uint64_t size, uint64_t seed);

}  // namespace qcow2

#endif  // TESTS_OPERATIONS_SCENE_H_
