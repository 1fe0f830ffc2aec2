// The yardstick of requests: reads or overwrites a raw file from the front to
// the back, one pread or pwrite a request on one thread, as bench of qcow2-tool
// and qemu-img do with the disk of an image.
//
//   request_loop read|write FILE REQUEST-BYTES REQUESTS
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include "engine/storage/page_buffer.h"

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: request_loop read|write FILE BYTES REQUESTS\n", stderr);
    return 2;
  }
  const bool write = std::strcmp(argv[1], "write") == 0;
  const size_t size = std::strtoull(argv[3], nullptr, 10);
  const size_t count = std::strtoull(argv[4], nullptr, 10);
  const int file = open(argv[2], write ? O_WRONLY : O_RDONLY);
  if (file == -1) {
    std::perror(argv[2]);
    return 1;
  }
  qcow2::PageBuffer memory;
  const std::span<std::byte> buffer = memory.Take(size);
  std::memset(buffer.data(), 0, size);
  for (size_t i = 0; i < count; ++i) {
    const auto offset = static_cast<off_t>(i * size);
    const ssize_t done = write ? pwrite(file, buffer.data(), size, offset)
                               : pread(file, buffer.data(), size, offset);
    if (done != static_cast<ssize_t>(size)) {
      std::perror(argv[2]);
      return 1;
    }
  }
  return close(file) == 0 ? 0 : 1;
}
