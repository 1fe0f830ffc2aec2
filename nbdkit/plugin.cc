// The plugin: nbdkit's C functions, each of which calls the engine and turns
// what it says into nbdkit's words. No exception leaves any of them.
#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <nbdkit-plugin.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/version.h"
#include "nbdkit/extents.h"
#include "nbdkit/parameters.h"
#include "nbdkit/shared_disk.h"

namespace qcow2::nbdkit {
namespace {

// The longest request that clients are told to send. A read needs no buffer
// here, but nbdkit takes none longer than 64 MiB.
constexpr uint32_t kMaxRequestBytes = uint32_t{32} << 20;

// Half of the functions get no handle, so what they share has to be found
// without one. nbdkit calls load before anything else and unload last, both
// alone.
struct Plugin {
  Parameters parameters;
  SharedDisk disk{parameters};
};
std::unique_ptr<Plugin> the_plugin;

// What nbdkit keeps for a connection.
struct Connection {
  GuestDisk* disk = nullptr;
  bool read_only = false;
};

Connection& ConnectionOf(void* handle) {
  return *static_cast<Connection*>(handle);
}

GuestDisk& DiskOf(void* handle) { return *ConnectionOf(handle).disk; }

// NBD knows few errors; nbdkit makes one of them of any that it gets.
int ErrnoOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return ENOSPC;
    case absl::StatusCode::kOutOfRange:
      return EFBIG;
    case absl::StatusCode::kInvalidArgument:
      return EINVAL;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kPermissionDenied:
      return EPERM;
    case absl::StatusCode::kUnimplemented:
      return ENOTSUP;
    case absl::StatusCode::kNotFound:
      return ENOENT;
    default:
      return EIO;
  }
}

void Report(int error, const char* message) {
  nbdkit_error("%s", message);
  nbdkit_set_error(error);
}

// Runs `body`, which returns a status: 0 if it is OK, else -1 with everything
// reported.
template <typename Body>
int Run(Body body) noexcept {
  try {
    const absl::Status status = body();
    if (status.ok()) return 0;
    Report(ErrnoOf(status), std::string(status.message()).c_str());
  } catch (const std::bad_alloc&) {
    Report(ENOMEM, "out of memory");
  } catch (const std::exception& error) {
    Report(EIO, error.what());
  } catch (...) {
    Report(EIO, "unknown error");
  }
  return -1;
}

void Load() {
  // A failure shows in Config, which nbdkit calls next.
  Run([] {
    the_plugin = std::make_unique<Plugin>();
    return absl::OkStatus();
  });
}

void Unload() { the_plugin.reset(); }

int Config(const char* key, const char* value) {
  return Run([&] {
    if (the_plugin == nullptr) return absl::InternalError("out of memory");
    return TakeParameter(key, value, the_plugin->parameters);
  });
}

int ConfigComplete() {
  return Run([] {
    if (the_plugin == nullptr) return absl::InternalError("out of memory");
    return CheckComplete(the_plugin->parameters);
  });
}

// What cannot be served is said before nbdkit goes to the background.
int GetReady() {
  return Run([] { return the_plugin->disk.Try(); });
}

void* Open(int readonly) {
  std::unique_ptr<Connection> connection;
  const int result = Run([&]() -> absl::Status {
    connection = std::make_unique<Connection>();
    connection->read_only = readonly != 0;
    const absl::StatusOr<GuestDisk*> disk =
        the_plugin->disk.Connect(readonly == 0);
    if (disk.ok()) connection->disk = *disk;
    return disk.status();
  });
  return result == 0 ? connection.release() : nullptr;
}

void Close(void* handle) {
  delete &ConnectionOf(handle);
  Run([] { return the_plugin->disk.Disconnect(); });
}

int64_t GetSize(void* handle) {
  const uint64_t size = DiskOf(handle).size_bytes();
  if (size <= uint64_t{std::numeric_limits<int64_t>::max()}) {
    return static_cast<int64_t>(size);
  }
  Report(EFBIG, "the disk is larger than NBD can tell");
  return -1;
}

int BlockSize(void*, uint32_t* minimum, uint32_t* preferred,
              uint32_t* maximum) {
  return Run([&] {
    *minimum = 1;
    *preferred = static_cast<uint32_t>(the_plugin->disk.cluster_size());
    *maximum = kMaxRequestBytes;
    return absl::OkStatus();
  });
}

int CanWrite(void* handle) {
  const Connection& connection = ConnectionOf(handle);
  return !connection.read_only && connection.disk->writable() ? 1 : 0;
}

int CanFlush(void* handle) { return CanWrite(handle); }
int CanTrim(void* handle) { return CanWrite(handle); }
int CanZero(void* handle) { return CanWrite(handle); }

// nbdkit flushes after each request that asks for it.
int CanFua(void* handle) {
  return CanWrite(handle) != 0 ? NBDKIT_FUA_EMULATE : NBDKIT_FUA_NONE;
}

int CanExtents(void*) { return 1; }

// All connections share one image: a flush on one is a flush on all.
int CanMultiConn(void*) { return 1; }

int Pread(void* handle, void* buffer, uint32_t count, uint64_t offset,
          uint32_t) {
  return Run([&] {
    return DiskOf(handle).Read(
        offset, std::span(static_cast<std::byte*>(buffer), count));
  });
}

int Pwrite(void* handle, const void* buffer, uint32_t count, uint64_t offset,
           uint32_t) {
  return Run([&] {
    return DiskOf(handle).Write(
        offset, std::span(static_cast<const std::byte*>(buffer), count));
  });
}

int Zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  return Run([&] {
    return DiskOf(handle).WriteZeroes(offset, count,
                                      (flags & NBDKIT_FLAG_MAY_TRIM) != 0
                                          ? ZeroMode::kUnmap
                                          : ZeroMode::kKeep);
  });
}

int Trim(void* handle, uint32_t count, uint64_t offset, uint32_t) {
  return Run([&] { return DiskOf(handle).Discard(offset, count); });
}

int Flush(void* handle, uint32_t) {
  return Run([&] { return DiskOf(handle).Flush(); });
}

int Extents(void* handle, uint32_t count, uint64_t offset, uint32_t flags,
            nbdkit_extents* extents) {
  return Run([&] {
    ExtentRequest request;
    request.offset = offset;
    request.length = count;
    request.only_first = (flags & NBDKIT_FLAG_REQ_ONE) != 0;
    if (the_plugin->parameters.damaged) {
      request.damaged_piece_bytes = the_plugin->disk.cluster_size();
    }
    return ForEachExtent(
        DiskOf(handle), request,
        [&](uint64_t at, uint64_t length, bool zeros) -> absl::Status {
          const uint32_t type =
              zeros ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;
          if (nbdkit_add_extent(extents, at, length, type) == 0) {
            return absl::OkStatus();
          }
          return absl::ErrnoToStatus(errno, "an extent cannot be told");
        });
  });
}

nbdkit_plugin Describe() {
  nbdkit_plugin plugin = {};
  plugin.name = "qcow2";
  plugin.version = cli::kToolVersion.data();
  plugin.longname = "qcow2 disk images";
  plugin.description =
      "Serves a qcow2 image, or what is intact of a damaged one";
  plugin.config_help =
      "file=IMAGE           (required) The image to serve.\n"
      "snapshot=ID_OR_NAME  A snapshot of it, read-only, in its place.\n"
      "backing=POLICY       Which files it names, backing and data files, are\n"
      "                     opened: follow (default), regular files; any, "
      "block\n"
      "                     devices, too; same-dir, those in its own folder; "
      "none.\n"
      "                     Without backing files it is read-only, and reads "
      "as\n"
      "                     zeros what they have.\n"
      "secret-file=FILE     The passphrase of an encrypted image.\n"
      "damaged=on           Serve read-only what can be read, even if the "
      "image\n"
      "                     is marked dirty or corrupt.";
  plugin.magic_config_key = "file";
  plugin.load = Load;
  plugin.unload = Unload;
  plugin.config = Config;
  plugin.config_complete = ConfigComplete;
  plugin.get_ready = GetReady;
  plugin.open = Open;
  plugin.close = Close;
  plugin.get_size = GetSize;
  plugin.block_size = BlockSize;
  plugin.can_write = CanWrite;
  plugin.can_flush = CanFlush;
  plugin.can_trim = CanTrim;
  plugin.can_zero = CanZero;
  plugin.can_fua = CanFua;
  plugin.can_extents = CanExtents;
  plugin.can_multi_conn = CanMultiConn;
  plugin.pread = Pread;
  plugin.pwrite = Pwrite;
  plugin.zero = Zero;
  plugin.trim = Trim;
  plugin.flush = Flush;
  plugin.extents = Extents;
  return plugin;
}

nbdkit_plugin description = Describe();

}  // namespace
}  // namespace qcow2::nbdkit

NBDKIT_REGISTER_PLUGIN(qcow2::nbdkit::description)
