#include "engine/storage/nbd_library.h"

#include <dlfcn.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace qcow2 {
namespace {

constexpr char kFileName[] = "libnbd.so.0";

absl::Status Missing(const char* why) {
  return absl::UnimplementedError(absl::StrCat(
      "images at NBD addresses need the library libnbd, which could not be "
      "loaded (Debian's package is libnbd0): ",
      why == nullptr ? "unknown error" : why));
}

// Looks functions up and remembers the first that is not there.
class Taker {
 public:
  explicit Taker(void* library) : library_(library) {}

  template <typename Function>
  void Take(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (function == nullptr && missing_.empty()) missing_ = name;
  }
  const std::string& missing() const { return missing_; }

 private:
  void* const library_;
  std::string missing_;
};

}  // namespace

absl::StatusOr<NbdLibrary> LoadNbdLibrary() {
  void* const loaded = dlopen(kFileName, RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) return Missing(dlerror());
  NbdLibrary library;
  Taker taker(loaded);
  taker.Take("nbd_create", library.create);
  taker.Take("nbd_close", library.close);
  taker.Take("nbd_get_error", library.get_error);
  taker.Take("nbd_get_errno", library.get_errno);
  taker.Take("nbd_set_uri_allow_local_file", library.set_uri_allow_local_file);
  taker.Take("nbd_add_meta_context", library.add_meta_context);
  taker.Take("nbd_aio_connect_uri", library.aio_connect_uri);
  taker.Take("nbd_aio_disconnect", library.aio_disconnect);
  taker.Take("nbd_aio_get_fd", library.aio_get_fd);
  taker.Take("nbd_aio_get_direction", library.aio_get_direction);
  taker.Take("nbd_aio_notify_read", library.aio_notify_read);
  taker.Take("nbd_aio_notify_write", library.aio_notify_write);
  taker.Take("nbd_aio_is_connecting", library.aio_is_connecting);
  taker.Take("nbd_aio_is_dead", library.aio_is_dead);
  taker.Take("nbd_aio_is_closed", library.aio_is_closed);
  taker.Take("nbd_get_size", library.get_size);
  taker.Take("nbd_get_block_size", library.get_block_size);
  taker.Take("nbd_is_read_only", library.is_read_only);
  taker.Take("nbd_can_flush", library.can_flush);
  taker.Take("nbd_can_zero", library.can_zero);
  taker.Take("nbd_can_meta_context", library.can_meta_context);
  taker.Take("nbd_aio_pread", library.aio_pread);
  taker.Take("nbd_aio_pwrite", library.aio_pwrite);
  taker.Take("nbd_aio_zero", library.aio_zero);
  taker.Take("nbd_aio_flush", library.aio_flush);
  taker.Take("nbd_aio_block_status", library.aio_block_status);
  if (taker.missing().empty()) return library;
  return Missing(absl::StrCat(kFileName, " has no ", taker.missing()).c_str());
}

}  // namespace qcow2
