#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "kube/config.h"
#include "kube/transport.h"

namespace spillway::kube {

enum class TransportKind { kCpprest, kCurl };

// By the names that --transport takes.
const std::map<std::string, TransportKind>& TransportKinds();

std::string NameOf(TransportKind kind);

// A transport of that kind; kInvalid as with MakeCpprestTransport and MakeCurlTransport. Call it
// before the first thread: cpprestsdk changes the environment.
Result<std::unique_ptr<Transport>> MakeTransport(TransportKind kind, const ClusterConfig& config);

}  // namespace spillway::kube
