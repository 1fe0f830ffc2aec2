// The corpus as test parameters: finds the cases, unpacks one with the files
// it needs into a directory of its own, and checks it there.
//
// For tests only; writes below the test's temporary directory.
#ifndef TESTS_CORPUS_CORPUS_CASE_H_
#define TESTS_CORPUS_CORPUS_CASE_H_

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checker/check.h"

namespace qcow2::corpus {

using Json = nlohmann::json;

// The names of all cases, sorted. Empty if the corpus cannot be found.
std::vector<std::string> CaseNames();

// A case's name as the name of a test: letters, digits and underscores.
std::string TestNameOf(const std::string& case_name);

// The problem codes without a case, each with the test that raises it instead.
absl::StatusOr<Json> ReadNotFiles();

// What is expected of a case (NAME.expect.json).
absl::StatusOr<Json> ReadExpectation(const std::string& case_name);

// A case unpacked into a directory that goes with the object.
class UnpackedCase {
 public:
  static absl::StatusOr<std::unique_ptr<UnpackedCase>> Unpack(
      const std::string& case_name);
  UnpackedCase(const UnpackedCase&) = delete;
  UnpackedCase& operator=(const UnpackedCase&) = delete;
  ~UnpackedCase();

  const Json& expectation() const { return expectation_; }
  const std::string& directory() const { return directory_; }
  const std::string& image_path() const { return image_path_; }
  // The image as it was unpacked.
  const std::vector<std::byte>& image() const { return image_; }
  // The image as it is in the directory now.
  absl::StatusOr<std::vector<std::byte>> ReadBack() const;

  // Runs the check on the file in the directory, other files found beside it.
  // `options.deep` and `options.open_other_file` are set as the case has it.
  absl::StatusOr<checker::CheckReport> Check(
      checker::CheckOptions options) const;
  // The same on the image in memory.
  checker::CheckReport CheckInMemory(checker::CheckOptions options) const;
  // `options` with what the case sets.
  checker::CheckOptions Complete(checker::CheckOptions options) const;

  // The image before it was damaged; the image itself if it is sound or was
  // never anything else.
  absl::StatusOr<std::vector<std::byte>> ReadOriginal() const;

 private:
  // The analyzer takes the assertions of nlohmann/json for exceptions.
  UnpackedCase() = default;  // NOLINT(bugprone-exception-escape)

  Json expectation_;
  std::string directory_;
  std::string image_path_;
  std::vector<std::byte> image_;
};

}  // namespace qcow2::corpus

#endif  // TESTS_CORPUS_CORPUS_CASE_H_
