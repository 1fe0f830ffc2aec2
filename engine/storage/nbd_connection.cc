#include "engine/storage/nbd_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/status_macros.h"

namespace qcow2 {
namespace {

using Clock = std::chrono::steady_clock;

// How often a waiting thread looks whether it is to go on.
constexpr std::chrono::milliseconds kLook{50};
// What is under way when the wait is cancelled may take this long: a server
// that answers is not cut off in the middle of a commit.
constexpr std::chrono::milliseconds kGrace{400};
// How long the end of a connection waits for the thread, which may be looking
// for the address of a host.
constexpr std::chrono::milliseconds kFarewell{200};

// libnbd itself takes no longer ones.
constexpr uint64_t kRequestMaxBytes = uint64_t{32} << 20;
constexpr uint64_t kBlockMaxBytes = 65536;
// What is kept of an answer about extents.
constexpr size_t kMaxExtents = 4096;

std::string Seconds(std::chrono::milliseconds time) {
  const auto count = time.count();
  return count % 1000 == 0 ? absl::StrCat(count / 1000, " s")
                           : absl::StrCat(count, " ms");
}

// What libnbd has to say, without the name of its function before it.
const char* WithoutFunction(const char* text) {
  if (text == nullptr) return "unknown error";
  const char* const end = std::strstr(text, ": ");
  return end != nullptr && std::strncmp(text, "nbd_", 4) == 0 ? end + 2 : text;
}

}  // namespace

struct NbdConnection::Request {
  const char* operation = "";
  ByteRange range;
  Clock::time_point begin = Clock::now();
  std::vector<std::byte> buffer;  // of ReadAhead
  std::vector<NbdExtent> extents;

  Link* link = nullptr;
  bool done = false;
  int error = 0;  // an errno value, when done
};

// What the connection and its thread have in common. The thread outlives the
// connection where the system keeps it (looking for a host).
class NbdConnection::Link {
 public:
  Link(NbdLibrary library, nbd_handle* handle, int wake_up, std::string address,
       std::string name, const NbdOptions& options)
      : library_(library),
        handle_(handle),
        wake_up_(wake_up),
        address_(std::move(address)),
        name_(std::move(name)),
        options_(options) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() {
    library_.close(handle_);
    close(wake_up_);
    if (socket_ != -1) close(socket_);
  }

  // The thread's part, from the connection's begin to its end.
  void Run();

  // The others' part.
  absl::Status WaitUntilReady();
  // `send` hands the request to libnbd and returns what that returns.
  Ticket Send(const char* operation, ByteRange range,
              const std::function<int64_t(Request&)>& send);
  absl::Status Wait(const Request& request);
  // Returns whether the thread has ended.
  bool Stop();

  const NbdLibrary& library() const { return library_; }
  nbd_handle* handle() const { return handle_; }
  // Set once connected.
  const NbdExport& exported() const { return exported_; }

  // Called by libnbd, which has the lock through its caller.
  static int Complete(void* data, int* error);

 private:
  using Lock = std::unique_lock<std::mutex>;

  // Waits for the server or for someone to have something to send.
  void PollOnce(Lock& lock);
  void Notify(Lock& lock, int events);
  // Has `socket_` be the same as `socket`.
  void KeepSocket(int socket);
  // After anything that may have changed the connection's state.
  void Look();
  absl::Status ReadExport();
  // Nothing comes or goes any more, for the first reason given.
  void Fail(absl::Status why);
  // What libnbd says went wrong last in this thread.
  absl::Status LastError(const char* what) const;
  void WakeUp() const;
  // Waits for a moment; fails the link where waiting any longer is no use.
  // `begin` is when the wait began.
  void WaitABit(Lock& lock, Clock::time_point begin);
  bool IsCancelled() const {
    return options_.cancel != nullptr && *options_.cancel;
  }

  const NbdLibrary library_;
  nbd_handle* const handle_;
  const int wake_up_;  // an eventfd
  const std::string address_;
  const std::string name_;
  const NbdOptions options_;

  // Guards all below, and the handle once it is connected. Until then only the
  // thread uses that, without the lock: libnbd does not return from reading
  // while the server goes on talking.
  std::mutex mutex_;
  std::condition_variable changed_;
  // What the handle was last seen to talk through while it was being connected;
  // a descriptor of its own, that may be shut down at any time.
  int socket_ = -1;
  bool ready_ = false;
  bool stop_ = false;
  bool ended_ = false;
  absl::Status failure_;
  NbdExport exported_;
  Clock::time_point sign_of_life_ = Clock::now();
  Clock::time_point cancel_seen_;
  bool cancel_was_seen_ = false;
  // Kept for as long as libnbd may use them.
  std::map<const Request*, Ticket> under_way_;
};

absl::Status NbdConnection::Link::LastError(const char* what) const {
  const int number = library_.get_errno();
  // The address itself may have a password, which is nobody's business.
  const std::string why = absl::StrReplaceAll(
      WithoutFunction(library_.get_error()), {{address_, name_}});
  return absl::Status(number == 0 ? absl::StatusCode::kUnknown
                                  : absl::ErrnoToStatusCode(number),
                      absl::StrCat(what, " '", name_, "': ", why));
}

void NbdConnection::Link::Fail(absl::Status why) {
  if (failure_.ok()) failure_ = std::move(why);
  changed_.notify_all();
}

void NbdConnection::Link::WakeUp() const {
  // It cannot fail but where the thread is to wake up already.
  eventfd_write(wake_up_, 1);
}

void NbdConnection::Link::Run() {
  // May ask the system for the address of a host, and wait for that. Nobody
  // else uses the handle yet.
  const int begun = library_.aio_connect_uri(handle_, address_.c_str());
  Lock lock(mutex_);
  sign_of_life_ = Clock::now();
  if (begun == -1) Fail(LastError("cannot connect to"));
  if (failure_.ok()) Look();
  while (failure_.ok() && !stop_) PollOnce(lock);
  if (failure_.ok() && ready_) library_.aio_disconnect(handle_, 0);
  ended_ = true;
  changed_.notify_all();
}

void NbdConnection::Link::KeepSocket(int socket) {
  if (socket_ != -1) close(socket_);
  socket_ = fcntl(socket, F_DUPFD_CLOEXEC, 0);
}

void NbdConnection::Link::PollOnce(Lock& lock) {
  const unsigned direction = library_.aio_get_direction(handle_);
  std::array<pollfd, 2> wait = {};
  wait[0].fd = library_.aio_get_fd(handle_);
  // Where a host has several addresses each has a socket of its own.
  if (!ready_) KeepSocket(wait[0].fd);
  if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) wait[0].events |= POLLIN;
  if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) wait[0].events |= POLLOUT;
  wait[1] = {.fd = wake_up_, .events = POLLIN, .revents = 0};

  lock.unlock();
  const int count = poll(wait.data(), wait.size(), -1);
  const int error = errno;
  if (count > 0 && wait[1].revents != 0) {
    eventfd_t wakings = 0;
    eventfd_read(wake_up_, &wakings);
  }
  lock.lock();

  if (!failure_.ok() || stop_) return;
  if (count == -1) {
    if (error != EINTR) Fail(absl::ErrnoToStatus(error, "cannot wait"));
    return;
  }
  if (wait[0].revents != 0) Notify(lock, wait[0].revents);
}

void NbdConnection::Link::Notify(Lock& lock, int events) {
  constexpr int kEnd = POLLHUP | POLLERR;
  // Somebody may have sent something since.
  const unsigned direction = library_.aio_get_direction(handle_);
  const bool read = (direction & LIBNBD_AIO_DIRECTION_READ) != 0 &&
                    (events & (POLLIN | kEnd)) != 0;
  const bool write = !read && (direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 &&
                     (events & (POLLOUT | kEnd)) != 0;
  if (!read && !write && (events & (kEnd | POLLNVAL)) != 0) {
    Fail(absl::UnavailableError(
        absl::StrCat("the connection to '", name_, "' was lost")));
  }
  const bool connecting = !ready_;
  if (connecting) lock.unlock();
  int result = 0;
  if (read) result = library_.aio_notify_read(handle_);
  if (write) result = library_.aio_notify_write(handle_);
  if (connecting) lock.lock();
  if (!failure_.ok() || stop_) return;
  sign_of_life_ = Clock::now();
  if (result == -1) {
    Fail(
        LastError(ready_ ? "the connection was lost to" : "cannot connect to"));
    return;
  }
  Look();
}

void NbdConnection::Link::Look() {
  if (library_.aio_is_dead(handle_) != 0 ||
      library_.aio_is_closed(handle_) != 0) {
    Fail(absl::UnavailableError(
        absl::StrCat("the server of '", name_, "' has ended the connection")));
    return;
  }
  if (ready_ || library_.aio_is_connecting(handle_) != 0) return;
  if (absl::Status facts = ReadExport(); !facts.ok()) {
    Fail(std::move(facts));
    return;
  }
  ready_ = true;
  changed_.notify_all();
}

absl::Status NbdConnection::Link::ReadExport() {
  const int64_t size = library_.get_size(handle_);
  if (size < 0) return LastError("cannot find the size of");
  exported_.size = static_cast<uint64_t>(size);
  exported_.read_only = library_.is_read_only(handle_) != 0;
  exported_.can_flush = library_.can_flush(handle_) == 1;
  exported_.can_zero = library_.can_zero(handle_) == 1;
  exported_.has_allocation =
      library_.can_meta_context(handle_, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
  const int64_t block = std::max<int64_t>(
      library_.get_block_size(handle_, LIBNBD_SIZE_MINIMUM), 1);
  const int64_t most = library_.get_block_size(handle_, LIBNBD_SIZE_MAXIMUM);
  exported_.block_bytes = static_cast<uint64_t>(block);
  const uint64_t longest =
      most > 0 ? std::min(static_cast<uint64_t>(most), kRequestMaxBytes)
               : kRequestMaxBytes;
  exported_.request_max_bytes =
      longest / exported_.block_bytes * exported_.block_bytes;
  if (!std::has_single_bit(exported_.block_bytes) ||
      exported_.block_bytes > kBlockMaxBytes ||
      exported_.request_max_bytes < std::max<uint64_t>(block, 512)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name_, "' takes requests of ", block, " to ", most,
                     " bytes, with which it cannot be read"));
  }
  if (exported_.size % exported_.block_bytes == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "'", name_, "' has ", size, " bytes, which is no multiple of the ", block,
      " that it takes requests in: its end cannot be read"));
}

void NbdConnection::Link::WaitABit(Lock& lock, Clock::time_point begin) {
  changed_.wait_for(lock, kLook);
  const Clock::time_point now = Clock::now();
  if (IsCancelled() && !cancel_was_seen_) {
    cancel_was_seen_ = true;
    cancel_seen_ = now;
  }
  if (cancel_was_seen_ && now - std::max(begin, cancel_seen_) > kGrace) {
    Fail(absl::CancelledError("cancelled while waiting for the server"));
  }
  // Until all is said that a connection begins with, no word of it counts.
  const Clock::time_point since =
      ready_ ? std::max(begin, sign_of_life_) : begin;
  if (now - since > options_.timeout) {
    Fail(absl::DeadlineExceededError(absl::StrCat(
        ready_ ? "the server has not answered for " : "it takes longer than ",
        Seconds(options_.timeout), " (--remote-timeout)")));
  }
}

absl::Status NbdConnection::Link::WaitUntilReady() {
  Lock lock(mutex_);
  const Clock::time_point begin = Clock::now();
  while (!ready_ && failure_.ok()) WaitABit(lock, begin);
  if (ready_) return absl::OkStatus();
  if (!absl::IsDeadlineExceeded(failure_) && !absl::IsCancelled(failure_)) {
    return failure_;
  }
  return absl::Status(
      failure_.code(),
      absl::StrCat("cannot connect to '", name_, "': ", failure_.message()));
}

int NbdConnection::Link::Complete(void* data, int* error) {
  auto* const request = static_cast<Request*>(data);
  Link& link = *request->link;
  request->error = *error;
  request->done = true;
  link.changed_.notify_all();
  // Only the one who waits for it may still want it.
  link.under_way_.erase(request);
  return 1;  // libnbd may forget it
}

NbdConnection::Ticket NbdConnection::Link::Send(
    const char* operation, ByteRange range,
    const std::function<int64_t(Request&)>& send) {
  auto request = std::make_shared<Request>();
  request->operation = operation;
  request->range = range;
  request->link = this;
  const Lock lock(mutex_);
  if (!failure_.ok()) return request;
  under_way_.emplace(request.get(), request);
  if (send(*request) == -1) {
    // It never got under way.
    under_way_.erase(request.get());
    request->done = true;
    const int error = library_.get_errno();
    request->error = error == 0 ? EIO : error;
    Look();
  }
  // What could not be sent at once is the thread's to send.
  if ((library_.aio_get_direction(handle_) & LIBNBD_AIO_DIRECTION_WRITE) != 0) {
    WakeUp();
  }
  return request;
}

absl::Status NbdConnection::Link::Wait(const Request& request) {
  Lock lock(mutex_);
  while (!request.done && failure_.ok()) WaitABit(lock, request.begin);
  if (request.done && request.error == 0) return absl::OkStatus();
  const std::string what = absl::StrCat(
      request.operation, " ", request.range.length, " bytes at offset ",
      request.range.offset, " of '", name_, "'");
  if (failure_.ok()) return absl::ErrnoToStatus(request.error, what);
  return absl::Status(failure_.code(),
                      absl::StrCat(what, ": ", failure_.message()));
}

bool NbdConnection::Link::Stop() {
  Lock lock(mutex_);
  stop_ = true;
  // The thread may be listening to a server that never stops talking.
  if (!ready_ && socket_ != -1) shutdown(socket_, SHUT_RDWR);
  WakeUp();
  return changed_.wait_for(lock, kFarewell, [this] { return ended_; });
}

absl::StatusOr<std::unique_ptr<NbdConnection>> NbdConnection::Open(
    const std::string& address, const std::string& name,
    const NbdOptions& options) {
  ASSIGN_OR_RETURN(const NbdLibrary library, LoadNbdLibrary());
  const int wake_up = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_up == -1) return absl::ErrnoToStatus(errno, "cannot make an event");
  nbd_handle* const handle = library.create();
  if (handle == nullptr) {
    close(wake_up);
    return absl::ResourceExhaustedError("libnbd has no handle left");
  }
  // Files of keys and certificates that the user's own address names. Neither
  // call fails before the connection is made.
  library.set_uri_allow_local_file(handle, true);
  library.add_meta_context(handle, LIBNBD_CONTEXT_BASE_ALLOCATION);
  auto link =
      std::make_shared<Link>(library, handle, wake_up, address, name, options);
  std::unique_ptr<NbdConnection> connection(new NbdConnection(std::move(link)));
  connection->thread_ =
      std::thread([link = connection->link_] { link->Run(); });
  RETURN_IF_ERROR(connection->link_->WaitUntilReady());
  return connection;
}

NbdConnection::NbdConnection(std::shared_ptr<Link> link)
    : link_(std::move(link)) {}

NbdConnection::~NbdConnection() {
  if (!thread_.joinable()) return;
  if (link_->Stop()) {
    thread_.join();
  } else {
    thread_.detach();  // it has its own share of the link
  }
}

const NbdExport& NbdConnection::exported() const { return link_->exported(); }

NbdConnection::Ticket NbdConnection::Read(uint64_t offset,
                                          std::span<std::byte> buffer) {
  return link_->Send(
      "cannot read", {offset, buffer.size()}, [&](Request& request) {
        return link_->library().aio_pread(link_->handle(), buffer.data(),
                                          buffer.size(), offset,
                                          {.callback = Link::Complete,
                                           .user_data = &request,
                                           .free = nullptr},
                                          0);
      });
}

NbdConnection::Ticket NbdConnection::ReadAhead(ByteRange range) {
  return link_->Send("cannot read", range, [&](Request& request) {
    request.buffer.resize(range.length);
    return link_->library().aio_pread(
        link_->handle(), request.buffer.data(), range.length, range.offset,
        {.callback = Link::Complete, .user_data = &request, .free = nullptr},
        0);
  });
}

std::span<const std::byte> NbdConnection::OwnBuffer(const Ticket& ticket) {
  return ticket->buffer;
}

NbdConnection::Ticket NbdConnection::Write(uint64_t offset,
                                           std::span<const std::byte> data) {
  return link_->Send(
      "cannot write", {offset, data.size()}, [&](Request& request) {
        return link_->library().aio_pwrite(link_->handle(), data.data(),
                                           data.size(), offset,
                                           {.callback = Link::Complete,
                                            .user_data = &request,
                                            .free = nullptr},
                                           0);
      });
}

NbdConnection::Ticket NbdConnection::Zero(ByteRange range) {
  return link_->Send("cannot write zeros to", range, [&](Request& request) {
    return link_->library().aio_zero(
        link_->handle(), range.length, range.offset,
        {.callback = Link::Complete, .user_data = &request, .free = nullptr},
        0);
  });
}

NbdConnection::Ticket NbdConnection::Flush() {
  return link_->Send(
      "cannot flush", {0, exported().size}, [&](Request& request) {
        return link_->library().aio_flush(link_->handle(),
                                          {.callback = Link::Complete,
                                           .user_data = &request,
                                           .free = nullptr},
                                          0);
      });
}

NbdConnection::Ticket NbdConnection::BlockStatus(ByteRange range) {
  // Other contexts were not asked for; what is not the one that was is no
  // answer.
  constexpr auto kTake = [](void* data, const char* context, uint64_t offset,
                            uint32_t* entries, size_t count, int* /*error*/) {
    auto* const request = static_cast<Request*>(data);
    if (std::string_view(context) != LIBNBD_CONTEXT_BASE_ALLOCATION ||
        offset != request->range.offset) {
      return 0;
    }
    for (size_t i = 0; i + 1 < count; i += 2) {
      if (request->extents.size() == kMaxExtents) break;
      request->extents.push_back(
          {entries[i], (entries[i + 1] & LIBNBD_STATE_ZERO) != 0});
    }
    return 0;
  };
  return link_->Send("cannot look for data in", range, [&](Request& request) {
    return link_->library().aio_block_status(
        link_->handle(), range.length, range.offset,
        {.callback = kTake, .user_data = &request, .free = nullptr},
        {.callback = Link::Complete, .user_data = &request, .free = nullptr},
        0);
  });
}

const std::vector<NbdExtent>& NbdConnection::Extents(const Ticket& ticket) {
  return ticket->extents;
}

absl::Status NbdConnection::Wait(const Ticket& ticket) const {
  return link_->Wait(*ticket);
}

}  // namespace qcow2
