// What a test over cases of the corpus begins with: the case named by the
// parameter, unpacked afresh for each test.
//
// For tests only; writes below the test's temporary directory.
#ifndef TESTS_CORPUS_CASE_TEST_H_
#define TESTS_CORPUS_CASE_TEST_H_

#include <memory>
#include <string>
#include <utility>

#include "checker/check.h"
#include "gtest/gtest.h"
#include "tests/corpus/corpus_case.h"

namespace qcow2::corpus {

class CaseTest : public testing::TestWithParam<std::string> {
 protected:
  // One that prepares more calls this in ASSERT_NO_FATAL_FAILURE first.
  void SetUp() override {
    auto unpacked = UnpackedCase::Unpack(GetParam());
    ASSERT_TRUE(unpacked.ok()) << unpacked.status();
    case_ = *std::move(unpacked);
  }

  std::string InFolder(const std::string& name) const {
    return case_->directory() + "/" + name;
  }
  // How the case is checked, in one thread.
  checker::CheckOptions InOneJob() const {
    checker::CheckOptions options;
    options.jobs = 1;
    return case_->Complete(options);
  }
  // Whether the image is sound and can be read: one has a LUKS header with key
  // material that opens for nobody.
  bool opens() const {
    return GetParam().starts_with("healthy-") &&
           GetParam() != "healthy-luks-header";
  }

  std::unique_ptr<UnpackedCase> case_;
};

}  // namespace qcow2::corpus

#endif  // TESTS_CORPUS_CASE_TEST_H_
