#include "placement/snapshot.h"
#include "placement/text_emit.h"

namespace spillway::placement {
namespace {

template <class T>
void EmitSection(text::Output& out, std::string_view name, const std::vector<T>& values) {
  out.text += name;
  out.text += ":\n";
  for (const T& value : values) {
    out.text += "  - ";
    Emit(out, value);
    out.text += '\n';
  }
}

}  // namespace

std::string WriteSnapshot(const Snapshot& snapshot) {
  text::Output out{.form = Form::kYaml, .sparse = true};
  out.text = "now: " + FormatTime(snapshot.now) + "\ncurrency: ";
  Emit(out, snapshot.currency);
  out.text += "\nrenderRevision: ";
  Emit(out, snapshot.render_revision);
  out.text += '\n';
  if (!snapshot.clusters.empty()) EmitSection(out, "clusters", snapshot.clusters);
  EmitSection(out, "groups", snapshot.groups);
  EmitSection(out, "nodes", snapshot.nodes);
  EmitSection(out, "pools", snapshot.pools);
  EmitSection(out, "inferencePools", snapshot.inference_pools);
  EmitSection(out, "quotas", snapshot.quotas);
  EmitSection(out, "defaultLimits", snapshot.default_limits);
  return out.text;
}

}  // namespace spillway::placement
