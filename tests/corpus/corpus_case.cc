#include "tests/corpus/corpus_case.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/posix_file.h"

namespace qcow2::corpus {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

constexpr char kImages[] = "corpus/images";
constexpr char kOriginals[] = "corpus/originals";
constexpr char kExpectSuffix[] = ".expect.json";
constexpr size_t kPieceBytes = size_t{1} << 16;

absl::StatusOr<std::string> ReadText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(path.string());
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::Status WriteBytes(const fs::path& path, std::span<const std::byte> data) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(data.data()),
             static_cast<std::streamsize>(data.size()));
  file.close();
  if (!file) return absl::UnknownError(absl::StrCat("writing ", path.string()));
  return absl::OkStatus();
}

absl::StatusOr<Bytes> ReadPacked(const fs::path& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return absl::NotFoundError(path.string());
  Bytes data;
  int got = 0;
  do {
    const size_t size = data.size();
    data.resize(size + kPieceBytes);
    got = gzread(file, data.data() + size, kPieceBytes);
    data.resize(size + static_cast<size_t>(std::max(got, 0)));
  } while (got > 0);
  // Only closing checks the sum over everything.
  if (gzclose_r(file) != Z_OK || got < 0) {
    return absl::DataLossError(path.string());
  }
  return data;
}

absl::StatusOr<Json> ReadJson(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return absl::DataLossError(path.string());
  return value;
}

absl::StatusOr<std::string> MakeDirectory() {
  std::string name = testing::TempDir() + "/corpus.XXXXXX";
  if (mkdtemp(name.data()) == nullptr) {
    return absl::ErrnoToStatus(errno, name);
  }
  return name;
}

// Other files lie beside the image; the corpus names nothing else.
absl::StatusOr<std::unique_ptr<File>> OpenBeside(const std::string& name,
                                                 const std::string& base) {
  const fs::path path = fs::path(base).parent_path() / name;
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, PosixFile::Open(path));
  return file;
}

}  // namespace

std::vector<std::string> CaseNames() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(kImages, error)) {
    const std::string name = entry.path().filename();
    const size_t stop = name.find(kExpectSuffix);
    if (stop != std::string::npos) names.push_back(name.substr(0, stop));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string TestNameOf(const std::string& case_name) {
  std::string name = case_name;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

absl::StatusOr<Json> ReadNotFiles() {
  return ReadJson("corpus/not_files.json");
}

absl::StatusOr<Json> ReadExpectation(const std::string& case_name) {
  return ReadJson(fs::path(kImages) / (case_name + kExpectSuffix));
}

absl::StatusOr<std::unique_ptr<UnpackedCase>> UnpackedCase::Unpack(
    const std::string& case_name) {
  auto unpacked = std::unique_ptr<UnpackedCase>(new UnpackedCase);
  ASSIGN_OR_RETURN(unpacked->expectation_, ReadExpectation(case_name));
  ASSIGN_OR_RETURN(unpacked->directory_, MakeDirectory());
  const fs::path directory = unpacked->directory_;
  const fs::path stored = kImages;
  ASSIGN_OR_RETURN(unpacked->image_,
                   ReadPacked(stored / (case_name + ".qcow2.gz")));
  unpacked->image_path_ = directory / (case_name + ".qcow2");
  RETURN_IF_ERROR(WriteBytes(unpacked->image_path_, unpacked->image_));
  const fs::path files = stored / (case_name + ".files");
  for (const Json& file :
       unpacked->expectation_.value("files", Json::array())) {
    const std::string name = file.get<std::string>();
    ASSIGN_OR_RETURN(const Bytes data, ReadPacked(files / (name + ".gz")));
    RETURN_IF_ERROR(WriteBytes(directory / name, data));
  }
  return unpacked;
}

UnpackedCase::~UnpackedCase() {
  std::error_code ignored;
  if (!directory_.empty()) fs::remove_all(directory_, ignored);
}

absl::StatusOr<Bytes> UnpackedCase::ReadBack() const {
  ASSIGN_OR_RETURN(const std::string text, ReadText(image_path_));
  const auto bytes = std::as_bytes(std::span(text));
  return Bytes(bytes.begin(), bytes.end());
}

absl::StatusOr<Bytes> UnpackedCase::ReadOriginal() const {
  const std::string name = expectation_.value("original", "");
  if (name.empty()) return image_;
  return ReadPacked(fs::path(kOriginals) / (name + ".qcow2.gz"));
}

checker::CheckOptions UnpackedCase::Complete(
    checker::CheckOptions options) const {
  options.deep = expectation_.value("deep", false);
  options.open_other_file = OpenBeside;
  return options;
}

absl::StatusOr<checker::CheckReport> UnpackedCase::Check(
    checker::CheckOptions options) const {
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file,
                   PosixFile::Open(image_path_));
  return checker::CheckImage(*file, image_path_, Complete(std::move(options)));
}

checker::CheckReport UnpackedCase::CheckInMemory(
    checker::CheckOptions options) const {
  const MemoryFile file(image_);
  return checker::CheckImage(file, image_path_, Complete(std::move(options)));
}

}  // namespace qcow2::corpus
