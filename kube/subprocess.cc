#include "kube/subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>

#include "base/guarded.h"

namespace spillway::kube {
namespace {

using Moment = std::chrono::steady_clock::time_point;

// Closes the descriptor when it goes.
class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() { Close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] int Get() const { return descriptor_; }
  [[nodiscard]] bool IsOpen() const { return descriptor_ >= 0; }
  void Close() {
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = -1;
  }

 private:
  int descriptor_;
};

Error CannotRun(const Program& program, int why) {
  return {why == ENOENT ? Code::kNotFound : Code::kInvalid,
          fmt::format("cannot run {}: {}", program.path, std::strerror(why))};
}

// Variables that have another value here than in what we run; nullopt: there they are not set.
using Inherited = std::map<std::string, std::optional<std::string>, std::less<>>;

Guarded<Inherited>& OwnVariables() {
  static Guarded<Inherited> variables;
  return variables;
}

// "NAME=value" of this process as it was started, but for names that the program has a value of
// its own for.
std::vector<std::string> Environment(const Program& program) {
  const Inherited inherited = OwnVariables().With([](const Inherited& all) { return all; });
  const auto has_own = [&](std::string_view name) {
    return std::any_of(program.environment.begin(), program.environment.end(),
                       [&](const auto& pair) { return pair.first == name; });
  };
  std::vector<std::string> all;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view entry = *at;
    const std::string_view name = entry.substr(0, entry.find('='));
    if (!has_own(name) && !inherited.contains(name)) all.emplace_back(entry);
  }
  for (const auto& [name, value] : inherited) {
    if (value && !has_own(name)) all.push_back(fmt::format("{}={}", name, *value));
  }
  for (const auto& [name, value] : program.environment)
    all.push_back(fmt::format("{}={}", name, value));
  return all;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// How the new process differs from this one: its files, its signals, its group.
class Setup {
 public:
  Setup(const Program& program, int output) {
    posix_spawn_file_actions_init(&files_);
    if (!program.terminal) {
      posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    posix_spawn_file_actions_adddup2(&files_, output, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files_, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (!program.terminal) flags |= POSIX_SPAWN_SETPGROUP;
    posix_spawnattr_setflags(&attributes_, static_cast<int16_t>(flags));
  }
  ~Setup() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  Setup(const Setup&) = delete;
  Setup& operator=(const Setup&) = delete;

  // 0 or an errno.
  int Spawn(const Program& program, pid_t& pid) const {
    std::vector<std::string> arguments = {program.path};
    arguments.insert(arguments.end(), program.arguments.begin(), program.arguments.end());
    std::vector<std::string> environment = Environment(program);
    return posix_spawnp(&pid, program.path.c_str(), &files_, &attributes_,
                        Pointers(arguments).data(), Pointers(environment).data());
  }

 private:
  posix_spawn_file_actions_t files_{};
  posix_spawnattr_t attributes_{};
};

// A running program. It is killed if it goes before its end.
class Child {
 public:
  // The header of glibc 2.36's own function declares it for C only.
  Child(pid_t pid, bool leads_group)
      : pid_(pid),
        leads_group_(leads_group),
        ended_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}
  ~Child() {
    if (pid_ == 0) return;
    kill(leads_group_ ? -pid_ : pid_, SIGKILL);
    Reap();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // Readable once it has ended.
  [[nodiscard]] int Ended() const { return ended_.Get(); }
  int Reap() {
    int status = 0;
    pid_t ended = 0;
    while ((ended = waitpid(pid_, &status, 0)) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    if (ended < 0) return 255;  // where somebody ignores SIGCHLD nobody knows how it ended
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_;
  bool leads_group_;
  File ended_;
};

// Takes what is there without waiting. False when more came than is allowed.
bool Drain(File& from, size_t most, std::string& into) {
  std::array<char, 16384> piece{};
  for (;;) {
    const ssize_t got = read(from.Get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) from.Close();
    if (got <= 0) return true;
    into.append(piece.data(), static_cast<size_t>(got));
    if (into.size() > most) return false;
  }
}

int MillisecondsUntil(Moment moment) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(moment - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
}

Result<ProgramEnd> Wait(const Program& program, Child& child, File& output, int stopped) {
  const Moment deadline = std::chrono::steady_clock::now() + program.deadline;
  ProgramEnd end;
  for (;;) {
    std::array<pollfd, 3> ready = {pollfd{output.Get(), POLLIN, 0},  // ignored once closed
                                   pollfd{child.Ended(), POLLIN, 0}, pollfd{stopped, POLLIN, 0}};
    const int left = MillisecondsUntil(deadline);
    if (poll(ready.data(), ready.size(), left) < 0 && errno != EINTR) {
      return CannotRun(program, errno);
    }
    if (ready[2].revents != 0) return Error{Code::kCancelled, program.path + ": stopped"};
    if (output.IsOpen() && !Drain(output, program.most_output, end.output)) {
      return Error{Code::kInvalid,
                   fmt::format("{} says more than {} bytes", program.path, program.most_output)};
    }
    if (ready[1].revents != 0) {
      // What came between the last look and its end.
      if (output.IsOpen() && !Drain(output, program.most_output, end.output)) {
        return Error{Code::kInvalid,
                     fmt::format("{} says more than {} bytes", program.path, program.most_output)};
      }
      end.exit_code = child.Reap();
      return end;
    }
    if (left == 0) {
      return Error{Code::kUnavailable, fmt::format("{} was not done within {} s", program.path,
                                                   program.deadline.count() / 1000)};
    }
  }
}

}  // namespace

Result<ProgramEnd> RunProgram(const Program& program, const std::stop_token& stop) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return CannotRun(program, errno);
  File output(ends[0]);
  File input(ends[1]);
  fcntl(output.Get(), F_SETFL, O_NONBLOCK);
  const File stopped(eventfd(0, EFD_CLOEXEC));
  if (!stopped.IsOpen()) return CannotRun(program, errno);
  pid_t pid = 0;
  if (const int failed = Setup(program, input.Get()).Spawn(program, pid); failed != 0) {
    return CannotRun(program, failed);
  }
  Child child(pid, !program.terminal);
  if (child.Ended() < 0) return CannotRun(program, errno);
  input.Close();
  const std::stop_callback on_stop(stop, [&] { eventfd_write(stopped.Get(), 1); });
  return Wait(program, child, output, stopped.Get());
}

void SetForThisProcess(const std::string& name, const std::string& value) {
  OwnVariables().With([&](Inherited& all) {
    // NOLINTBEGIN(concurrency-mt-unsafe): as REQUIRED.
    const char* const before = getenv(name.c_str());
    all.try_emplace(name, before != nullptr ? std::optional<std::string>(before) : std::nullopt);
    setenv(name.c_str(), value.c_str(), 1);
    // NOLINTEND(concurrency-mt-unsafe)
  });
}

}  // namespace spillway::kube
