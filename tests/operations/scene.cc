#include "tests/operations/scene.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "engine/storage/posix_file.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"
#include "tests/engine/soundness.h"

namespace qcow2 {

Scene::Scene() : folder_(testing::TempDir() + "/scene_XXXXXX") {
  EXPECT_NE(mkdtemp(folder_.data()), nullptr);
}

Scene::~Scene() { std::filesystem::remove_all(folder_); }

std::string Scene::Run(const std::string& command) const {
  std::string output;
  const int status =
      RunCommand("cd '" + folder_ + "' && " + command + " 2>&1", &output);
  if (status == 0) return "";
  return command + " exits with " + std::to_string(status) + ": " + output;
}

std::string Scene::QemuImg(const std::string& arguments) const {
  return Run("qemu-img " + arguments);
}

std::string Scene::QemuIo(const std::string& arguments) const {
  return Run("qemu-io " + arguments);
}

void Scene::MakeRaw(const std::string& name, uint64_t size,
                    uint64_t seed) const {
  const std::vector<std::byte> bytes = MixedContents(size, seed);
  std::ofstream file(Path(name), std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good());
}

std::string Scene::Complaints(const std::string& name) const {
  const auto file = PosixFile::Open(Path(name));
  if (!file.ok()) return file.status().ToString();
  return FindingsOf(CheckFile(**file)) + QemuImg("check -q " + name);
}

std::string Scene::Differences(const std::string& a,
                               const std::string& format_a,
                               const std::string& b,
                               const std::string& format_b) const {
  return QemuImg("compare -f " + format_a + " -F " + format_b + " " + a + " " +
                 b);
}

std::vector<std::byte> MixedContents(uint64_t size, uint64_t seed) {
  constexpr uint64_t kLongestStretch = 200'000;
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (uint64_t at = 0; at < size;) {
    const uint64_t length = std::min(1 + random() % kLongestStretch, size - at);
    const uint64_t kind = random() % 3;
    for (uint64_t i = 0; i < length && kind != 0; ++i) {
      bytes[at + i] = static_cast<std::byte>(kind == 1 ? random() : 'x');
    }
    at += length;
  }
  return bytes;
}

}  // namespace qcow2
