#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "placement/plan_text.h"

// Commands about snapshot files: what would be, if. No cluster is asked. Each gives the exit code:
// 0 nothing differs, 2 something does, 1 it could not be found out.
namespace spillway::cli {

// Absent: text, for people.
using Form = std::optional<placement::Form>;

// "-" is standard input.
Result<placement::Snapshot> SnapshotFromFile(const std::string& path);

// A flag of simulate that changes one thing.
struct EditFlag {
  std::string flag;
  std::string takes;
  std::string help;
};
const std::vector<EditFlag>& EditFlags();

struct Edit {
  std::string flag;  // one of EditFlags()
  std::string value;
};

// How the plan differs with the edits made, one after the other.
int Simulate(const std::string& path, const std::vector<Edit>& edits, Form form);

// What becomes of the gangs of a trace, after the edits: 0, or 1.
struct PlayFlags {
  std::string trace;  // "-" is standard input
  int startup_seconds = 60;
  int stop_seconds = 30;
  std::optional<int> release_after_seconds;
};
int PlayTrace(const std::string& path, const std::vector<Edit>& edits, const PlayFlags& flags,
              Form form);

// How the plans of two snapshots differ.
int DiffPlans(const std::string& before, const std::string& after, Form form);

// Whether all holds that must hold of the snapshot's plan: 0 or 1.
int VerifyFile(const std::string& path, Form form);

}  // namespace spillway::cli
