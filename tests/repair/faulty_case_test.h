// What a test begins with that repairs cases of the corpus on storage that
// fails: the image in memory, behind a file with faults, and its journal in the
// case's folder.
//
// For tests only.
#ifndef TESTS_REPAIR_FAULTY_CASE_TEST_H_
#define TESTS_REPAIR_FAULTY_CASE_TEST_H_

#include <cstddef>
#include <filesystem>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/storage/faulty_file.h"
#include "engine/storage/file.h"
#include "engine/storage/forwarding_file.h"
#include "engine/storage/memory_file.h"
#include "tests/corpus/case_test.h"

namespace qcow2::corpus {

class FaultyCaseTest : public CaseTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(CaseTest::SetUp());
    Restore();
  }

  // The image as it was, no faults, no journal.
  void Restore() {
    memory_ = std::make_unique<MemoryFile>(case_->image());
    faulty_ = std::make_unique<FaultyFile>(*memory_);
    for (const char* name : {"journal", "undo", "undo.1"}) {
      std::filesystem::remove(InFolder(name));
    }
  }
  std::vector<std::byte> Contents() const {
    return {memory_->bytes().begin(), memory_->bytes().end()};
  }
  // `request` for an image that is on no disk here.
  template <typename Request>
  Request InMemory(Request request) const {
    request.paths = {InFolder("journal"), InFolder("undo")};
    request.open_remote =
        [this](bool /*writable*/) -> absl::StatusOr<std::unique_ptr<File>> {
      return std::make_unique<ForwardingFile>(static_cast<File&>(*faulty_));
    };
    return request;
  }

  std::unique_ptr<MemoryFile> memory_;
  std::unique_ptr<FaultyFile> faulty_;
};

}  // namespace qcow2::corpus

#endif  // TESTS_REPAIR_FAULTY_CASE_TEST_H_
