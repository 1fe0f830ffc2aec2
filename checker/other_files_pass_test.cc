#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checker/passes.h"
#include "checker/test_image.h"
#include "engine/format/header_extension.h"
#include "engine/storage/named_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The files an image under check may name, by name.
using Files = std::map<std::string, std::vector<std::byte>>;

PassRun Check(TestImage image, Files files = {}, bool deep = false) {
  CheckOptions options;
  options.deep = deep;
  options.open_other_file =
      [files = std::move(files)](
          const std::string& name,
          const std::string&) -> absl::StatusOr<std::unique_ptr<File>> {
    const auto found = files.find(name);
    if (found == files.end()) return absl::NotFoundError("no such file");
    return std::make_unique<MemoryFile>(found->second, name);
  };
  return PassRun(
      image.file(),
      [](CheckState& state) {
        if (RunHeaderPass(state)) RunOtherFilesPass(state);
      },
      options);
}

void SetBacking(TestImage& image, const std::string& name,
                const std::string& format = "qcow2") {
  if (!format.empty()) {
    image.AddExtension(kExtensionBackingFormat, BytesOf(format));
  }
  image.header.backing_file_offset = HostOffset(1024);
  image.header.backing_file_size = static_cast<uint32_t>(name.size());
  image.WriteText(1024, name);
}

std::vector<std::byte> Bytes(TestImage image) {
  const auto bytes = image.file().bytes();
  return {bytes.begin(), bytes.end()};
}

TestImage ImageOn(const std::string& backing,
                  const std::string& format = "qcow2") {
  TestImage image;
  SetBacking(image, backing, format);
  return image;
}

TestImage DataFileImage(uint64_t autoclear) {
  TestImage image;
  image.header.incompatible_features = kIncompatibleDataFile;
  image.header.autoclear_features = autoclear;
  return image;
}

// A file that is there, but that the policy leaves alone, is no problem.
TEST(OtherFilesTest, LeftAloneByPolicy) {
  TestImage with_data = DataFileImage(0);
  with_data.AddExtension(kExtensionDataFile, BytesOf("data"));
  for (TestImage& image : std::vector<TestImage>{ImageOn("base"), with_data}) {
    CheckOptions options;
    options.deep = true;
    options.open_other_file =
        [](const std::string& name,
           const std::string& base) -> absl::StatusOr<std::unique_ptr<File>> {
      return OpenNamedFile(base, name, NamedFilePolicy::kNone).status();
    };
    const PassRun run(
        image.file(),
        [](CheckState& state) {
          if (RunHeaderPass(state)) RunOtherFilesPass(state);
        },
        options);
    const auto finding = run.Only(Problem::kOtherFileNotOpened);
    EXPECT_THAT(DescribeFinding(*finding), HasSubstr("is not opened"));
    EXPECT_FALSE(run.state().sink.qemu().refused);
  }
}

TEST(DataFileTest, FittingFile) {
  TestImage image = DataFileImage(kAutoclearRawData);
  image.AddExtension(kExtensionDataFile, BytesOf("data"));
  const PassRun run = Check(image, {{"data", std::vector<std::byte>(0x3000)}});
  EXPECT_THAT(run.Codes(), IsEmpty());
  EXPECT_EQ(run.state().model.data_file_size_bytes, 0x3000);
  EXPECT_THAT(Check(image, {{"data", std::vector<std::byte>(0x3fff)}}).Codes(),
              IsEmpty());
  EXPECT_EQ(run.state().summary.data_file, "data");
}

TEST(DataFileTest, MissingOrOfAnotherSize) {
  TestImage image = DataFileImage(kAutoclearRawData);
  image.AddExtension(kExtensionDataFile, BytesOf("data"));
  EXPECT_EQ(DescribeFinding(*Check(image).Only(Problem::kDataFileMissing)),
            "the external data file \"data\" (no such file) cannot be opened");
  const PassRun run = Check(image, {{"data", std::vector<std::byte>(0x2000)}});
  EXPECT_EQ(DescribeFinding(*run.Only(Problem::kDataFileSize)),
            "the external data file \"data\" is 8192 bytes long, the virtual "
            "disk 12288");
}

TEST(DataFileTest, OnlyTheRawFlagAsksForTheSize) {
  TestImage image = DataFileImage(0);
  image.AddExtension(kExtensionDataFile, BytesOf("data"));
  EXPECT_THAT(Check(image, {{"data", {}}}).Codes(), IsEmpty());
}

TEST(DataFileTest, Contradictions) {
  EXPECT_THAT(Check(DataFileImage(0)).Codes(),
              ElementsAre("data-file-name-missing"));

  TestImage unexpected;
  unexpected.AddExtension(kExtensionDataFile, BytesOf("data"));
  EXPECT_THAT(Check(unexpected).Codes(),
              ElementsAre("data-file-name-unexpected"));

  TestImage raw_without;
  raw_without.header.autoclear_features = kAutoclearRawData;
  EXPECT_THAT(Check(raw_without).Codes(), ElementsAre("raw-without-data-file"));

  TestImage both = DataFileImage(kAutoclearRawData);
  both.AddExtension(kExtensionDataFile, BytesOf("data"));
  SetBacking(both, "base", "raw");
  EXPECT_THAT(
      Check(both, {{"data", std::vector<std::byte>(0x3000)}, {"base", {}}})
          .Codes(),
      ElementsAre("raw-with-backing"));
}

TEST(BackingChainTest, SoundChain) {
  const PassRun run =
      Check(ImageOn("middle"),
            {{"middle", Bytes(ImageOn("base", "raw"))}, {"base", {}}}, true);
  EXPECT_THAT(run.Codes(), IsEmpty());
  EXPECT_FALSE(run.state().sink.qemu().refused);
  EXPECT_EQ(run.state().summary.backing_file, "middle");
}

TEST(BackingChainTest, MissingAnywhere) {
  const PassRun run =
      Check(ImageOn("middle"), {{"middle", Bytes(ImageOn("base"))}});
  EXPECT_EQ(DescribeFinding(*run.Only(Problem::kBackingMissing)),
            "the backing file \"base\" (no such file) of \"middle\" cannot be "
            "opened");
}

TEST(BackingChainTest, Cycle) {
  const PassRun run = Check(ImageOn("a"), {{"a", Bytes(ImageOn("b"))},
                                           {"b", Bytes(ImageOn("./a"))},
                                           {"./a", Bytes(ImageOn("b"))}});
  EXPECT_EQ(DescribeFinding(*run.Only(Problem::kBackingCycle)),
            "the backing chain comes back to \"./a\", which \"b\" names");
}

TEST(BackingChainTest, Depth) {
  Files files;
  for (int i = 0; i < 200; ++i) {
    files[std::to_string(i)] = Bytes(ImageOn(std::to_string(i + 1)));
  }
  files["200"] = Bytes(TestImage());
  EXPECT_EQ(Check(ImageOn("0"), files).Only(Problem::kBackingDepth)->actual,
            200);
  files["199"] = Bytes(TestImage());
  EXPECT_THAT(Check(ImageOn("0"), files).Codes(), IsEmpty());
}

TEST(BackingChainTest, DamagedHeaders) {
  TestImage damaged = ImageOn("base");
  damaged.header.l1_size = 0;
  const Files files = {{"middle", Bytes(damaged)},
                       {"base", Bytes(TestImage())}};
  EXPECT_THAT(Check(ImageOn("middle"), files).Codes(), IsEmpty());
  const PassRun run = Check(ImageOn("middle"), files, true);
  EXPECT_THAT(run.Only(Problem::kBackingDamaged)->detail,
              HasSubstr("\"middle\" is damaged: the active L1 table has 0"));
  EXPECT_TRUE(run.state().sink.qemu().refused);

  const PassRun foreign =
      Check(ImageOn("text"), {{"text", BytesOf("no image at all")}});
  EXPECT_THAT(foreign.Only(Problem::kBackingDamaged)->detail,
              HasSubstr("it looks like text"));
}

TEST(BackingChainTest, WhatIsNoFileIsLeftAlone) {
  for (const char* name : {"nbd://host/export", "json:{}", "https://a/b"}) {
    EXPECT_THAT(Check(ImageOn(name)).Codes(), IsEmpty());
  }
  EXPECT_THAT(Check(ImageOn("./a:b")).Codes(), ElementsAre("backing-missing"));
  EXPECT_THAT(Check(ImageOn("file:a"), {{"a", Bytes(TestImage())}}).Codes(),
              IsEmpty());
}

TEST(BackingChainTest, FormatIsProbedWhereNothingNamesIt) {
  EXPECT_THAT(
      Check(ImageOn("a", ""), {{"a", Bytes(ImageOn("missing"))}}).Codes(),
      ElementsAre("backing-missing"));
  EXPECT_THAT(Check(ImageOn("a", ""), {{"a", BytesOf("raw data")}}).Codes(),
              IsEmpty());
}

TEST(BackingChainTest, FormatsThatCannotBe) {
  const Files files = {{"a", Bytes(TestImage())}, {"b", BytesOf("raw data")}};
  EXPECT_EQ(
      DescribeFinding(
          *Check(ImageOn("b", "rax"), files).Only(Problem::kBackingFormat)),
      "the backing file format \"rax\" is unknown");
  EXPECT_EQ(
      DescribeFinding(
          *Check(ImageOn("a", "qcow"), files).Only(Problem::kBackingFormat)),
      "the backing file format \"qcow\" is not that of \"a\", which is a "
      "qcow2 image");
  EXPECT_THAT(Check(ImageOn("b", "vmdk"), files).Codes(), IsEmpty());
}

}  // namespace
}  // namespace qcow2::checker
