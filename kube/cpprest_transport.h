#pragma once

#include <memory>

#include "base/result.h"
#include "kube/config.h"
#include "kube/transport.h"

namespace spillway::kube {

// Fixes the library's thread pool at one thread, which is what makes cancelling sound, and keeps it
// from parsing the system's certificate bundle for every connection. Changes the environment: call
// it in main, before the first thread. Once per process; further calls do nothing.
void InitCpprest();

// The transport over cpprestsdk. Trusts config.ca alone, speaks TLS 1.2 or newer, sends the client
// certificate and the bearer token if there are any and reads them again when they rotate.
// Keepalive finds a dead peer after 45 s. kInvalid: an address (an IPv6 one among them) or
// credentials that cannot be used.
//
// The destructor ends every call still running (they return kCancelled) and waits up to 5 s until
// the library has let go of them.
Result<std::unique_ptr<Transport>> MakeCpprestTransport(const ClusterConfig& config);

}  // namespace spillway::kube
