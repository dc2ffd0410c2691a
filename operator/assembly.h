#pragma once

#include <memory>
#include <stop_token>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "kube/transport.h"
#include "operator/options.h"

namespace spillway {

// The whole operator: builds every part in order of dependence and takes them down in reverse.
class Assembly {
 public:
  // Two of them, so that renewals of the Lease wait behind nobody.
  struct Transports {
    std::unique_ptr<kube::Transport> all;
    std::unique_ptr<kube::Transport> lease;
  };
  static Result<std::unique_ptr<Assembly>> Make(const Options& options, Log& log);
  // Over these in place of what the options say of the API server and how to speak with it.
  static Result<std::unique_ptr<Assembly>> Make(const Options& options, Log& log,
                                                Transports transports);
  ~Assembly();
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  void Start();
  // Any thread: the snapshot of the next pass is written to the snapshot directory.
  void RequestSnapshot();
  // Blocks until the lease is lost (an error: the process must end at once) or `stop`.
  Status WaitUntilLost(const std::stop_token& stop);
  // Every metric that the process has, whatever it has seen so far.
  [[nodiscard]] std::vector<MetricFamily> MetricFamilies() const;
  // Stops deciding, lets writes that are under way finish for 2 s, and gives the lease back. Where
  // one was cut off, or has had no answer within the last lease_duration, it may still reach the
  // API server: then the lease is kept until it runs out. Events change nothing of what others
  // write.
  void Stop();

 private:
  struct Parts;
  explicit Assembly(std::unique_ptr<Parts> parts);
  static Result<std::unique_ptr<Assembly>> Serve(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace spillway
