#pragma once

#include <string>

namespace spillway::kube {

// What is wrong with a certificate authority, in words that a sentence ends with; empty: nothing.
std::string FaultOfAuthority(const std::string& ca);

// What is wrong with a client's certificate and the key that it comes with; empty: nothing. A key
// with a passphrase is of no use: nobody is there to be asked for it.
std::string FaultOfPair(const std::string& certificate, const std::string& key);

}  // namespace spillway::kube
