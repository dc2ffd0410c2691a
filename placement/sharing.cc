#include "placement/sharing.h"

#include <utility>

namespace spillway::placement {

// Names of nodes are among their labels, so that these have only texts in common; the name itself
// is nobody else's.
void Sharing::Share(Node& node) {
  Labels::Entries labels;
  labels.reserve(node.labels.size());
  for (const auto& [key, text] : node.labels)
    labels.emplace_back(TextOf(key.str()), text == node.id.name ? text : TextOf(text.str()));
  node.labels = Labels(std::move(labels));
  node.conditions = *conditions_.insert(node.conditions).first;
  Share(node.allocatable);
  Share(node.used);
}

void Sharing::Share(TrainingPool& pool) {
  Share(pool.requests);
  for (Worker& worker : pool.workers) Share(worker.requests);
}

void Sharing::Share(InferencePool& pool) {
  for (Variant& variant : pool.variants) Share(variant.requests);
  for (Replica& replica : pool.live) Share(replica.requests);
}

Text Sharing::TextOf(std::string_view text) {
  const auto at = texts_.find(text);
  return at != texts_.end() ? *at : *texts_.emplace(text).first;
}

void Sharing::Share(Resources& amounts) { amounts = *amounts_.insert(amounts).first; }

}  // namespace spillway::placement
