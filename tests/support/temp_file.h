#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <string_view>

namespace spillway::support {

// A file with this text, for as long as the object lives.
class TempFile {
 public:
  explicit TempFile(std::string_view text) {
    static std::atomic<int> number{0};
    path_ = testing::TempDir() + "spillway_test-" + std::to_string(getpid()) + "-" +
            std::to_string(++number);
    Write(text);
  }
  ~TempFile() { unlink(path_.c_str()); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  void Write(std::string_view text) const { std::ofstream(path_) << text; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A kubeconfig of somebody without credentials.
inline std::string KubeconfigFor(const std::string& server) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
         "clusters: [{name: c, cluster: {server: \"" +
         server +
         "\"}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
         "users: [{name: u, user: {}}]\n";
}

}  // namespace spillway::support
