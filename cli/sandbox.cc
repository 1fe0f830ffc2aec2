#include "cli/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <memory>
#include <type_traits>

namespace qcow2::cli {
namespace {

using Filter = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>,
                               decltype([](scmp_filter_ctx rules) {
                                 seccomp_release(rules);
                               })>;

// Harmless whatever the arguments are: they reach memory, threads, the clock,
// and, for reading, files that are open.
constexpr int kHarmless[] = {
    SCMP_SYS(brk),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(close),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fstat),
    SCMP_SYS(futex),
    SCMP_SYS(getpid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(lseek),
    SCMP_SYS(madvise),
    SCMP_SYS(membarrier),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    SCMP_SYS(nanosleep),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(read),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sigaltstack),
};

// Nothing in a check comes near these: whoever calls them has taken over.
constexpr int kForeign[] = {
    SCMP_SYS(accept),         SCMP_SYS(bpf),
    SCMP_SYS(connect),        SCMP_SYS(execve),
    SCMP_SYS(execveat),       SCMP_SYS(fork),
    SCMP_SYS(io_uring_setup), SCMP_SYS(kill),
    SCMP_SYS(mount),          SCMP_SYS(process_vm_writev),
    SCMP_SYS(ptrace),         SCMP_SYS(socket),
    SCMP_SYS(userfaultfd),    SCMP_SYS(vfork),
};

// Collects rules; the first error stays.
class Rules {
 public:
  explicit Rules(scmp_filter_ctx filter) : filter_(filter) {}

  void Add(uint32_t action, int call,
           std::initializer_list<scmp_arg_cmp> arguments = {}) {
    if (error_ != 0) return;
    error_ = -seccomp_rule_add_array(filter_, action, call,
                                     static_cast<unsigned>(arguments.size()),
                                     arguments.begin());
  }
  int error() const { return error_; }

 private:
  scmp_filter_ctx filter_;
  int error_ = 0;
};

void AllowOutput(Rules& rules) {
  for (const int output : {STDOUT_FILENO, STDERR_FILENO}) {
    const scmp_arg_cmp is_output =
        SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(output));
    rules.Add(SCMP_ACT_ALLOW, SCMP_SYS(write), {is_output});
    rules.Add(SCMP_ACT_ALLOW, SCMP_SYS(writev), {is_output});
  }
  // How wide the terminal is.
  rules.Add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl),
            {SCMP_A1(SCMP_CMP_EQ, TIOCGWINSZ)});
}

// Memory that can be run is what an attacker would ask for.
void AllowMemory(Rules& rules) {
  const scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
  rules.Add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), {not_executable});
  rules.Add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), {not_executable});
}

void AllowThreads(Rules& rules) {
  rules.Add(SCMP_ACT_ALLOW, SCMP_SYS(clone),
            {SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM,
                     CLONE_THREAD | CLONE_VM)});
  // Its flags are in memory, where no filter sees them; without it the C
  // library takes clone.
  rules.Add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
}

// abort() and raise() send a signal to a thread of this process; those of
// others are out of reach.
void AllowOwnSignals(Rules& rules) {
  rules.Add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
            {SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid()))});
}

// As the C library does fstat(2). A filter cannot see whether the path is
// empty; what an attacker could learn that way are sizes and dates, not
// contents.
void AllowStatus(Rules& rules) {
  rules.Add(SCMP_ACT_ALLOW, SCMP_SYS(newfstatat),
            {SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH)});
}

int Load(scmp_filter_ctx filter) {
  Rules rules(filter);
  for (const int call : kHarmless) rules.Add(SCMP_ACT_ALLOW, call);
  for (const int call : kForeign) rules.Add(SCMP_ACT_KILL_PROCESS, call);
  AllowOutput(rules);
  AllowMemory(rules);
  AllowThreads(rules);
  AllowOwnSignals(rules);
  AllowStatus(rules);
  return rules.error() != 0 ? rules.error() : -seccomp_load(filter);
}

}  // namespace

absl::Status EnterSandbox() {
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  const int error = filter == nullptr ? ENOMEM : Load(filter.get());
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(
      error,
      "the sandbox cannot be entered; without --sandbox the image can "
      "be checked");
}

}  // namespace qcow2::cli
