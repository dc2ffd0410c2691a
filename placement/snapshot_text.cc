// Reads a snapshot's text form. The only file of this folder that includes yaml-cpp; its exceptions
// end here.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <utility>

#include "placement/play.h"
#include "placement/sharing.h"
#include "placement/snapshot.h"
#include "placement/snapshot_fields.h"

namespace spillway::placement {
namespace text {

template <class A>
void Fields(A& a, Of<Arrival> /*type*/) {
  a("atSeconds", &Arrival::at);
  a("runsForSeconds", &Arrival::runs_for);
  a("pool", &Arrival::pool);
}

}  // namespace text

namespace {

using text::Fields;
using text::Of;

// Where the reader is; remembers the first thing that is wrong.
class Place {
 public:
  Place(int line, std::string section) : line_(line), section_(std::move(section)) {}

  void Fail(const std::string& path, const std::string& problem) {
    if (error_) return;
    const std::string field = path.empty() ? "" : fmt::format(" field {}:", path);
    error_ =
        Error{Code::kInvalid, fmt::format("line {}: {}:{} {}", line_, section_, field, problem)};
  }

  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  int line_;
  std::string section_;
  std::optional<Error> error_;
};

std::string Joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

// The text of a scalar, or nullopt after saying what was wanted.
std::optional<std::string> Scalar(Place& place, const YAML::Node& node, const std::string& path,
                                  std::string_view wanted) {
  if (node.IsScalar()) return node.Scalar();
  place.Fail(path, fmt::format("must be {}", wanted));
  return std::nullopt;
}

void Read(Place& place, const YAML::Node& node, const std::string& path, std::string& value) {
  if (auto text = Scalar(place, node, path, "a text")) value = std::move(*text);
}

void Read(Place& place, const YAML::Node& node, const std::string& path, bool& value) {
  const auto text = Scalar(place, node, path, "true or false");
  if (!text) return;
  if (*text != "true" && *text != "false") {
    return place.Fail(path, fmt::format("\"{}\" is neither true nor false", *text));
  }
  value = *text == "true";
}

template <class I>
void ReadNumber(Place& place, const YAML::Node& node, const std::string& path, I& value) {
  const auto text = Scalar(place, node, path, "a whole number");
  if (!text) return;
  const char* last = text->data() + text->size();
  const auto [end, error] = std::from_chars(text->data(), last, value);
  if (error == std::errc() && end == last) return;
  place.Fail(path, fmt::format("\"{}\" is no whole number from {} to {}", *text,
                               std::numeric_limits<I>::min(), std::numeric_limits<I>::max()));
}

void Read(Place& place, const YAML::Node& node, const std::string& path, int& value) {
  ReadNumber(place, node, path, value);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, int64_t& value) {
  ReadNumber(place, node, path, value);
}

void Read(Place& place, const YAML::Node& node, const std::string& path, Seconds& value) {
  int32_t seconds = 0;
  ReadNumber(place, node, path, seconds);
  value = Seconds(seconds);
}

// Reads a scalar by a parser that gives a Result.
template <class T, class Parse>
void ReadParsed(Place& place, const YAML::Node& node, const std::string& path, T& value,
                std::string_view wanted, Parse parse) {
  const auto text = Scalar(place, node, path, wanted);
  if (!text) return;
  if (const auto parsed = parse(*text)) {
    value = *parsed;
  } else {
    place.Fail(path, parsed.error().message);
  }
}

void Read(Place& place, const YAML::Node& node, const std::string& path, Time& value) {
  ReadParsed(place, node, path, value, "an RFC 3339 time", ParseTime);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, PoolKey& value) {
  const auto text = Scalar(place, node, path, "a pool as NAMESPACE/NAME");
  if (!text) return;
  const size_t slash = text->find('/');
  if (slash == std::string::npos) {
    return place.Fail(path, fmt::format("\"{}\" is not NAMESPACE/NAME", *text));
  }
  value = {.ns = text->substr(0, slash), .name = text->substr(slash + 1)};
}
void Read(Place& place, const YAML::Node& node, const std::string& path, ReplicaKey& value) {
  const auto text = Scalar(place, node, path, "a replica as NAMESPACE/NAME/POD");
  if (!text) return;
  if (auto key = ReplicaKeyFrom(*text)) {
    value = std::move(*key);
  } else {
    place.Fail(path, fmt::format("\"{}\" is not NAMESPACE/NAME/POD", *text));
  }
}
void Read(Place& place, const YAML::Node& node, const std::string& path, Money& value) {
  ReadParsed(place, node, path, value, "an amount of money", Money::Parse);
}

// Reads one word of a closed list; `last` is its last value, the first one is 0.
template <class E>
void ReadWord(Place& place, const YAML::Node& node, const std::string& path, E& value, E last) {
  std::vector<std::string> words;
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    // NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange): never beyond `last`
    words.emplace_back(Name(static_cast<E>(i)));
  }
  const auto text = Scalar(place, node, path, "one of " + Joined(words));
  if (!text) return;
  const auto at = std::find(words.begin(), words.end(), *text);
  if (at == words.end()) {
    return place.Fail(path, fmt::format("\"{}\" is unknown; allowed: {}", *text, Joined(words)));
  }
  value = static_cast<E>(at - words.begin());
}

void Read(Place& place, const YAML::Node& node, const std::string& path, Provider& value) {
  ReadWord(place, node, path, value, Provider::kOther);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, Admission& value) {
  ReadWord(place, node, path, value, Admission::kDrain);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, CapacityType& value) {
  ReadWord(place, node, path, value, CapacityType::kSpot);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, Preference& value) {
  ReadWord(place, node, path, value, Preference::kPrice);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, TopologyMode& value) {
  ReadWord(place, node, path, value, TopologyMode::kIgnore);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, OnUnreachable& value) {
  ReadWord(place, node, path, value, OnUnreachable::kWait);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, Preempts& value) {
  ReadWord(place, node, path, value, Preempts::kNever);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, Preemptible& value) {
  ReadWord(place, node, path, value, Preemptible::kNever);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, ReturnHome& value) {
  ReadWord(place, node, path, value, ReturnHome::kNever);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, Routing& value) {
  ReadWord(place, node, path, value, Routing::kWeighted);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, BudgetPeriod& value) {
  ReadWord(place, node, path, value, BudgetPeriod::kMonth);
}
void Read(Place& place, const YAML::Node& node, const std::string& path, AtLimit& value) {
  ReadWord(place, node, path, value, AtLimit::kDrainAtCheckpoint);
}

// The entries of a mapping; a key that stands twice is an error.
std::vector<std::pair<std::string, YAML::Node>> Entries(Place& place, const YAML::Node& node,
                                                        const std::string& path) {
  std::vector<std::pair<std::string, YAML::Node>> entries;
  if (!node.IsMap()) {
    place.Fail(path, "must be a mapping {…}");
    return entries;
  }
  std::set<std::string> seen;
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) {
      place.Fail(path, "has a key that is no text");
      continue;
    }
    const std::string& key = entry.first.Scalar();
    if (!seen.insert(key).second) place.Fail(path, fmt::format("has {} twice", key));
    entries.emplace_back(key, entry.second);
  }
  return entries;
}

std::string Sub(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

void Read(Place& place, const YAML::Node& node, const std::string& path, Resources& value) {
  value = Resources();
  for (const auto& [name, amount] : Entries(place, node, path)) {
    int64_t parsed = 0;
    ReadParsed(place, amount, Sub(path, name), parsed, "a quantity",
               [&name = name](std::string_view text) { return ParseResource(name, text); });
    value.Set(name, parsed);
  }
}

void Read(Place& place, const YAML::Node& node, const std::string& path, Labels& value) {
  value = Labels();
  for (const auto& [key, text] : Entries(place, node, path)) {
    std::string read;
    Read(place, text, Sub(path, key), read);
    value[key] = std::move(read);
  }
}

template <class T>
void Read(Place& place, const YAML::Node& node, const std::string& path, std::optional<T>& value);
template <class T>
void Read(Place& place, const YAML::Node& node, const std::string& path, SharedOptional<T>& value);
template <class T>
void Read(Place& place, const YAML::Node& node, const std::string& path, std::vector<T>& value);
template <class T>
  requires std::is_class_v<T>
void Read(Place& place, const YAML::Node& node, const std::string& path, T& value);

template <class T>
void Read(Place& place, const YAML::Node& node, const std::string& path, std::optional<T>& value) {
  Read(place, node, path, value.emplace());
}

template <class T>
void Read(Place& place, const YAML::Node& node, const std::string& path, SharedOptional<T>& value) {
  Read(place, node, path, value.emplace());
}

template <class T>
void Read(Place& place, const YAML::Node& node, const std::string& path, std::vector<T>& value) {
  value.clear();
  if (!node.IsSequence()) return place.Fail(path, "must be a list […]");
  value.reserve(node.size());
  for (size_t i = 0; i < node.size(); ++i) {
    Read(place, node[i], fmt::format("{}[{}]", path, i), value.emplace_back());
  }
}

void Read(Place& place, const YAML::Node& node, const std::string& path, std::set<int>& value) {
  std::vector<int> numbers;
  Read(place, node, path, numbers);
  value = std::set<int>(numbers.begin(), numbers.end());
}

// An archive that fills a value from a mapping and refuses what it does not know.
template <class T>
class Reader {
 public:
  Reader(Place& place, const YAML::Node& node, std::string path, T& value)
      : place_(place),
        path_(std::move(path)),
        value_(value),
        entries_(Entries(place, node, path_)) {}

  template <class M>
  void operator()(const std::string& name, M T::* member) {
    if (const YAML::Node* node = Take(name)) Read(place_, *node, Sub(path_, name), value_.*member);
  }

  template <class P, class M>
  void operator()(const std::string& name, P T::* part, M P::* member) {
    if (const YAML::Node* node = Take(name)) {
      Read(place_, *node, Sub(path_, name), value_.*part.*member);
    }
  }

  void Words(const std::string& name, bool T::* member, const std::string& yes,
             const std::string& no) {
    const YAML::Node* node = Take(name);
    if (node == nullptr) return;
    const std::string wanted = Joined({yes, no});
    const auto text = Scalar(place_, *node, Sub(path_, name), "one of " + wanted);
    if (!text) return;
    if (*text != yes && *text != no) {
      place_.Fail(Sub(path_, name), fmt::format("\"{}\" is unknown; allowed: {}", *text, wanted));
    }
    value_.*member = *text == yes;
  }

  template <class F>
  void Group(const std::string& name, F fields) {
    const YAML::Node* node = Take(name);
    if (node == nullptr) return;
    Reader group(place_, *node, Sub(path_, name), value_);
    fields(group);
    group.Finish();
  }

  void Finish() {
    for (const auto& [key, node] : entries_) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      place_.Fail(Sub(path_, key), fmt::format("is unknown; allowed: {}", Joined(known_)));
    }
  }

 private:
  const YAML::Node* Take(const std::string& name) {
    known_.push_back(name);
    const auto at = std::find_if(entries_.begin(), entries_.end(),
                                 [&](const auto& entry) { return entry.first == name; });
    return at == entries_.end() ? nullptr : &at->second;
  }

  Place& place_;
  std::string path_;
  T& value_;
  std::vector<std::pair<std::string, YAML::Node>> entries_;
  std::vector<std::string> known_;
};

template <class T>
  requires std::is_class_v<T>
void Read(Place& place, const YAML::Node& node, const std::string& path, T& value) {
  Reader<T> reader(place, node, path, value);
  Fields(reader, Of<T>{});
  reader.Finish();
}

// What must be there and be unique within a section.
std::string Identity(const Cluster& cluster) { return cluster.name; }
std::string Identity(const NodeGroup& group) { return group.name; }
std::string Identity(const Node& node) {
  return node.id.name.empty() ? "" : fmt::format("{}/{}", node.id.cluster, node.id.name);
}
std::string Identity(const TrainingPool& pool) {
  return pool.key.name.empty() ? "" : pool.key.Format();
}
std::string Identity(const InferencePool& pool) {
  return pool.key.name.empty() ? "" : pool.key.Format();
}
std::string Identity(const Arrival& arrival) { return Identity(arrival.pool); }
std::string Identity(const Quota& quota) { return quota.ns; }
std::string Identity(const QuotaLimit& limit) { return limit.type; }
std::string_view IdentityField(const Quota& /*quota*/) { return "namespace"; }
std::string_view IdentityField(const QuotaLimit& /*limit*/) { return "type"; }
std::string_view IdentityField(const Arrival& /*arrival*/) { return "pool.name"; }
template <class T>
std::string_view IdentityField(const T& /*value*/) {
  return "name";
}

// What can't be, though each of its fields is well-formed.
void Judge(Place& place, const Arrival& arrival) {
  if (arrival.at < Seconds{0}) place.Fail("atSeconds", "must be at least 0");
  if (arrival.runs_for < Seconds{1}) place.Fail("runsForSeconds", "must be at least 1");
  const TrainingPool& pool = arrival.pool;
  if (pool.memory != PoolMemory()) place.Fail("pool.status", "is not allowed: the pool is new");
  if (pool.attempt != AttemptFacts()) place.Fail("pool.attempt", "is not allowed: the pool is new");
  if (!pool.workers.empty()) place.Fail("pool.workers", "is not allowed: the pool is new");
}
void Judge(Place& place, const InferencePool& pool) {
  if (!pool.demand) return;
  if (pool.demand->as_of == Time()) place.Fail("demand.asOf", "is missing");
  if (pool.demand->silent_after < Seconds{1}) {
    place.Fail("demand.silentAfterSeconds", "must be at least 1");
  }
}
template <class T>
void Judge(Place& /*place*/, const T& /*value*/) {}

// What there are many of: the memory that they need is worth some care.
template <class T>
concept Many = requires(Sharing& sharing, T& value) { sharing.Share(value); };

// Reads the document line by line: memory and time stay in proportion to one line.
class Document {
 public:
  Result<Snapshot> Read(std::string_view text) {
    if (const auto error = ReadLines(text)) return *error;
    if (!seen_.contains("now")) {
      return Error{Code::kInvalid,
                   "the field now is missing: a snapshot says of which moment it is"};
    }
    return std::move(snapshot_);
  }

  Result<Snapshot> ReadPools(std::string_view text) {
    lists_ = {"pools", "inferencePools"};
    if (const auto error = ReadLines(text)) return *error;
    if (snapshot_.pools.empty() && snapshot_.inference_pools.empty()) {
      return Error{Code::kInvalid, "has no pool: one a line below pools: or inferencePools:"};
    }
    return std::move(snapshot_);
  }

  Result<std::vector<Arrival>> ReadArrivals(std::string_view text) {
    lists_ = {"arrivals"};
    if (const auto error = ReadLines(text)) return *error;
    if (arrivals_.empty()) {
      return Error{Code::kInvalid, "has no arrival: one a line below arrivals:"};
    }
    return std::move(arrivals_);
  }

 private:
  using Problem = std::optional<Error>;

  Problem ReadLines(std::string_view text) {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      std::string_view line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      ++line_;
      if (auto error = ReadLine(line)) return error;
    }
    return {};
  }

  Problem ReadLine(std::string_view line) {
    const size_t start = line.find_first_not_of(' ');
    if (start == std::string_view::npos || line[start] == '#' || line == "---") return {};
    if (start == 0 && line.substr(0, 2) != "- ") return ReadTop(line);
    if (line.substr(start, 2) != "- " || section_.empty()) {
      return Wrong("must be \"field: value\", or \"  - {…}\" below a list's name");
    }
    return ReadItem(std::string(line.substr(start + 2)));
  }

  // "field: value" or "list:".
  Problem ReadTop(std::string_view line) {
    section_.clear();
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return Wrong("must be \"field: value\"");
    const std::string name(line.substr(0, colon));
    if (!seen_.insert(name).second) return Wrong(fmt::format("{} stands here a second time", name));
    if (!lists_.empty() && std::find(lists_.begin(), lists_.end(), name) == lists_.end()) {
      return Wrong(fmt::format("field {} is not allowed here; allowed: {}", name, Joined(lists_)));
    }
    if (IsScalarField(name)) return ReadScalar(name, std::string(line.substr(colon + 1)));
    if (lists_.empty() && !IsList(name)) {
      return Wrong(
          fmt::format("field {} is unknown; allowed: now, currency, renderRevision, "
                      "clusters, groups, nodes, pools, inferencePools, quotas, defaultLimits",
                      name));
    }
    const std::string_view rest = line.substr(colon + 1);
    const size_t first = rest.find_first_not_of(' ');
    if (first != std::string_view::npos && rest[first] != '#' && rest.substr(first) != "[]") {
      return Wrong(fmt::format("{} is a list: one \"  - {{…}}\" a line below it", name));
    }
    section_ = name;
    identities_.clear();
    return {};
  }

  static bool IsScalarField(const std::string& name) {
    return name == "now" || name == "currency" || name == "renderRevision";
  }
  static bool IsList(const std::string& name) {
    return name == "clusters" || name == "groups" || name == "nodes" || name == "pools" ||
           name == "inferencePools" || name == "quotas" || name == "defaultLimits";
  }

  Problem ReadScalar(const std::string& name, const std::string& text) {
    return Parsed(name, text, [&](Place& place, const YAML::Node& node) {
      if (name == "now") {
        placement::Read(place, node, "", snapshot_.now);
      } else {
        placement::Read(place, node, "",
                        name == "currency" ? snapshot_.currency : snapshot_.render_revision);
      }
    });
  }

  Problem ReadItem(const std::string& text) {
    if (section_ == "clusters") return ReadInto(text, snapshot_.clusters);
    if (section_ == "groups") return ReadInto(text, snapshot_.groups);
    if (section_ == "nodes") return ReadInto(text, snapshot_.nodes);
    if (section_ == "pools") return ReadInto(text, snapshot_.pools);
    if (section_ == "inferencePools") return ReadInto(text, snapshot_.inference_pools);
    if (section_ == "arrivals") return ReadInto(text, arrivals_);
    if (section_ == "quotas") return ReadInto(text, snapshot_.quotas);
    return ReadInto(text, snapshot_.default_limits);
  }

  template <class T>
  Problem ReadInto(const std::string& text, std::vector<T>& values) {
    T& value = values.emplace_back();
    return Parsed(section_, text, [&](Place& place, const YAML::Node& node) {
      placement::Read(place, node, "", value);
      const std::string identity = Identity(value);
      const std::string field(IdentityField(value));
      if (identity.empty()) place.Fail(field, "is missing");
      if (!identities_.insert(identity).second) {
        place.Fail(field, fmt::format("\"{}\" stands here a second time", identity));
      }
      Judge(place, value);
      if constexpr (Many<T>) sharing_.Share(value);
    });
  }

  // Hands the line's YAML to `read`; what goes wrong comes back with the line.
  template <class F>
  Problem Parsed(const std::string& section, const std::string& text, F read) {
    Place place(line_, section);
    try {
      read(place, YAML::Load(text));
    } catch (const YAML::Exception& e) {
      place.Fail("", fmt::format("is no YAML: {}", e.msg));
    }
    return place.error();
  }

  [[nodiscard]] Error Wrong(const std::string& problem) const {
    return Error{Code::kInvalid, fmt::format("line {}: {}", line_, problem)};
  }

  Snapshot snapshot_;
  Sharing sharing_;
  std::set<std::string> seen_;
  std::string section_;
  std::set<std::string> identities_;
  int line_ = 0;
  std::vector<std::string> lists_;  // the only ones allowed; empty: all of a snapshot
  std::vector<Arrival> arrivals_;
};

}  // namespace

Result<Snapshot> ReadSnapshot(std::string_view text) { return Document().Read(text); }
Result<Snapshot> ReadPools(std::string_view text) { return Document().ReadPools(text); }
Result<std::vector<Arrival>> ReadArrivals(std::string_view text) {
  return Document().ReadArrivals(text);
}

}  // namespace spillway::placement
