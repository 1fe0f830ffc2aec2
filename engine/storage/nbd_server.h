// NBD servers for tests: nbdkit and qemu-nbd on a socket of their own, and one
// that says what it is told to.
#ifndef ENGINE_STORAGE_NBD_SERVER_H_
#define ENGINE_STORAGE_NBD_SERVER_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace qcow2 {

// A server in a process of its own, which ends with this.
class NbdServer {
 public:
  enum class Transport { kUnix, kTcp };

  // Runs `program`, as in {"nbdkit", "file", "/image"} or {"qemu-nbd", "-r",
  // "/image"}, with options before all others that have it listen. Aborts the
  // test when it does not come up.
  explicit NbdServer(const std::vector<std::string>& program,
                     Transport transport = Transport::kUnix);
  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;
  ~NbdServer();

  // nbd+unix:///?socket=... or nbd://127.0.0.1:...
  const std::string& address() const { return address_; }

  // As `kill -9` and `kill -STOP` do.
  void Kill();
  void Stop() const;

 private:
  std::vector<std::string> ListeningUnix(bool nbdkit);
  std::vector<std::string> ListeningTcp(bool nbdkit);
  bool IsUp() const;

  std::string folder_;
  std::string socket_;  // of kUnix
  uint16_t port_ = 0;   // of kTcp
  std::string address_;
  pid_t process_ = -1;
};

// Whoever connects to it gets `greeting` and then, if `hang_up`, the end of the
// connection, else `for_ever` again and again, or nothing more where that is
// empty.
class ScriptedServer {
 public:
  ScriptedServer(std::string greeting, bool hang_up, std::string for_ever = "");
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer();

  std::string address() const { return "nbd+unix:///?socket=" + socket_; }
  // Whether who was told something for ever has gone.
  bool was_left() const { return was_left_; }

 private:
  void Serve();
  void TellForEver(int client);

  const std::string greeting_;
  const bool hang_up_;
  const std::string for_ever_;
  std::atomic<bool> was_left_ = false;
  std::string folder_;
  std::string socket_;
  int listening_ = -1;
  int end_[2] = {-1, -1};  // a pipe
  std::thread thread_;
};

// What a server of the oldest kind says first: an export of `size` bytes.
std::string OldGreeting(uint64_t size);

// What a server of the newer kind says first, to which the client then tells
// what it wants of it; and one of many facts about the export it wanted.
std::string NewGreeting();
std::string OneMoreFact();

}  // namespace qcow2

#endif  // ENGINE_STORAGE_NBD_SERVER_H_
