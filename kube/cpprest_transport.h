#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "kube/config.h"
#include "kube/transport.h"

namespace spillway::kube {

// The transport over cpprestsdk. InitCpprest must have run first in the process (it fixes the
// library's thread pool at one thread, which is what makes cancelling sound).
void InitCpprest(const ClusterConfig& config);
Result<std::unique_ptr<Transport>> MakeCpprestTransport(const ClusterConfig& config);

}  // namespace spillway::kube
