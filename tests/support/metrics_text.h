#pragma once

#include <optional>
#include <set>
#include <sstream>
#include <string>

// Reads the Prometheus text format as a test needs it.
namespace spillway::support {

// The value of one series, written as in the text: name{label="value",…} with sorted labels.
inline std::optional<double> MetricValue(const std::string& text, const std::string& series) {
  const size_t at = ("\n" + text).find("\n" + series + " ");
  if (at == std::string::npos) return std::nullopt;
  return std::stod(text.substr(at + series.size() + 1));
}

// All series; of a histogram only its count.
inline std::set<std::string> MetricSeries(const std::string& text) {
  std::set<std::string> found;
  std::set<std::string> histograms;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ") && line.ends_with(" histogram")) {
      histograms.insert(line.substr(7, line.rfind(' ') - 7));
    }
    if (line.empty() || line[0] == '#') continue;
    const std::string series = line.substr(0, line.rfind(' '));
    const std::string name = series.substr(0, series.find('{'));
    const bool part =
        (name.ends_with("_bucket") && histograms.contains(name.substr(0, name.size() - 7))) ||
        (name.ends_with("_sum") && histograms.contains(name.substr(0, name.size() - 4)));
    if (!part) found.insert(series);
  }
  return found;
}

}  // namespace spillway::support
