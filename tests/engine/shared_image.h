// SharedImage: an image in a folder that programs of QEMU and the engine use in
// turn.
//
// For tests only; starts processes.
#ifndef TESTS_ENGINE_SHARED_IMAGE_H_
#define TESTS_ENGINE_SHARED_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/image/create_options.h"
#include "engine/image/image.h"
#include "tests/engine/disk_model.h"

namespace qcow2 {

// Who does something.
enum class Side { kQemu, kEngine };

struct SharedImageOptions {
  // The names of a data file and the LUKS area are filled in.
  CreateOptions create;
  Side maker = Side::kEngine;
  // "raw" or "qcow2": there is a backing file, which ends before the disk does.
  std::string backing_format;
};

class SharedImage {
 public:
  // `folder` is made, and goes with the object.
  SharedImage(std::string folder, SharedImageOptions options);
  ~SharedImage();
  SharedImage(const SharedImage&) = delete;
  SharedImage& operator=(const SharedImage&) = delete;

  // Makes the image; the model is what its disk reads as. To be called first.
  // All functions return what went wrong, with what a program printed.
  absl::StatusOr<DiskModel> Make(uint64_t seed);

  // Whether clusters can be stored compressed by QEMU: it wants them to have no
  // place yet.
  bool QemuCanCompress() const;
  absl::Status QemuCompresses(DiskModel& model);
  absl::Status QemuWrites(DiskModel& model);
  absl::Status EngineWrites(DiskModel& model, int requests);

  absl::Status TakeSnapshot(Side side, const std::string& name);
  absl::Status ApplySnapshot(Side side, const std::string& name);
  absl::Status DeleteSnapshot(Side side, const std::string& name);
  absl::Status QemuAddsBitmap(const std::string& name);

  // OK if both read `expected`, from the snapshot of that name if it is not
  // empty.
  absl::Status BothRead(const std::vector<std::byte>& expected,
                        const std::string& snapshot = "");
  // OK if the check of either side finds nothing at all.
  absl::Status BothFindClean();

 private:
  bool encrypted() const { return options_.create.crypt_method != kCryptNone; }
  // Runs a shell command in the folder.
  absl::Status Run(const std::string& command) const;
  absl::Status MakeBase(std::vector<std::byte>& contents);
  absl::Status MakeByQemu();
  absl::Status MakeByEngine();
  std::string QemuCreateOptions() const;
  // Arguments that name the image to a program of QEMU's, and its secret.
  std::string Secret() const;
  std::string Disk() const;
  absl::Status RunQemuIo(const std::string& script);
  absl::StatusOr<std::unique_ptr<Image>> Open(bool writable);

  const std::string folder_;
  const std::string path_;
  SharedImageOptions options_;
};

}  // namespace qcow2

#endif  // TESTS_ENGINE_SHARED_IMAGE_H_
