#include "engine/storage/nbd_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

// In a short folder: the name of a socket has 107 characters at most.
std::string MakeFolder() {
  std::string folder = "/tmp/nbd_server_XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder;
}

sockaddr_un AddressOf(const std::string& socket) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socket.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

template <typename Address>
bool CanConnect(const Address& address, int family) {
  const int descriptor = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool connected =
      connect(descriptor, reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) == 0;
  close(descriptor);
  return connected;
}

sockaddr_in LoopbackAddress(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// One that nobody has just now.
uint16_t FreePort() {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = LoopbackAddress(0);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof(address);
  EXPECT_EQ(bind(probe, any, length), 0);
  EXPECT_EQ(getsockname(probe, any, &length), 0);
  close(probe);
  return ntohs(address.sin_port);
}

std::string BigEndian(uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) {
    text += static_cast<char>(value >> (8 * i) & 0xff);
  }
  return text;
}

std::string OptionReply(uint64_t option, uint64_t type,
                        const std::string& data) {
  return BigEndian(0x3e889045565a9, 8) + BigEndian(option, 4) +
         BigEndian(type, 4) + BigEndian(data.size(), 4) + data;
}

pid_t Spawn(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  const pid_t process = fork();
  if (process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  return process;
}

}  // namespace

std::vector<std::string> NbdServer::ListeningUnix(bool nbdkit) {
  socket_ = folder_ + "/socket";
  address_ = "nbd+unix:///?socket=" + socket_;
  return {nbdkit ? "-U" : "-k", socket_};
}

std::vector<std::string> NbdServer::ListeningTcp(bool nbdkit) {
  port_ = FreePort();
  const std::string port = std::to_string(port_);
  address_ = "nbd://127.0.0.1:" + port;
  return {nbdkit ? "-i" : "-b", "127.0.0.1", "-p", port};
}

bool NbdServer::IsUp() const {
  return port_ != 0 ? CanConnect(LoopbackAddress(port_), AF_INET)
                    : CanConnect(AddressOf(socket_), AF_UNIX);
}

NbdServer::NbdServer(const std::vector<std::string>& program,
                     Transport transport)
    : folder_(MakeFolder()) {
  const bool nbdkit = program[0] == "nbdkit";
  std::vector<std::string> words = {program[0]};
  for (const std::string& word : transport == Transport::kUnix
                                     ? ListeningUnix(nbdkit)
                                     : ListeningTcp(nbdkit)) {
    words.push_back(word);
  }
  if (nbdkit) {
    words.emplace_back("-f");
  } else {
    // Would end with the first client otherwise.
    words.insert(words.end(), {"-t", "-e", "9", "-f", "raw"});
  }
  words.insert(words.end(), program.begin() + 1, program.end());
  process_ = Spawn(words);
  for (int i = 0; i < 3000 && !IsUp(); ++i) usleep(10000);
  if (!IsUp()) {
    ADD_FAILURE() << program[0] << " does not come up";
    std::abort();
  }
}

NbdServer::~NbdServer() {
  Kill();
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

void NbdServer::Kill() {
  if (process_ == -1) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

void NbdServer::Stop() const {
  kill(process_, SIGSTOP);
  waitpid(process_, nullptr, WUNTRACED);  // until all its threads stand still
}

ScriptedServer::ScriptedServer(std::string greeting, bool hang_up,
                               std::string for_ever)
    : greeting_(std::move(greeting)),
      hang_up_(hang_up),
      for_ever_(std::move(for_ever)),
      folder_(MakeFolder()),
      socket_(folder_ + "/socket"),
      listening_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_un address = AddressOf(socket_);
  EXPECT_EQ(bind(listening_, reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)),
            0);
  EXPECT_EQ(listen(listening_, 5), 0);
  EXPECT_EQ(pipe2(end_, O_CLOEXEC), 0);
  thread_ = std::thread([this] { Serve(); });
}

ScriptedServer::~ScriptedServer() {
  close(end_[1]);
  thread_.join();
  close(end_[0]);
  close(listening_);
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

void ScriptedServer::Serve() {
  std::vector<int> clients;
  while (true) {
    std::array<pollfd, 2> wait = {
        {{listening_, POLLIN, 0}, {end_[0], POLLIN, 0}}};
    if (poll(wait.data(), wait.size(), -1) == -1) continue;
    if (wait[1].revents != 0) break;
    const int client = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client == -1) continue;
    EXPECT_EQ(send(client, greeting_.data(), greeting_.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(greeting_.size()));
    if (!for_ever_.empty()) TellForEver(client);
    if (hang_up_) {
      close(client);
    } else {
      clients.push_back(client);
    }
  }
  for (const int client : clients) close(client);
}

void ScriptedServer::TellForEver(int client) {
  std::string text;
  while (text.size() < 65536) text += for_ever_;
  size_t told = 0;
  while (true) {
    std::array<pollfd, 2> wait = {{{client, POLLOUT, 0}, {end_[0], POLLIN, 0}}};
    if (poll(wait.data(), wait.size(), -1) == -1) continue;
    if (wait[1].revents != 0) return;
    const ssize_t sent = send(client, text.data() + told, text.size() - told,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == -1 && errno != EAGAIN) break;
    if (sent > 0) told = (told + static_cast<size_t>(sent)) % text.size();
  }
  was_left_ = true;
}

std::string OldGreeting(uint64_t size) {
  return "NBDMAGIC" + BigEndian(0x00420281861253, 8) + BigEndian(size, 8) +
         BigEndian(1, 4) /* has flags */ + std::string(124, '\0');
}

std::string NewGreeting() {
  // To be asked for structured replies is not what it knows.
  return "NBDMAGICIHAVEOPT" + BigEndian(3, 2) + OptionReply(8, 0x80000001, "");
}

std::string OneMoreFact() {
  // NBD_REP_INFO for NBD_OPT_GO: a description, which is empty.
  return OptionReply(7, 3, BigEndian(2, 2));
}

}  // namespace qcow2
