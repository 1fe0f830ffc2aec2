#include "tests/engine/shared_image.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/codec/luks_create.h"
#include "engine/image/create.h"
#include "engine/image/image_chain.h"
#include "engine/image/snapshot_disk.h"
#include "engine/image/snapshots.h"
#include "engine/status_macros.h"
#include "engine/storage/posix_file.h"
#include "tests/differential/qemu_img.h"
#include "tests/engine/soundness.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr char kPassphrase[] = "open sesame";
// QEMU gives up now and then when it measures how fast the processor is.
constexpr int kAttempts = 50;

absl::StatusOr<std::unique_ptr<PosixFile>> OpenNew(const std::string& path) {
  const std::ofstream made(path);
  return PosixFile::Open(path, {.writable = true});
}

// OK if `disk` reads `expected`.
absl::Status CompareDisk(GuestDisk& disk, const Bytes& expected) {
  if (disk.size_bytes() != expected.size()) {
    return absl::DataLossError(absl::StrCat(
        disk.name(), " has ", disk.size_bytes(), " bytes to the engine"));
  }
  Bytes read(expected.size());
  RETURN_IF_ERROR(disk.Read(0, read));
  const auto wrong = std::mismatch(read.begin(), read.end(), expected.begin());
  if (wrong.first == read.end()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the engine reads something else at ",
                                          wrong.first - read.begin(), " of ",
                                          disk.name()));
}

}  // namespace

absl::Status SharedImage::Run(const std::string& command) const {
  std::string output;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (RunCommand(absl::StrCat("cd '", folder_, "' && ", command, " 2>&1"),
                   &output) == 0) {
      return absl::OkStatus();
    }
    if (output.find("accurate CPU usage") == std::string::npos) break;
  }
  return absl::InternalError(absl::StrCat(command, "\n", output));
}

SharedImage::SharedImage(std::string folder, SharedImageOptions options)
    : folder_(std::move(folder)),
      path_(folder_ + "/image.qcow2"),
      options_(std::move(options)) {
  std::filesystem::create_directories(folder_);
}

SharedImage::~SharedImage() { std::filesystem::remove_all(folder_); }

absl::Status SharedImage::MakeBase(Bytes& contents) {
  CreateOptions& create = options_.create;
  const std::string raw = folder_ + "/base.raw";
  const size_t size = create.virtual_size * 2 / 3 / 512 * 512;
  std::mt19937_64 random(5);
  for (size_t at = 0; at < size; at += 1 + random() % 4096) {
    contents[at] = static_cast<std::byte>(random());
  }
  std::ofstream out(raw, std::ios::binary);
  out.write(reinterpret_cast<const char*>(contents.data()),
            static_cast<std::streamsize>(size));
  out.close();
  create.backing_file = "base.raw";
  create.backing_format = options_.backing_format;
  if (create.backing_format == "raw") return absl::OkStatus();
  create.backing_file = "base.qcow2";
  return Run("qemu-img convert -c -f raw -O qcow2 base.raw base.qcow2");
}

std::string SharedImage::QemuCreateOptions() const {
  const CreateOptions& create = options_.create;
  std::vector<std::string> options = {
      absl::StrCat("compat=", create.version == 2 ? "0.10" : "1.1"),
      absl::StrCat("cluster_size=", 1 << create.cluster_bits),
      absl::StrCat("refcount_bits=", create.refcount_bits)};
  if (create.lazy_refcounts) options.emplace_back("lazy_refcounts=on");
  if (create.extended_l2) options.emplace_back("extended_l2=on");
  if (create.compression_type == CompressionType::kZstd) {
    options.emplace_back("compression_type=zstd");
  }
  if (create.preallocation == Preallocation::kMetadata) {
    options.emplace_back("preallocation=metadata");
  }
  if (!create.data_file.empty()) {
    options.push_back(absl::StrCat("data_file=", create.data_file));
    if (create.data_file_raw) options.emplace_back("data_file_raw=on");
  }
  if (create.crypt_method == kCryptAes) {
    options.emplace_back("encrypt.format=aes,encrypt.key-secret=s");
  }
  if (create.crypt_method == kCryptLuks) {
    options.emplace_back(
        "encrypt.format=luks,encrypt.iter-time=10,encrypt.key-secret=s");
  }
  return absl::StrJoin(options, ",");
}

absl::Status SharedImage::MakeByQemu() {
  const CreateOptions& create = options_.create;
  const std::string backing = create.backing_file.empty()
                                  ? ""
                                  : absl::StrCat(" -b ", create.backing_file,
                                                 " -F ", create.backing_format);
  return Run(absl::StrCat("qemu-img create -q ", Secret(), " -f qcow2 -o ",
                          QemuCreateOptions(), backing, " image.qcow2 ",
                          create.virtual_size));
}

absl::Status SharedImage::MakeByEngine() {
  CreateOptions create = options_.create;
  if (create.crypt_method == kCryptLuks) {
    LuksCreateOptions luks;
    luks.derivation.iterations = 1000;
    ASSIGN_OR_RETURN(NewLuks made,
                     CreateLuks(luks, qcow2::Secret::FromText(kPassphrase)));
    create.luks_area = std::move(made.area);
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file, OpenNew(path_));
  std::unique_ptr<PosixFile> data_file;
  if (!create.data_file.empty()) {
    ASSIGN_OR_RETURN(data_file, OpenNew(folder_ + "/" + create.data_file));
  }
  return CreateImage(*file, data_file.get(), create);
}

absl::StatusOr<DiskModel> SharedImage::Make(uint64_t seed) {
  CreateOptions& create = options_.create;
  DiskModel model(create.virtual_size, seed);
  if (!options_.backing_format.empty()) {
    RETURN_IF_ERROR(MakeBase(model.bytes()));
  }
  if (!create.data_file.empty()) create.data_file = "image.data";
  RETURN_IF_ERROR(options_.maker == Side::kQemu ? MakeByQemu()
                                                : MakeByEngine());
  return model;
}

std::string SharedImage::Secret() const {
  return encrypted()
             ? absl::StrCat("--object secret,id=s,data='", kPassphrase, "' ")
             : "";
}

std::string SharedImage::Disk() const {
  return absl::StrCat("--image-opts driver=qcow2,file.filename=image.qcow2",
                      encrypted() ? ",encrypt.key-secret=s" : "");
}

absl::StatusOr<std::unique_ptr<Image>> SharedImage::Open(bool writable) {
  ChainOptions chain;
  chain.writable = writable;
  chain.tuning.l2_cache_bytes = 0;
  chain.tuning.refcount_cache_bytes = 0;
  chain.passphrase = [](const std::string&) {
    return qcow2::Secret::FromText(kPassphrase);
  };
  return OpenImage(path_, chain);
}

absl::Status SharedImage::RunQemuIo(const std::string& script) {
  std::ofstream(folder_ + "/script") << script;
  return Run(absl::StrCat("qemu-io ", Secret(), Disk(), " < script"));
}

bool SharedImage::QemuCanCompress() const {
  const CreateOptions& create = options_.create;
  return create.data_file.empty() && !encrypted() &&
         create.preallocation == Preallocation::kOff;
}

// A process of its own does so: QEMU 7.2 goes on behind the compressed data it
// stored last even when that was freed meanwhile and its place holds another
// cluster.
absl::Status SharedImage::QemuCompresses(DiskModel& model) {
  const uint64_t cluster = uint64_t{1} << options_.create.cluster_bits;
  const uint64_t clusters = options_.create.virtual_size / cluster;
  std::string script;
  for (uint64_t at = 0; at < clusters; at += 1 + model.random()() % 8) {
    const auto pattern = static_cast<uint8_t>(model.random()());
    absl::StrAppend(&script, "write -c -P ", pattern, " ", at * cluster, " ",
                    cluster, "\n");
    std::fill_n(model.bytes().begin() + static_cast<ptrdiff_t>(at * cluster),
                cluster, std::byte{pattern});
  }
  return RunQemuIo(script);
}

absl::Status SharedImage::QemuWrites(DiskModel& model) {
  std::mt19937_64& random = model.random();
  const uint64_t size = options_.create.virtual_size;
  const uint64_t cluster = uint64_t{1} << options_.create.cluster_bits;
  std::string script;
  for (int i = 0; i < 25; ++i) {
    const uint64_t offset = random() % (size / 512) * 512;
    const uint64_t length =
        std::min((1 + random() % (2 * cluster / 512)) * 512, size - offset);
    const uint64_t kind = random() % 6;
    const auto pattern = static_cast<uint8_t>(kind < 2 ? 0 : random());
    const std::string how = kind == 0   ? "-z"
                            : kind == 1 ? "-z -u"
                                        : absl::StrCat("-P ", pattern);
    absl::StrAppend(&script, "write ", how, " ", offset, " ", length, "\n");
    std::fill_n(model.bytes().begin() + static_cast<ptrdiff_t>(offset), length,
                std::byte{pattern});
  }
  return RunQemuIo(script);
}

absl::Status SharedImage::EngineWrites(DiskModel& model, int requests) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image, Open(/*writable=*/true));
  for (int i = 0; i < requests; ++i) {
    const absl::Status status = model.Step(*image);
    if (!status.ok()) {
      return absl::InternalError(
          absl::StrCat(model.last(), ": ", status.ToString()));
    }
  }
  return image->Close();
}

absl::Status SharedImage::TakeSnapshot(Side side, const std::string& name) {
  if (side == Side::kQemu) {
    return Run(
        absl::StrCat("qemu-img snapshot ", Secret(), "-c ", name, " ", Disk()));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image, Open(/*writable=*/true));
  NewSnapshot snapshot;
  snapshot.name = name;
  RETURN_IF_ERROR(CreateSnapshot(image->core(), snapshot).status());
  return image->Close();
}

absl::Status SharedImage::ApplySnapshot(Side side, const std::string& name) {
  if (side == Side::kQemu) {
    return Run(
        absl::StrCat("qemu-img snapshot ", Secret(), "-a ", name, " ", Disk()));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image, Open(/*writable=*/true));
  RETURN_IF_ERROR(qcow2::ApplySnapshot(image->core(), name));
  return image->Close();
}

absl::Status SharedImage::DeleteSnapshot(Side side, const std::string& name) {
  if (side == Side::kQemu) {
    return Run(
        absl::StrCat("qemu-img snapshot ", Secret(), "-d ", name, " ", Disk()));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Image> image, Open(/*writable=*/true));
  RETURN_IF_ERROR(qcow2::DeleteSnapshot(image->core(), name));
  return image->Close();
}

absl::Status SharedImage::QemuAddsBitmap(const std::string& name) {
  return Run(
      absl::StrCat("qemu-img bitmap ", Secret(), "--add ", Disk(), " ", name));
}

absl::Status SharedImage::BothRead(const Bytes& expected,
                                   const std::string& snapshot) {
  {
    ASSIGN_OR_RETURN(std::unique_ptr<Image> image, Open(/*writable=*/false));
    std::unique_ptr<GuestDisk> disk = std::move(image);
    if (!snapshot.empty()) {
      ASSIGN_OR_RETURN(image, Open(/*writable=*/false));
      ASSIGN_OR_RETURN(disk, SnapshotDisk::Open(std::move(image), snapshot));
    }
    RETURN_IF_ERROR(CompareDisk(*disk, expected));
  }
  RETURN_IF_ERROR(Run(absl::StrCat(
      "qemu-img convert -t unsafe ", Secret(),
      snapshot.empty() ? "" : absl::StrCat("-l snapshot.name=", snapshot, " "),
      Disk(), " -O raw read.raw")));
  std::ifstream in(folder_ + "/read.raw", std::ios::binary);
  const std::string read{std::istreambuf_iterator<char>(in), {}};
  if (std::ranges::equal(std::as_bytes(std::span(read)), expected)) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("qemu-img reads something else",
                                          snapshot.empty() ? "" : " of ",
                                          snapshot));
}

absl::Status SharedImage::BothFindClean() {
  ASSIGN_OR_RETURN(const std::unique_ptr<PosixFile> file,
                   PosixFile::Open(path_));
  const checker::CheckReport report = CheckFile(*file);
  // A bitmap that missed a write is worth a warning and nothing else.
  if (report.status != checker::CheckStatus::kClean) {
    return absl::DataLossError(
        absl::StrCat("the check finds:\n", FindingsOf(report)));
  }
  return Run(absl::StrCat("qemu-img check -q ", Secret(), Disk()));
}

}  // namespace qcow2
