// A connection to an NBD server with any number of requests under way, for
// threads that each wait for their own.
//
// Talks to the server in one thread of its own. The server is not trusted: it
// can fail requests, or end or delay the connection, but neither being
// connected nor its silence keeps a caller for longer than the timeout.
#ifndef ENGINE_STORAGE_NBD_CONNECTION_H_
#define ENGINE_STORAGE_NBD_CONNECTION_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/storage/file.h"
#include "engine/storage/nbd_library.h"

namespace qcow2 {

struct NbdOptions {
  // How long the connection may take to be made, and the server may then let
  // everyone wait without a sign of life.
  std::chrono::milliseconds timeout = std::chrono::seconds(60);
  // When set and true, waiting ends within half a second.
  const std::atomic<bool>* cancel = nullptr;
};

// What the server says of its export when it is connected to.
struct NbdExport {
  uint64_t size = 0;
  bool read_only = false;
  bool can_flush = false;
  bool can_zero = false;
  bool has_allocation = false;  // tells where there is nothing but zeros
  // Every offset and length has to be a multiple of it; a power of two, of
  // which `size` is a multiple.
  uint64_t block_bytes = 1;
  // The longest read or write; a multiple of the above.
  uint64_t request_max_bytes = 0;
};

// What a stretch of the export is, in the server's words.
struct NbdExtent {
  uint64_t length = 0;
  bool zero = false;
};

class NbdConnection {
 public:
  // One request under way. Whoever lets go of it does not end it.
  struct Request;
  using Ticket = std::shared_ptr<Request>;

  // Connects to the server at `address`, an URI for libnbd, which is called
  // `name` in messages. Errors, all naming it: DeadlineExceeded, Cancelled,
  // Unimplemented (no libnbd), InvalidArgument for an export whose size or
  // block size cannot be, else what libnbd says.
  static absl::StatusOr<std::unique_ptr<NbdConnection>> Open(
      const std::string& address, const std::string& name,
      const NbdOptions& options);

  NbdConnection(const NbdConnection&) = delete;
  NbdConnection& operator=(const NbdConnection&) = delete;
  ~NbdConnection();

  const NbdExport& exported() const;

  // Ask for something, and return at once. Ranges are within the export, not
  // empty, and fit its blocks and its longest request. What `buffer` and `data`
  // point to has to be there until Wait() returns.
  Ticket Read(uint64_t offset, std::span<std::byte> buffer);
  Ticket Write(uint64_t offset, std::span<const std::byte> data);
  Ticket Zero(ByteRange range);
  Ticket Flush();

  // The same, with a buffer of its own; OwnBuffer() is what was read.
  Ticket ReadAhead(ByteRange range);
  static std::span<const std::byte> OwnBuffer(const Ticket& ticket);

  // The stretches from `range`.offset on; the server may tell of fewer or more
  // than asked for.
  Ticket BlockStatus(ByteRange range);
  static const std::vector<NbdExtent>& Extents(const Ticket& ticket);

  // Waits for the answer. An error tells the operation, such as "cannot read",
  // the range and the name. After an error that is no answer of the server's
  // (it hung, went away, or the wait was cancelled) nothing comes through this
  // connection any more.
  absl::Status Wait(const Ticket& ticket) const;

 private:
  class Link;

  explicit NbdConnection(std::shared_ptr<Link> link);

  const std::shared_ptr<Link> link_;
  std::thread thread_;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_NBD_CONNECTION_H_
