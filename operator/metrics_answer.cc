#include "operator/metrics_answer.h"

#include <algorithm>
#include <boost/beast/zlib/deflate_stream.hpp>
#include <boost/crc.hpp>
#include <charconv>
#include <cstdint>

namespace spillway {
namespace {

constexpr std::string_view kTotal = "_total";
constexpr std::string_view kBound = "le=\"";

// Up to the next `end`, which is taken away with it.
std::string_view Take(std::string_view& text, char end) {
  const std::string_view part = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

std::string_view Trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

// How much a header such as "gzip, text/plain;version=1;q=0.5" wants `name`, from 0 to 1; -1: it
// does not speak of it.
double Wish(std::string_view header, std::string_view name) {
  double wish = -1;
  while (!header.empty()) {
    std::string_view item = Take(header, ',');
    if (Trim(Take(item, ';')) != name) continue;
    double weight = 1;
    while (!item.empty()) {
      const std::string_view parameter = Trim(Take(item, ';'));
      if (!parameter.starts_with("q=")) continue;
      const auto read =
          std::from_chars(parameter.data() + 2, parameter.data() + parameter.size(), weight);
      if (read.ec != std::errc()) weight = 0;
    }
    wish = std::max(wish, weight);
  }
  return wish;
}

void AppendLittleEndian(uint32_t number, std::string& out) {
  for (int i = 0; i < 4; ++i, number >>= 8U) out += static_cast<char>(number & 0xFFU);
}

// A line about a family: counters are named without what their samples end in.
void AppendComment(std::string_view line, std::string& out) {
  const size_t name = line.find(' ', 2) + 1;
  const size_t end = std::min(line.find(' ', name), line.size());
  const bool total = line.substr(name, end - name).ends_with(kTotal);
  out.append(line.substr(0, total ? end - kTotal.size() : end)).append(line.substr(end));
}

// A sample: the bound of a bucket is written as a number that is not whole.
void AppendSample(std::string_view line, std::string& out) {
  const size_t begin = line.find(kBound);
  if (begin == std::string_view::npos) {
    out.append(line);
    return;
  }
  const size_t end = line.find('"', begin + kBound.size());
  const std::string_view bound = line.substr(begin + kBound.size(), end - begin - kBound.size());
  const bool whole = bound.find_first_not_of("0123456789") == std::string_view::npos;
  out.append(line.substr(0, end)).append(whole ? ".0" : "").append(line.substr(end));
}

}  // namespace

std::string OpenMetrics(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  while (!text.empty()) {
    const std::string_view line = Take(text, '\n');
    line.starts_with("# ") ? AppendComment(line, out) : AppendSample(line, out);
    out += '\n';
  }
  return out + "# EOF\n";
}

std::string Gzip(std::string_view text) {
  namespace zlib = boost::beast::zlib;
  std::string out("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  const size_t head = out.size();
  zlib::deflate_stream deflate;
  out.resize(head + deflate.upper_bound(text.size()));
  zlib::z_params all;
  all.next_in = text.data();
  all.avail_in = text.size();
  all.next_out = out.data() + head;
  all.avail_out = out.size() - head;
  boost::system::error_code ended;  // always by the end of the stream: there is room for all
  deflate.write(all, zlib::Flush::finish, ended);
  out.resize(head + all.total_out);
  boost::crc_32_type sum;
  sum.process_bytes(text.data(), text.size());
  AppendLittleEndian(sum.checksum(), out);
  AppendLittleEndian(static_cast<uint32_t>(text.size()), out);
  return out;
}

HttpAnswer MetricsAnswer(std::string text, const ServedRequest& request) {
  HttpAnswer answer{200, "text/plain; version=0.0.4; charset=utf-8", {}};
  const double open = Wish(request.accept, "application/openmetrics-text");
  if (open > 0 && open >= Wish(request.accept, "text/plain")) {
    answer.content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    text = OpenMetrics(text);
  }
  if (Wish(request.accept_encoding, "gzip") > 0) {
    answer.content_encoding = "gzip";
    text = Gzip(text);
  }
  answer.body = std::move(text);
  return answer;
}

}  // namespace spillway
