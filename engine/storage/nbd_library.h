// libnbd, loaded when it is first needed: few users have images behind NBD, and
// those who have not need neither the library nor the twenty others it brings.
//
// Loads a shared library; keeps nothing.
#ifndef ENGINE_STORAGE_NBD_LIBRARY_H_
#define ENGINE_STORAGE_NBD_LIBRARY_H_

#include <libnbd.h>

#include "absl/status/statusor.h"

namespace qcow2 {

// The functions of libnbd that are used, without the nbd_ of their names.
struct NbdLibrary {
  decltype(&nbd_create) create = nullptr;
  decltype(&nbd_close) close = nullptr;
  decltype(&nbd_get_error) get_error = nullptr;
  decltype(&nbd_get_errno) get_errno = nullptr;
  decltype(&nbd_set_uri_allow_local_file) set_uri_allow_local_file = nullptr;
  decltype(&nbd_add_meta_context) add_meta_context = nullptr;

  decltype(&nbd_aio_connect_uri) aio_connect_uri = nullptr;
  decltype(&nbd_aio_disconnect) aio_disconnect = nullptr;
  decltype(&nbd_aio_get_fd) aio_get_fd = nullptr;
  decltype(&nbd_aio_get_direction) aio_get_direction = nullptr;
  decltype(&nbd_aio_notify_read) aio_notify_read = nullptr;
  decltype(&nbd_aio_notify_write) aio_notify_write = nullptr;
  decltype(&nbd_aio_is_connecting) aio_is_connecting = nullptr;
  decltype(&nbd_aio_is_dead) aio_is_dead = nullptr;
  decltype(&nbd_aio_is_closed) aio_is_closed = nullptr;

  decltype(&nbd_get_size) get_size = nullptr;
  decltype(&nbd_get_block_size) get_block_size = nullptr;
  decltype(&nbd_is_read_only) is_read_only = nullptr;
  decltype(&nbd_can_flush) can_flush = nullptr;
  decltype(&nbd_can_zero) can_zero = nullptr;
  decltype(&nbd_can_meta_context) can_meta_context = nullptr;

  decltype(&nbd_aio_pread) aio_pread = nullptr;
  decltype(&nbd_aio_pwrite) aio_pwrite = nullptr;
  decltype(&nbd_aio_zero) aio_zero = nullptr;
  decltype(&nbd_aio_flush) aio_flush = nullptr;
  decltype(&nbd_aio_block_status) aio_block_status = nullptr;
};

// Unimplemented, naming the package to install, where there is no libnbd or one
// that is too old. It stays loaded until the process ends.
absl::StatusOr<NbdLibrary> LoadNbdLibrary();

}  // namespace qcow2

#endif  // ENGINE_STORAGE_NBD_LIBRARY_H_
