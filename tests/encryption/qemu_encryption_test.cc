// Encrypted images both ways: what QEMU encrypted is read, what was encrypted
// here QEMU reads, and both add and remove passphrases.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/codec/luks.h"
#include "engine/codec/luks_create.h"
#include "engine/codec/luks_keys.h"
#include "engine/codec/secret.h"
#include "engine/format/header.h"
#include "engine/image/create.h"
#include "engine/image/create_options.h"
#include "engine/image/header_area.h"
#include "engine/image/image_chain.h"
#include "engine/image/luks_in_image.h"
#include "engine/storage/posix_file.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"

namespace qcow2 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr uint64_t kDiskBytes = uint64_t{2} << 20;
constexpr char kPassphrase[] = "open sesame";

std::string SecretOption(const std::string& id, const std::string& passphrase) {
  return absl::StrCat(" --object 'secret,id=", id, ",data=", passphrase, "'");
}

std::string ImageOption(const std::string& path) {
  return absl::StrCat(" --image-opts driver=qcow2,file.filename=", path,
                      ",encrypt.key-secret=s");
}

// Runs a command that is to succeed.
void Run(const std::string& command) {
  std::string output;
  ASSERT_EQ(RunCommand(command + " 2>&1", &output), 0) << command << output;
}

// Makes an encrypted image with qemu-img, which gives up now and then when it
// measures how fast the processor is.
void CreateByQemu(const std::string& path, const std::string& options,
                  const std::string& passphrase) {
  const std::string command =
      absl::StrCat("qemu-img create -q -f qcow2", SecretOption("s", passphrase),
                   " -o encrypt.key-secret=s,", options, " ", path, " ",
                   kDiskBytes, " 2>&1");
  std::string output;
  for (int attempt = 0; attempt < 50; ++attempt) {
    if (RunCommand(command, &output) == 0) return;
    if (output.find("accurate CPU usage") == std::string::npos) break;
  }
  FAIL() << command << output;
}

// Has qemu-io do `action`; whether it could, verification included.
bool QemuIo(const std::string& path, const std::string& passphrase,
            const std::string& action) {
  std::string output;
  const int status =
      RunCommand(absl::StrCat("qemu-io", SecretOption("s", passphrase),
                              ImageOption(path), " -c '", action, "' 2>&1"),
                 &output);
  return status == 0 && output.find("failed") == std::string::npos;
}

// A stretch of one byte, in the file, the disk and the model of it.
struct Stretch {
  uint64_t offset;
  uint64_t length;
  uint8_t pattern;
};
// Neither aligned nor in the order of the disk, so that host and guest offsets
// of clusters differ.
const std::vector<Stretch> kByQemu = {
    {1048576 + 131072, 65536, 0x41}, {512, 1024, 0x42}, {700000, 90001, 0x43}};
const std::vector<Stretch> kByUs = {
    {1900000, 77777, 0x51}, {700512, 4096, 0x52}, {300, 300, 0x53}};

void WriteByQemu(const std::string& path, const std::string& passphrase,
                 const std::vector<Stretch>& stretches, Bytes& model) {
  for (const auto& [offset, length, pattern] : stretches) {
    ASSERT_TRUE(
        QemuIo(path, passphrase,
               absl::StrCat("write -P ", pattern, " ", offset, " ", length)));
    std::fill_n(model.begin() + static_cast<ptrdiff_t>(offset), length,
                std::byte{pattern});
  }
}

absl::StatusOr<std::unique_ptr<Image>> OpenWith(const std::string& path,
                                                const std::string& passphrase) {
  ChainOptions options;
  options.writable = true;
  options.passphrase = [&](const std::string&) {
    return Secret::FromText(passphrase);
  };
  return OpenImage(path, options);
}

void WriteByUs(const std::string& path, const std::string& passphrase,
               const std::vector<Stretch>& stretches, Bytes& model) {
  auto image = OpenWith(path, passphrase);
  ASSERT_TRUE(image.ok()) << image.status();
  for (const auto& [offset, length, pattern] : stretches) {
    const Bytes data(length, std::byte{pattern});
    ASSERT_TRUE((*image)->Write(offset, data).ok());
    std::copy(data.begin(), data.end(),
              model.begin() + static_cast<ptrdiff_t>(offset));
  }
  ASSERT_TRUE((*image)->Close().ok());
}

void ExpectWeRead(const std::string& path, const std::string& passphrase,
                  const Bytes& model) {
  auto image = OpenWith(path, passphrase);
  ASSERT_TRUE(image.ok()) << image.status();
  Bytes disk(kDiskBytes);
  ASSERT_TRUE((*image)->Read(0, disk).ok());
  EXPECT_TRUE(disk == model);
  ASSERT_TRUE((*image)->Close().ok());
}

// qemu-img checks no image that it cannot decrypt.
void ExpectQemuFindsClean(const std::string& path,
                          const std::string& passphrase) {
  Run(absl::StrCat("qemu-img check", SecretOption("s", passphrase),
                   ImageOption(path)));
}

// Has qemu-img decrypt the whole disk.
void ExpectQemuReads(const std::string& path, const std::string& passphrase,
                     const Bytes& model) {
  const std::string raw = path + ".raw";
  Run(absl::StrCat("qemu-img convert", SecretOption("s", passphrase),
                   ImageOption(path), " -O raw ", raw));
  std::ifstream file(raw, std::ios::binary);
  std::string disk((std::istreambuf_iterator<char>(file)), {});
  ASSERT_EQ(disk.size(), model.size());
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(disk)), model));
  ExpectQemuFindsClean(path, passphrase);
}

// Both read what is there, then each writes in turn and both read that.
void WriteInTurn(const std::string& path, const std::string& passphrase) {
  Bytes model(kDiskBytes);
  ASSERT_NO_FATAL_FAILURE(WriteByQemu(path, passphrase, kByQemu, model));
  ASSERT_NO_FATAL_FAILURE(ExpectWeRead(path, passphrase, model));
  ASSERT_NO_FATAL_FAILURE(WriteByUs(path, passphrase, kByUs, model));
  ASSERT_NO_FATAL_FAILURE(ExpectWeRead(path, passphrase, model));
  ASSERT_NO_FATAL_FAILURE(ExpectQemuReads(path, passphrase, model));
  ASSERT_NO_FATAL_FAILURE(
      WriteByQemu(path, passphrase, {{1900001, 5, 0x61}}, model));
  ASSERT_NO_FATAL_FAILURE(ExpectWeRead(path, passphrase, model));
}

void CreateByUs(const std::string& path, const CreateOptions& options) {
  std::ofstream(path, std::ios::trunc).close();
  auto file = PosixFile::Open(path, {.writable = true});
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::Status status = CreateImage(**file, nullptr, options);
  ASSERT_TRUE(status.ok()) << status;
}

class QemuEncryptionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HaveQemuImg()) GTEST_SKIP() << "qemu-img is not installed";
  }
  void TearDown() override {
    std::remove(path_.c_str());
    std::remove((path_ + ".raw").c_str());
  }

  const std::string path_ =
      absl::StrCat(::testing::TempDir(), "/",
                   ::testing::UnitTest::GetInstance()->random_seed(), "-",
                   getpid(), ".qcow2");
};

// A LUKS cipher and hash as qemu-img's options and as ours.
struct LuksVariety {
  const char* name;
  const char* qemu_options;
  SectorCipherSpec cipher;
  const char* hash;
};

const std::vector<LuksVariety>& LuksVarieties() {
  static const auto* const varieties = new std::vector<LuksVariety>{
      {"Default", "", {}, "sha256"},
      {"Aes128XtsPlainSha1",
       ",encrypt.cipher-alg=aes-128,encrypt.ivgen-alg=plain,"
       "encrypt.hash-alg=sha1",
       {CipherMode::kXts, IvGenerator::kPlain, "", 32},
       "sha1"},
      {"Aes192XtsEssivSha512",
       ",encrypt.cipher-alg=aes-192,encrypt.ivgen-alg=essiv,"
       "encrypt.ivgen-hash-alg=sha256,encrypt.hash-alg=sha512",
       {CipherMode::kXts, IvGenerator::kEssiv, "sha256", 48},
       "sha512"},
      {"Aes256CbcEssivSha256",
       ",encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,"
       "encrypt.ivgen-hash-alg=sha256",
       {CipherMode::kCbc, IvGenerator::kEssiv, "sha256", 32},
       "sha256"},
      {"Aes128CbcEssivMd5Sha1",
       ",encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,"
       "encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=md5,"
       "encrypt.hash-alg=sha1",
       {CipherMode::kCbc, IvGenerator::kEssiv, "md5", 16},
       "sha1"},
      {"Aes256CbcPlain64Ripemd160",
       ",encrypt.cipher-mode=cbc,encrypt.hash-alg=ripemd160",
       {CipherMode::kCbc, IvGenerator::kPlain64, "", 32},
       "ripemd160"},
  };
  return *varieties;
}

class LuksVarietyTest : public QemuEncryptionTest,
                        public ::testing::WithParamInterface<LuksVariety> {};

TEST_P(LuksVarietyTest, ImageOfQemuImg) {
  ASSERT_NO_FATAL_FAILURE(
      CreateByQemu(path_,
                   absl::StrCat("encrypt.format=luks,encrypt.iter-time=10",
                                GetParam().qemu_options),
                   kPassphrase));
  WriteInTurn(path_, kPassphrase);
  EXPECT_EQ(OpenWith(path_, "open sesam").status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_P(LuksVarietyTest, ImageOfOurs) {
  LuksCreateOptions luks;
  luks.cipher = GetParam().cipher;
  luks.hash = GetParam().hash;
  luks.derivation.iterations = 1000;
  auto made = CreateLuks(luks, Secret::FromText(kPassphrase));
  ASSERT_TRUE(made.ok()) << made.status();
  CreateOptions options;
  options.virtual_size = kDiskBytes;
  options.crypt_method = kCryptLuks;
  options.luks_area = made->area;
  ASSERT_NO_FATAL_FAILURE(CreateByUs(path_, options));
  WriteInTurn(path_, kPassphrase);
}

INSTANTIATE_TEST_SUITE_P(All, LuksVarietyTest,
                         ::testing::ValuesIn(LuksVarieties()),
                         [](const auto& info) { return info.param.name; });

class LegacyAesTest : public QemuEncryptionTest,
                      public ::testing::WithParamInterface<const char*> {};

TEST_P(LegacyAesTest, ImageOfQemuImg) {
  ASSERT_NO_FATAL_FAILURE(
      CreateByQemu(path_, "encrypt.format=aes", GetParam()));
  WriteInTurn(path_, GetParam());
}

TEST_P(LegacyAesTest, ImageOfOurs) {
  CreateOptions options;
  options.virtual_size = kDiskBytes;
  options.crypt_method = kCryptAes;
  ASSERT_NO_FATAL_FAILURE(CreateByUs(path_, options));
  WriteInTurn(path_, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Passwords, LegacyAesTest,
                         ::testing::Values("abc", "sixteen letters!",
                                           "longer than a key of AES is"));

// What OpenLuks says of the image at `path`.
absl::StatusOr<OpenedLuks> Unlock(const std::string& path,
                                  const std::string& passphrase) {
  const auto file = PosixFile::Open(path);
  const auto area = ReadHeaderArea(**file);
  return OpenLuks(*LuksAreaOf(**file, *area), Secret::FromText(passphrase));
}

using MakeChange = absl::StatusOr<LuksChange>(const LuksArea& area);
void Change(const std::string& path,
            const std::function<MakeChange>& make_change) {
  auto file = PosixFile::Open(path, {.writable = true});
  ASSERT_TRUE(file.ok()) << file.status();
  const auto area = ReadHeaderArea(**file);
  ASSERT_TRUE(area.ok()) << area.status();
  const auto change = make_change(*LuksAreaOf(**file, *area));
  ASSERT_TRUE(change.ok()) << change.status();
  const absl::Status status = WriteLuksChange(*change, *area, **file);
  ASSERT_TRUE(status.ok()) << status;
}

// qemu-img, too, gives up on measuring now and then.
void AmendByQemu(const std::string& path, const std::string& command) {
  std::string output;
  for (int attempt = 0; attempt < 50; ++attempt) {
    if (RunCommand(absl::StrCat("qemu-img amend ", command, ImageOption(path),
                                " 2>&1"),
                   &output) == 0) {
      return;
    }
    if (output.find("accurate CPU usage") == std::string::npos) break;
  }
  FAIL() << command << output;
}

bool QemuOpens(const std::string& path, const std::string& passphrase) {
  return QemuIo(path, passphrase, "read -P 0 0 512");
}

TEST_F(QemuEncryptionTest, PassphrasesComeAndGoOnBothSides) {
  ASSERT_NO_FATAL_FAILURE(
      CreateByQemu(path_, "encrypt.format=luks,encrypt.iter-time=10", "first"));
  ASSERT_NO_FATAL_FAILURE(Change(path_, [](const LuksArea& area) {
    LuksAddOptions options;
    options.derivation.iterations = 2000;
    return AddLuksKey(area, Secret::FromText("first"),
                      Secret::FromText("second"), options);
  }));
  EXPECT_TRUE(QemuOpens(path_, "first"));
  EXPECT_TRUE(QemuOpens(path_, "second"));
  EXPECT_FALSE(QemuOpens(path_, "third"));

  ASSERT_NO_FATAL_FAILURE(AmendByQemu(
      path_,
      absl::StrCat(SecretOption("s", "second"), SecretOption("n", "third"),
                   " -o encrypt.state=active,encrypt.new-secret=n,"
                   "encrypt.iter-time=10,encrypt.keyslot=6")));
  EXPECT_EQ(Unlock(path_, "third")->slot, 6u);

  ASSERT_NO_FATAL_FAILURE(Change(path_, [](const LuksArea& area) {
    return RemoveLuksPassphrase(area, Secret::FromText("first"));
  }));
  EXPECT_FALSE(QemuOpens(path_, "first"));
  EXPECT_TRUE(QemuOpens(path_, "second"));
  EXPECT_TRUE(QemuOpens(path_, "third"));

  ASSERT_NO_FATAL_FAILURE(AmendByQemu(
      path_,
      absl::StrCat(SecretOption("s", "second"), SecretOption("n", "third"),
                   " -o encrypt.state=inactive,encrypt.old-secret=n")));
  EXPECT_EQ(Unlock(path_, "third").status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Unlock(path_, "second")->slot, 1u);
  ExpectQemuFindsClean(path_, "second");
}

TEST_F(QemuEncryptionTest, OtherCiphersAreRefusedByName) {
  ASSERT_NO_FATAL_FAILURE(
      CreateByQemu(path_,
                   "encrypt.format=luks,encrypt.iter-time=10,"
                   "encrypt.cipher-alg=serpent-256",
                   kPassphrase));
  const absl::Status status = OpenWith(path_, kPassphrase).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(std::string(status.message()).find("serpent"), std::string::npos)
      << status;
}

}  // namespace
}  // namespace qcow2
