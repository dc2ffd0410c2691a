#include "tests/support/system_authorities.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdio>
#include <string_view>

#include "tests/support/temp_file.h"

namespace spillway::support {
namespace {

std::atomic<const TempFile*> instead = nullptr;

// The bundle, and the first file that is looked for by the hash of a name.
bool IsTheSystems(std::string_view path) {
  const bool there = path.starts_with("/etc/ssl/certs/") || path.starts_with("/usr/lib/ssl/certs/");
  return path == "/usr/lib/ssl/cert.pem" ||
         (there && (path.ends_with(".0") || path.ends_with("/ca-certificates.crt")));
}

std::string Real(const char* path) {
  const TempFile* const file = instead;
  return file != nullptr && IsTheSystems(path) ? file->path() : path;
}

template <class Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

SystemAuthorities::SystemAuthorities(const std::string& pem) { instead = new TempFile(pem); }
SystemAuthorities::~SystemAuthorities() { delete instead.exchange(nullptr); }

}  // namespace spillway::support

// What OpenSSL and libcurl read certificates with.
extern "C" {
int stat(const char* path, struct stat* out) noexcept {
  static const auto kNext = spillway::support::Next<int(const char*, struct stat*)>("stat");
  return kNext(spillway::support::Real(path).c_str(), out);
}
FILE* fopen(const char* path, const char* mode) {
  static const auto kNext = spillway::support::Next<FILE*(const char*, const char*)>("fopen");
  return kNext(spillway::support::Real(path).c_str(), mode);
}
FILE* fopen64(const char* path, const char* mode) {
  static const auto kNext = spillway::support::Next<FILE*(const char*, const char*)>("fopen64");
  return kNext(spillway::support::Real(path).c_str(), mode);
}
}
