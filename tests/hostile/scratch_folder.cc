#include "tests/hostile/scratch_folder.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace qcow2::hostile {

ScratchFolder::ScratchFolder() {
  const char* own = std::getenv("TEST_TMPDIR");
  for (const std::string folder : {"/dev/shm", own != nullptr ? own : "/tmp"}) {
    std::string name = folder + "/hostile-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) continue;
    path_ = name;
    return;
  }
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace qcow2::hostile
