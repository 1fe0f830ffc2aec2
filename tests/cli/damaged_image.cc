#include "tests/cli/damaged_image.h"

#include "gtest/gtest.h"
#include "tests/cli/program.h"

namespace qcow2 {

DamagedImage MakeDamagedImage(const std::string& path) {
  EXPECT_EQ(QemuImg({"create", "-q", "-f", "qcow2", path, "64M"}).exit_code, 0);
  EXPECT_EQ(RunProgram({"qemu-io", "-c", "write -P 7 0 1M", path}).exit_code,
            0);
  DamagedImage image;
  image.sound = ReadFile(path);
  image.damaged = image.sound;
  SetRefcount(image.damaged, 6, 0);
  image.damaged.resize(image.damaged.size() + kCluster);
  SetRefcount(image.damaged, image.sound.size() / kCluster, 1);
  WriteFile(path, image.damaged);
  return image;
}

void SetRefcount(std::string& image, size_t cluster, char count) {
  image.at(2 * kCluster + 2 * cluster + 1) = count;
}

}  // namespace qcow2
