#pragma once

#include <memory>

#include "base/result.h"
#include "kube/config.h"
#include "kube/transport.h"

namespace spillway::kube {

// The transport over libcurl, which knows no thread but its callers': each call runs on the thread
// that makes it, over a connection that no other call uses meanwhile. Trusts config.ca alone,
// speaks TLS 1.2 or newer and HTTP/1.1, asks no proxy, sends the client certificate and the bearer
// token if there are any and reads them again when they rotate. Keepalive finds a dead peer after
// 45 s. kInvalid: an address or credentials that cannot be used.
//
// The destructor ends every call still running (they return kCancelled) and waits up to 5 s until
// they have returned.
Result<std::unique_ptr<Transport>> MakeCurlTransport(const ClusterConfig& config);

}  // namespace spillway::kube
