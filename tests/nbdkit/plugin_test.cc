// The plugin in a real nbdkit, with real clients: what they read through it is
// what qemu-img reads of the image, and what they wrote is there afterwards.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/format/byte_order.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/differential/qemu_img.h"
#include "tests/operations/scene.h"

namespace qcow2 {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kDiskBytes = (uint64_t{7} << 20) + 1536;
constexpr uint64_t kClusterBytes = uint64_t{64} << 10;
constexpr char kNoise[] = "0xa5";

class PluginTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string output;
    ASSERT_EQ(RunCommand("nbdkit --version && nbdcopy --version", &output), 0)
        << "nbdkit and libnbd-bin have to be installed";
    plugin_ = std::filesystem::absolute("nbdkit/nbdkit-qcow2-plugin.so");
    scene_.MakeRaw("disk.raw", kDiskBytes, 7);
  }

  // Serves with the parameters while `command` runs in the scene's folder;
  // $uri and $unixsocket say where. Empty if all went well, else what was
  // printed.
  std::string Serve(const std::string& parameters, const std::string& command) {
    return Run("timeout 120 nbdkit -U - '" + plugin_ + "' " + parameters +
               " --run '" + command + "'");
  }

  std::string Run(const std::string& command) {
    std::string output;
    const int status = RunCommand(
        "cd '" + scene_.Path("") + "' && { " + command + "; } 2>&1", &output);
    if (status == 0) return "";
    return command + " exits with " + std::to_string(status) + ": " + output;
  }

  // What a command prints, whatever becomes of it.
  std::string Printed(const std::string& command) {
    std::string output;
    RunCommand("cd '" + scene_.Path("") + "' && { " + command + "; } 2>&1",
               &output);
    return output;
  }

  // Reads the image through the plugin in two ways, and as qemu-img has it.
  void ExpectSameAsQemuImg(const std::string& image,
                           const std::string& parameters = "") {
    EXPECT_EQ(scene_.QemuImg("convert -O raw " + image + " theirs.raw"), "");
    EXPECT_EQ(Serve("-r " + image + parameters, "nbdcopy \"$uri\" ours.raw"),
              "");
    EXPECT_EQ(Run("cmp theirs.raw ours.raw"), "");
    EXPECT_EQ(Serve("-r " + image + parameters,
                    "qemu-img compare -f raw -F raw \"$uri\" theirs.raw"),
              "");
  }

  // Replaces the 8 bytes at `offset` of a file.
  void Patch(const std::string& name, uint64_t offset, uint64_t value) {
    std::byte bytes[8];
    StoreBe64(bytes, value);
    std::fstream file(scene_.Path(name),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file.write(reinterpret_cast<const char*>(bytes), sizeof(bytes));
    ASSERT_TRUE(file.good());
  }

  uint64_t Word(const std::string& name, uint64_t offset) {
    std::byte bytes[8] = {};
    std::ifstream file(scene_.Path(name), std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(reinterpret_cast<char*>(bytes), sizeof(bytes));
    return LoadBe64(bytes);
  }

  // Where entry `index` of the first L2 table is in the file.
  uint64_t L2EntryOffset(const std::string& name, uint64_t index) {
    constexpr uint64_t kOffsetMask = 0x00fffffffffffe00;
    const uint64_t l2 = Word(name, Word(name, 40)) & kOffsetMask;
    return l2 + index * 8;
  }

  Scene scene_;
  std::string plugin_;
};

TEST_F(PluginTest, ReadsWhatQemuImgReads) {
  for (const char* const options :
       {"-o cluster_size=512", "-o compat=0.10", "-o extended_l2=on",
        "-o data_file=data,data_file_raw=on", "-c",
        "-c -o compression_type=zstd,cluster_size=2M"}) {
    SCOPED_TRACE(options);
    ASSERT_EQ(scene_.QemuImg(std::string("convert -f raw -O qcow2 ") + options +
                             " disk.raw image"),
              "");
    ExpectSameAsQemuImg("image");
  }
}

TEST_F(PluginTest, ReadsAChain) {
  ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 disk.raw base"), "");
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -b base -F qcow2 top 9M"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 1 100000 300000' "
                          "-c 'write -z 1M 1M' top"),
            "");
  ExpectSameAsQemuImg("top");
  // All of it is in one folder.
  EXPECT_EQ(Serve("top backing=same-dir", "nbdcopy \"$uri\" ours.raw"), "");
  ASSERT_EQ(Run("mkdir sub && cp base sub/base"), "");
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -b sub/base -F qcow2 over"), "");
  EXPECT_THAT(Serve("over backing=same-dir", "nbdcopy \"$uri\" ours.raw"),
              HasSubstr("not in the folder"));
  // Without what is below the rest is zeros.
  ASSERT_EQ(Serve("top backing=none", "nbdcopy \"$uri\" ours.raw"), "");
  EXPECT_EQ(scene_.QemuIo("-r -f raw -c 'read -P 1 100000 300000' "
                          "-c 'read -P 0 1M 8M' ours.raw"),
            "");
}

TEST_F(PluginTest, TellsExtents) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 base 1M"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write 0 64k' -c 'write 256k 64k' base"), "");
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -b base -F qcow2 top"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write 64k 64k' -c 'write -z 256k 64k' top"), "");
  const std::string map =
      Printed("nbdkit -U - -r '" + plugin_ +
              "' top --run 'nbdinfo --map=base:allocation \"$uri\"'");
  EXPECT_THAT(map, testing::ContainsRegex("0 +131072 +0 +data\n"));
  EXPECT_THAT(map, testing::ContainsRegex("131072 +917504 +3 +hole,zero\n"));
}

TEST_F(PluginTest, WritesAreThereAfterwards) {
  for (const char* const options :
       {"cluster_size=64k", "cluster_size=512,refcount_bits=1", "compat=0.10",
        "extended_l2=on", "lazy_refcounts=on"}) {
    SCOPED_TRACE(options);
    ASSERT_EQ(scene_.QemuImg(std::string("create -q -f qcow2 -o ") + options +
                             " image " + std::to_string(kDiskBytes)),
              "");
    ASSERT_EQ(Serve("image", "nbdcopy --flush disk.raw \"$uri\""), "");
    EXPECT_EQ(scene_.Complaints("image"), "");
    EXPECT_EQ(scene_.Differences("disk.raw", "raw", "image", "qcow2"), "");
  }
}

TEST_F(PluginTest, WritesZerosAndDiscards) {
  ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 disk.raw image"), "");
  const std::string commands =
      "-c \"write -P 9 70000 200000\" -c \"write -z 1M 100000\" "
      "-c \"write -zu 2M 1M\" -c \"write -f -P 4 4M 512\" "
      "-c \"discard 5M 1M\" -c flush";
  EXPECT_EQ(Serve("image", "qemu-io -f raw -d unmap " + commands + " \"$uri\""),
            "");
  EXPECT_EQ(scene_.Complaints("image"), "");
  EXPECT_EQ(scene_.QemuIo("-r -c 'read -P 9 70000 200000' "
                          "-c 'read -P 0 1M 100000' -c 'read -P 0 2M 1M' "
                          "-c 'read -P 4 4M 512' -c 'read -P 0 5M 1M' image"),
            "");
}

TEST_F(PluginTest, ReadOnlyLeavesTheImageAlone) {
  ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 disk.raw image"), "");
  ASSERT_EQ(Run("cp image before && chmod 444 image"), "");
  for (const char* const parameters :
       {"-r image", "image damaged=on", "image backing=none"}) {
    EXPECT_THAT(Printed("nbdkit -U - '" + plugin_ + "' " + parameters +
                        " --run 'nbdinfo --is read-only \"$uri\" && echo yes'"),
                HasSubstr("yes"))
        << parameters;
  }
  EXPECT_EQ(Run("cmp image before"), "");
}

TEST_F(PluginTest, ServesASnapshot) {
  ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 disk.raw image"), "");
  ASSERT_EQ(scene_.QemuImg("snapshot -c one image"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 1 0 5M' image"), "");
  ASSERT_EQ(scene_.QemuImg("snapshot -c two image"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'discard 1M 3M' image"), "");
  for (const char* const snapshot : {"one", "2"}) {
    SCOPED_TRACE(snapshot);
    ASSERT_EQ(scene_.QemuImg(std::string("convert -l ") + snapshot +
                             " -O raw image theirs.raw"),
              "");
    EXPECT_EQ(Serve(std::string("image snapshot=") + snapshot,
                    "nbdinfo --is read-only \"$uri\" && "
                    "nbdcopy \"$uri\" ours.raw"),
              "");
    EXPECT_EQ(Run("cmp theirs.raw ours.raw"), "");
  }
  EXPECT_THAT(Serve("image snapshot=three", "true"), HasSubstr("three"));
}

TEST_F(PluginTest, AnotherWriterIsKeptAwayWhileThereAreClients) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 image 1M"), "");
  const std::string client =
      "(echo write -f -P 3 0 4k; "
      "until qemu-io -r -U -c \"read -P 3 0 4k\" image; do sleep 0.1; done "
      ">&2; qemu-io -c \"write 0 4k\" image >&2; echo $? >status) | "
      "qemu-io -f raw \"$uri\" && test $(cat status) != 0";
  // The server is still there when its last client has gone.
  EXPECT_EQ(
      Serve("image", client + " && until qemu-io -c \"read -P 3 0 4k\" "
                              "-c \"write 0 4k\" image; do sleep 0.1; done"),
      "");
}

TEST_F(PluginTest, EncryptedImages) {
  ASSERT_EQ(Run("printf letmein >secret"), "");
  // qemu-img's measuring of the processor fails now and then.
  std::string created;
  for (int attempt = 0; attempt < 20; ++attempt) {
    created = scene_.QemuImg(
        "create -q -f qcow2 --object secret,id=s,file=secret -o "
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 "
        "image 2M");
    if (created.find("accurate CPU usage") == std::string::npos) break;
  }
  ASSERT_EQ(created, "");
  EXPECT_EQ(Serve("image secret-file=secret",
                  "qemu-io -f raw -c \"write -P 3 1000 70000\" \"$uri\""),
            "");
  EXPECT_EQ(scene_.QemuIo("-r --object secret,id=s,file=secret --image-opts "
                          "-c 'read -P 3 1000 70000' "
                          "driver=qcow2,encrypt.format=luks,encrypt.key-secret="
                          "s,file.filename=image"),
            "");
  EXPECT_THAT(Serve("image", "true"), HasSubstr("passphrase"));
  ASSERT_EQ(Run("printf wrong >secret"), "");
  EXPECT_THAT(Serve("image secret-file=secret", "true"),
              HasSubstr("passphrase"));
}

// Of a disk of 64 clusters, an L2 entry in the middle leads nowhere.
TEST_F(PluginTest, ServesWhatIsIntact) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 image 4M"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 0xa5 0 4M' image"), "");
  Patch("image", L2EntryOffset("image", 10), 0x8000000000000400);  // unaligned
  Patch("image", L2EntryOffset("image", 20), 0x8000000fffff0000);  // past end
  Patch("image", 72, 2);  // incompatible features: corrupt
  const auto damaged = [&](const std::string& commands) {
    return Serve("image damaged=on",
                 "qemu-io -r -f raw " + commands + " \"$uri\"");
  };
  const std::string pattern = std::string("read -P ") + kNoise + " ";
  EXPECT_EQ(damaged("-c \"" + pattern + "0 640k\" -c \"" + pattern +
                    "704k 576k\" -c \"" + pattern + "1344k 2752k\""),
            "");
  EXPECT_THAT(damaged("-c \"read 640k 64k\""), HasSubstr("Input/output error"));
  EXPECT_THAT(damaged("-c \"read 1280k 64k\""),
              HasSubstr("Input/output error"));
  EXPECT_EQ(Serve("image damaged=on",
                  "qemu-img convert --salvage -f raw -O raw \"$uri\" out.raw"),
            "");
  EXPECT_EQ(scene_.QemuIo("-r -f raw -c '" + pattern + "0 640k' -c '" +
                          pattern + "704k 576k' -c '" + pattern +
                          "1344k 2752k' -c 'read -P 0 640k 64k' "
                          "-c 'read -P 0 1280k 64k' out.raw"),
            "");
}

// An image that lost its end, with the tables that were there.
TEST_F(PluginTest, ServesWhatIsLeftOfACutImage) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 image 4M"), "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 0xa5 0 4M' image"), "");
  const uint64_t half =
      Word("image", L2EntryOffset("image", 32)) & 0x00fffffffffffe00;
  std::filesystem::resize_file(scene_.Path("image"), half);
  const std::string parameters = "image damaged=on";
  EXPECT_EQ(
      Serve(parameters, "qemu-io -r -f raw -c \"read -P 0xa5 0 2M\" \"$uri\""),
      "");
  EXPECT_THAT(
      Serve(parameters, "qemu-io -r -f raw -c \"read 2M 64k\" \"$uri\""),
      HasSubstr("Input/output error"));
  // The L2 table itself ends after 16 entries; then there is none of it.
  const uint64_t table = L2EntryOffset("image", 0);
  Patch("image", Word("image", 40), 0x8000000000000000 | half);
  ASSERT_EQ(Run("dd if=image of=image bs=64k conv=notrunc status=none skip=" +
                std::to_string(table / kClusterBytes) +
                " seek=" + std::to_string(half / kClusterBytes) + " count=1"),
            "");
  std::filesystem::resize_file(scene_.Path("image"), half + uint64_t{16} * 8);
  EXPECT_EQ(
      Serve(parameters, "qemu-io -r -f raw -c \"read -P 0xa5 0 1M\" \"$uri\""),
      "");
  EXPECT_THAT(
      Serve(parameters, "qemu-io -r -f raw -c \"read 1M 64k\" \"$uri\""),
      HasSubstr("Input/output error"));
  std::filesystem::resize_file(scene_.Path("image"), half);
  EXPECT_THAT(Serve(parameters, "qemu-io -r -f raw -c \"read 0 64k\" \"$uri\""),
              HasSubstr("Input/output error"));
}

TEST_F(PluginTest, AnL1TableThatIsCutShort) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 -o cluster_size=4k image 8M"),
            "");
  ASSERT_EQ(scene_.QemuIo("-c 'write -P 0xa5 0 8M' image"), "");
  const uint64_t l1 = Word("image", 40);
  const uint64_t end = std::filesystem::file_size(scene_.Path("image"));
  ASSERT_EQ(end % 4096, 0);
  ASSERT_EQ(Run("dd if=image of=image bs=8 conv=notrunc status=none count=2 "
                "skip=" +
                std::to_string(l1 / 8) + " seek=" + std::to_string(end / 8)),
            "");
  Patch("image", 40, end);
  EXPECT_EQ(Serve("image damaged=on",
                  "qemu-io -r -f raw -c \"read -P 0xa5 0 4M\" \"$uri\""),
            "");
  EXPECT_THAT(
      Serve("image damaged=on", "qemu-io -r -f raw -c \"read 4M 4k\" \"$uri\""),
      HasSubstr("Input/output error"));
}

TEST_F(PluginTest, ADamagedSnapshotTableHurtsNobody) {
  ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 disk.raw image"), "");
  ASSERT_EQ(scene_.QemuImg("snapshot -c one image"), "");
  Patch("image", 64, uint64_t{1} << 40);  // snapshots_offset
  EXPECT_THAT(Serve("-r image", "true"), HasSubstr("snapshot table"));
  ASSERT_EQ(Serve("image damaged=on", "nbdcopy \"$uri\" ours.raw"), "");
  EXPECT_EQ(Run("cmp disk.raw ours.raw"), "");
}

TEST_F(PluginTest, DirtyAndCorruptImagesAreNotWritten) {
  ASSERT_EQ(scene_.QemuImg("convert -f raw -O qcow2 disk.raw image"), "");
  for (const uint64_t feature : {1, 2}) {
    Patch("image", 72, feature);
    ASSERT_EQ(Run("cp image before"), "");
    EXPECT_THAT(Serve("image", "qemu-io -f raw -c \"write 0 4k\" \"$uri\""),
                HasSubstr("the image is marked"));
    ASSERT_EQ(Serve("-r image", "nbdcopy \"$uri\" ours.raw"), "");
    EXPECT_EQ(Run("cmp disk.raw ours.raw && cmp image before"), "");
  }
}

TEST_F(PluginTest, AFullFileSystemIsToldAsSuch) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 image 64M"), "");
  // A limit on the size of files stands in for the full file system.
  EXPECT_THAT(Run("(ulimit -f 4096; trap \"\" XFSZ; timeout 60 nbdkit -U - '" +
                  plugin_ +
                  "' image --run 'qemu-io -f raw -c \"write 0 16M\" "
                  "\"$uri\"')"),
              HasSubstr("No space left on device"));
  EXPECT_EQ(scene_.Complaints("image"), "");
}

TEST_F(PluginTest, ParametersThatCannotBe) {
  ASSERT_EQ(scene_.QemuImg("create -q -f qcow2 image 1M"), "");
  const auto said = [&](const std::string& parameters) {
    return Serve(parameters, "echo served");
  };
  EXPECT_THAT(said(""), HasSubstr("'file'"));
  EXPECT_THAT(said("file="), HasSubstr("'file'"));
  EXPECT_THAT(said("image file=image"), HasSubstr("one image is enough"));
  EXPECT_THAT(said("missing"), HasSubstr("missing"));
  EXPECT_THAT(said("disk.raw"), HasSubstr("not a qcow2 image"));
  EXPECT_THAT(said("."), HasSubstr("directory"));
  EXPECT_THAT(said("image backing=maybe"), HasSubstr("'backing'"));
  EXPECT_THAT(said("image damaged=%s%n"), HasSubstr("'damaged'"));
  EXPECT_THAT(said("image snapshot="), HasSubstr("'snapshot'"));
  EXPECT_THAT(said("image colour=red"), HasSubstr("'colour'"));
  EXPECT_THAT(said("image secret-file=missing"), HasSubstr("missing"));
  EXPECT_THAT(said("image secret-file=/dev/null"), HasSubstr("no secret"));
  EXPECT_EQ(said("image damaged=off backing=follow"), "");
}

}  // namespace
}  // namespace qcow2
