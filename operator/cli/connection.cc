#include "operator/cli/connection.h"

#include <cstdlib>
#include <optional>

#include "kube/config.h"
#include "kube/transports.h"

namespace spillway::cli {
namespace {

std::optional<std::string> Environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

kube::Client::Options ClientOptions() {
  kube::Client::Options options;
  options.user_agent = kube::UserAgent("spillway-cli", SPILLWAY_VERSION);
  return options;
}

}  // namespace

const kube::Resource& ConfigMapResource() {
  static const kube::Resource kResource{"", "v1", "configmaps", "ConfigMap", true};
  return kResource;
}

Connection::Connection(std::unique_ptr<kube::Transport> transport)
    : transport_(std::move(transport)), client_(*transport_, clock_, ClientOptions()) {}

Result<std::unique_ptr<Connection>> Connection::Open(const Where& where) {
  kube::ConfigOptions options;
  options.kubeconfig = where.kubeconfig;
  options.overrides = where.overrides;
  options.impersonate = where.as;
  options.env = Environment;
  auto config = kube::LoadConfig(options);
  if (!config) return std::move(config).error().While("finding the API server");
  auto transport = kube::MakeTransport(kube::TransportKinds().at(where.transport), *config);
  if (!transport) return std::move(transport).error();
  if (Status in = (*transport)->LogIn({}); !in) return std::move(in).error();
  return std::unique_ptr<Connection>(new Connection(*std::move(transport)));
}

}  // namespace spillway::cli
