// QEMU and this engine write to one image in turn, for every variant. What
// either wrote the other reads, and both checks find nothing.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checker/check.h"
#include "engine/image/create.h"
#include "engine/image/image.h"
#include "engine/image/raw_disk.h"
#include "engine/storage/posix_file.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"
#include "tests/engine/disk_model.h"
#include "tests/engine/variants.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

// How a variant's image comes into being.
enum class Maker { kQemu, kEngine };

struct Case {
  EngineVariant variant;
  Maker maker = Maker::kEngine;
  bool backed = false;

  std::string name() const {
    return absl::StrCat(variant.name, backed ? "_backed" : "",
                        maker == Maker::kQemu ? "_by_qemu" : "_by_engine");
  }
  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << c.name();
  }
};

class BothWaysTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/" + GetParam().name();
    std::filesystem::create_directories(folder_);
    path_ = folder_ + "/image.qcow2";
    data_path_ = folder_ + "/image.data";
    base_path_ = folder_ + "/base.raw";
    create_ = GetParam().variant.create;
    if (!create_.data_file.empty()) create_.data_file = data_path_;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  bool encrypted() const { return !GetParam().variant.password.empty(); }
  // Arguments that name the image to a program of QEMU's, and its disk.
  std::string Secret() const {
    return encrypted() ? absl::StrCat("--object secret,id=s,data='",
                                      GetParam().variant.password, "' ")
                       : "";
  }
  std::string Disk() const {
    if (!encrypted()) return absl::StrCat("-f qcow2 ", path_);
    return absl::StrCat("--image-opts driver=qcow2,file.filename=", path_,
                        ",encrypt.format=aes,encrypt.key-secret=s");
  }
  void Run(const std::string& command) {
    std::string output;
    ASSERT_EQ(RunCommand(command + " 2>&1", &output), 0) << command << "\n"
                                                         << output;
  }

  void MakeBase();
  void Make();
  void MakeByQemu();
  std::string CreateArguments() const;
  void RunQemuIo(const std::string& script);
  void QemuCompresses(DiskModel& model);
  void QemuWrites(DiskModel& model);
  void EngineWrites(DiskModel& model);
  void ExpectBothRead(const Bytes& expected);
  absl::StatusOr<std::unique_ptr<Image>> Open(bool writable);
  std::unique_ptr<PosixFile> OpenFile(const std::string& path, bool writable) {
    if (!std::filesystem::exists(path)) std::ofstream{path};
    auto file = PosixFile::Open(path, {.writable = writable});
    EXPECT_EQ(file.status(), absl::OkStatus());
    return *std::move(file);
  }

  std::string folder_;
  std::string path_;
  std::string data_path_;
  std::string base_path_;
  CreateOptions create_;
  Bytes base_;
  std::unique_ptr<File> file_;
  std::unique_ptr<File> data_file_;
};

// A backing file that ends before the disk does.
void BothWaysTest::MakeBase() {
  if (!GetParam().backed) return;
  base_.resize(create_.virtual_size * 2 / 3 / 512 * 512);
  std::mt19937_64 random(5);
  for (size_t at = 0; at < base_.size(); at += 1 + random() % 4096) {
    base_[at] = static_cast<std::byte>(random());
  }
  std::ofstream out(base_path_, std::ios::binary);
  out.write(reinterpret_cast<const char*>(base_.data()),
            static_cast<std::streamsize>(base_.size()));
  create_.backing_file = base_path_;
  create_.backing_format = "raw";
}

std::string BothWaysTest::CreateArguments() const {
  std::vector<std::string> options = {
      absl::StrCat("compat=", create_.version == 2 ? "0.10" : "1.1"),
      absl::StrCat("cluster_size=", 1 << create_.cluster_bits),
      absl::StrCat("refcount_bits=", create_.refcount_bits)};
  if (create_.lazy_refcounts) options.push_back("lazy_refcounts=on");
  if (create_.extended_l2) options.push_back("extended_l2=on");
  if (create_.compression_type == CompressionType::kZstd) {
    options.push_back("compression_type=zstd");
  }
  if (create_.preallocation == Preallocation::kMetadata) {
    options.push_back("preallocation=metadata");
  }
  if (!create_.data_file.empty()) {
    options.push_back(absl::StrCat("data_file=", data_path_));
    if (create_.data_file_raw) options.push_back("data_file_raw=on");
  }
  if (encrypted()) options.push_back("encrypt.format=aes,encrypt.key-secret=s");
  std::string arguments = absl::StrCat("-o ", absl::StrJoin(options, ","));
  if (GetParam().backed) {
    absl::StrAppend(&arguments, " -b ", base_path_, " -F raw");
  }
  return arguments;
}

void BothWaysTest::MakeByQemu() {
  Run(absl::StrCat("qemu-img create -q ", Secret(), " -f qcow2 ",
                   CreateArguments(), " ", path_, " ", create_.virtual_size));
}

void BothWaysTest::Make() {
  if (GetParam().maker == Maker::kQemu) return MakeByQemu();
  auto file = OpenFile(path_, /*writable=*/true);
  std::unique_ptr<PosixFile> data_file;
  if (!create_.data_file.empty()) data_file = OpenFile(data_path_, true);
  ASSERT_EQ(CreateImage(*file, data_file.get(), create_), absl::OkStatus());
}

absl::StatusOr<std::unique_ptr<Image>> BothWaysTest::Open(bool writable) {
  file_ = OpenFile(path_, writable);
  data_file_ = OpenFile(data_path_, writable);
  ImageOptions options;
  options.writable = writable;
  options.l2_cache_bytes = 0;
  options.refcount_cache_bytes = 0;
  if (GetParam().backed) {
    auto base = RawDisk::Open(OpenFile(base_path_, false), false);
    if (!base.ok()) return base.status();
    options.backing = *std::move(base);
  }
  return GetParam().variant.Open(*file_, *data_file_, std::move(options));
}

void BothWaysTest::RunQemuIo(const std::string& script) {
  std::ofstream(folder_ + "/script") << script;
  Run(absl::StrCat("qemu-io ", Secret(), Disk(), " < ", folder_, "/script"));
}

// QEMU compresses only what has no place yet. A process of its own does so:
// QEMU 7.2 goes on behind the compressed data it stored last even when that was
// freed meanwhile and its place holds another cluster.
void BothWaysTest::QemuCompresses(DiskModel& model) {
  const uint64_t cluster = uint64_t{1} << create_.cluster_bits;
  const uint64_t clusters = create_.virtual_size / cluster;
  std::string script;
  for (uint64_t at = 0; at < clusters; at += 1 + model.random()() % 8) {
    const auto pattern = static_cast<uint8_t>(model.random()());
    absl::StrAppend(&script, "write -c -P ", pattern, " ", at * cluster, " ",
                    cluster, "\n");
    std::fill_n(model.bytes().begin() + static_cast<ptrdiff_t>(at * cluster),
                cluster, std::byte{pattern});
  }
  RunQemuIo(script);
}

void BothWaysTest::QemuWrites(DiskModel& model) {
  std::mt19937_64& random = model.random();
  const uint64_t cluster = uint64_t{1} << create_.cluster_bits;
  const uint64_t sectors = create_.virtual_size / 512;
  std::string script;
  for (int i = 0; i < 25; ++i) {
    const uint64_t offset = random() % sectors * 512;
    const uint64_t length = std::min((1 + random() % (2 * cluster / 512)) * 512,
                                     create_.virtual_size - offset);
    const uint64_t kind = random() % 6;
    const auto pattern = static_cast<uint8_t>(kind < 2 ? 0 : random());
    const std::string how = kind == 0   ? "-z"
                            : kind == 1 ? "-z -u"
                                        : absl::StrCat("-P ", pattern);
    absl::StrAppend(&script, "write ", how, " ", offset, " ", length, "\n");
    std::fill_n(model.bytes().begin() + static_cast<ptrdiff_t>(offset), length,
                std::byte{pattern});
  }
  RunQemuIo(script);
}

void BothWaysTest::EngineWrites(DiskModel& model) {
  auto image = Open(/*writable=*/true);
  ASSERT_EQ(image.status(), absl::OkStatus());
  for (int step = 0; step < 40; ++step) {
    ASSERT_EQ(model.Step(**image), absl::OkStatus()) << model.last();
  }
  ASSERT_EQ((*image)->Close(), absl::OkStatus());
}

void BothWaysTest::ExpectBothRead(const Bytes& expected) {
  auto image = Open(/*writable=*/false);
  ASSERT_EQ(image.status(), absl::OkStatus());
  Bytes read(expected.size());
  ASSERT_EQ((*image)->Read(0, read), absl::OkStatus());
  const auto wrong = std::mismatch(read.begin(), read.end(), expected.begin());
  ASSERT_TRUE(wrong.first == read.end())
      << "the engine reads something else at byte "
      << wrong.first - read.begin();
  image->reset();
  const checker::CheckReport report =
      checker::CheckImage(*file_, path_, checker::CheckOptions());
  ASSERT_EQ(report.counts.corruptions + report.counts.leaks, 0u);

  Run(absl::StrCat("qemu-img check -q ", Secret(), Disk()));
  Run(absl::StrCat("qemu-img convert ", Secret(), Disk(), " -O raw ", folder_,
                   "/raw"));
  std::ifstream in(folder_ + "/raw", std::ios::binary);
  const std::string raw{std::istreambuf_iterator<char>(in), {}};
  ASSERT_EQ(raw.size(), expected.size());
  ASSERT_EQ(std::memcmp(raw.data(), expected.data(), raw.size()), 0)
      << "qemu-img reads something else";
}

TEST_P(BothWaysTest, ReadAndWriteOneImage) {
  MakeBase();
  Make();
  if (HasFatalFailure()) return;
  DiskModel model(create_.virtual_size, 1);
  std::copy(base_.begin(), base_.end(), model.bytes().begin());
  if (create_.data_file.empty() && !encrypted() &&
      create_.preallocation == Preallocation::kOff) {
    QemuCompresses(model);
    if (HasFatalFailure()) return;
  }
  for (int round = 0; round < 3; ++round) {
    QemuWrites(model);
    if (HasFatalFailure()) return;
    ExpectBothRead(model.bytes());
    if (HasFatalFailure()) FAIL() << "round " << round << ", after QEMU";
    EngineWrites(model);
    if (HasFatalFailure()) return;
    ExpectBothRead(model.bytes());
    if (HasFatalFailure()) FAIL() << "round " << round << ", after the engine";
  }
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  bool backed = false;
  for (const EngineVariant& variant : EngineVariants()) {
    for (const Maker maker : {Maker::kQemu, Maker::kEngine}) {
      // A raw data file must hold everything itself; nor does preallocation go
      // together with a backing file.
      backed = !backed && !variant.create.data_file_raw &&
               variant.create.preallocation == Preallocation::kOff;
      cases.push_back({variant, maker, backed});
    }
    backed = !backed;
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Variants, BothWaysTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name(); });

}  // namespace
}  // namespace qcow2
