// Kubeconfigs, several of them merged: no text crashes the reader, and what it takes can be used.
#include "kube/kubeconfig.h"

#include <sys/mman.h>
#include <unistd.h>

#include <memory>

#include "kube/exec_plugin.h"
#include "tests/fuzz/property.h"

namespace spillway::fuzz {
namespace {

constexpr size_t kMostFiles = 3;

// A file that is nowhere but in memory.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : handle_(memfd_create("kubeconfig", MFD_CLOEXEC)) {
    const ssize_t written = write(handle_, text.data(), text.size());
    Require(written == static_cast<ssize_t>(text.size()), "the input can be written");
  }
  ~MemoryFile() { close(handle_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  [[nodiscard]] std::string Path() const { return "/proc/self/fd/" + std::to_string(handle_); }

 private:
  int handle_;
};

void Usable(const kube::ClusterConfig& config) {
  Require(!config.server.empty() && config.server.back() != '/', "the server is one",
          config.server);
  Require(config.client_certificate.empty() == config.client_key.empty(),
          "a certificate comes with its key");
  if (!config.exec) return;
  Require(!config.exec->command.empty(), "a plugin has a command");
  // It has to make JSON of what the kubeconfig has.
  Require(!kube::ExecInfo(*config.exec, config, "", false).empty(), "a plugin can be told");
}

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace spillway;
  const auto parts = fuzz::Parts(fuzz::TextOf(data, size));
  if (parts.size() > fuzz::kMostFiles) return 0;
  std::vector<std::unique_ptr<fuzz::MemoryFile>> files;
  std::vector<std::string> paths;
  for (const std::string_view part : parts) {
    paths.push_back(files.emplace_back(std::make_unique<fuzz::MemoryFile>(part))->Path());
  }
  const auto config = kube::ReadKubeconfigs(paths, true, {});
  if (config) {
    fuzz::Usable(*config);
  } else {
    fuzz::Require(config.error().code == Code::kInvalid && !config.error().message.empty(),
                  "an error says what is wrong");
  }
  return 0;
}
