#include "operator/metrics_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/beast/zlib/inflate_stream.hpp>
#include <boost/crc.hpp>

#include "tests/operator/http_get.h"

namespace spillway {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kText =
    "# HELP passes_total Passes.\n"
    "# TYPE passes_total counter\n"
    "passes_total{result=\"ok\"} 3\n"
    "# HELP up Is it?\n"
    "# TYPE up gauge\n"
    "up 1\n"
    "# HELP took_seconds Time.\n"
    "# TYPE took_seconds histogram\n"
    "took_seconds_count 2\n"
    "took_seconds_sum 1.5\n"
    "took_seconds_bucket{verb=\"get\",le=\"0.5\"} 1\n"
    "took_seconds_bucket{le=\"10\",verb=\"get\"} 2\n"
    "took_seconds_bucket{le=\"+Inf\"} 2\n";

// What a reader of gzip makes of it; "" where it is no whole member with the right sum and length.
std::string Gunzip(const std::string& bytes) {
  namespace zlib = boost::beast::zlib;
  if (bytes.size() < 18 || !bytes.starts_with("\x1f\x8b\x08")) return {};
  std::string out(1 << 22, '\0');
  zlib::inflate_stream inflate;
  zlib::z_params all;
  all.next_in = bytes.data() + 10;
  all.avail_in = bytes.size() - 18;
  all.next_out = out.data();
  all.avail_out = out.size();
  boost::system::error_code ended;
  inflate.write(all, zlib::Flush::finish, ended);
  if (ended != zlib::error::end_of_stream) return {};
  out.resize(all.total_out);
  boost::crc_32_type sum;
  sum.process_bytes(out.data(), out.size());
  const auto number = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 4; i-- > 0;) {
      value = value << 8U | static_cast<unsigned char>(bytes[bytes.size() - at + i]);
    }
    return value;
  };
  return number(8) == sum.checksum() && number(4) == out.size() ? out : "";
}

TEST(MetricsAnswer, AsOpenMetricsNameCountersWithoutTheirEnding) {
  EXPECT_EQ(OpenMetrics(kText),
            "# HELP passes Passes.\n"
            "# TYPE passes counter\n"
            "passes_total{result=\"ok\"} 3\n"
            "# HELP up Is it?\n"
            "# TYPE up gauge\n"
            "up 1\n"
            "# HELP took_seconds Time.\n"
            "# TYPE took_seconds histogram\n"
            "took_seconds_count 2\n"
            "took_seconds_sum 1.5\n"
            "took_seconds_bucket{verb=\"get\",le=\"0.5\"} 1\n"
            "took_seconds_bucket{le=\"10.0\",verb=\"get\"} 2\n"
            "took_seconds_bucket{le=\"+Inf\"} 2\n"
            "# EOF\n");
  EXPECT_EQ(OpenMetrics(""), "# EOF\n");
}

TEST(MetricsAnswer, AreCompressedSoThatTheyCanBeRead) {
  for (const std::string& text :
       {std::string(), std::string("a"), std::string(kText), std::string(1 << 20, 'x')}) {
    EXPECT_EQ(Gunzip(Gzip(text)), text);
  }
  std::string noise;
  uint32_t state = 1;
  for (int i = 0; i < 300'000; ++i) {
    state = state * 1664525U + 1013904223U;
    noise += static_cast<char>(state >> 24U);
  }
  EXPECT_EQ(Gunzip(Gzip(noise)), noise);
  EXPECT_LT(Gzip(std::string(1 << 20, 'x')).size(), 10'000U);
}

TEST(MetricsAnswer, AreWhatTheRequestPrefers) {
  struct Row {
    const char* accept;
    const char* encoding;
    bool open;
    bool gzip;
  };
  for (const Row& row : std::vector<Row>{
           {"", "", false, false},
           {"*/*", "", false, false},
           {"text/html", "br", false, false},
           {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,"
            "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            "gzip", true, true},
           {"application/openmetrics-text", "gzip, deflate, br", true, true},
           {"text/plain, application/openmetrics-text; q=0.9", "identity", false, false},
           {"application/openmetrics-text;q=0", "gzip;q=0", false, false},
           {"application/openmetrics-text;q=nonsense", "deflate,gzip; q=0.1", false, true}}) {
    ServedRequest request;
    request.accept = row.accept;
    request.accept_encoding = row.encoding;
    const HttpAnswer answer = MetricsAnswer(kText, request);
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.content_type, StartsWith(row.open ? "application/openmetrics-text; "
                                                           "version=1.0.0"
                                                         : "text/plain; version=0.0.4"))
        << row.accept;
    EXPECT_EQ(answer.content_encoding, row.gzip ? "gzip" : "") << row.encoding;
    EXPECT_EQ(row.gzip ? Gunzip(answer.body) : answer.body, row.open ? OpenMetrics(kText) : kText)
        << row.accept;
  }
}

TEST(MetricsAnswer, AreServedAsTheHeadersAsk) {
  auto server = HttpServer::Start(
      "127.0.0.1:0",
      {{"/metrics", [](const ServedRequest& request) { return MetricsAnswer(kText, request); }}});
  ASSERT_TRUE(server.ok());
  const auto asked = [&](const std::string& headers) {
    return Exchange((*server)->Address(),
                    "GET /metrics HTTP/1.1\r\nHost: x\r\n" + headers + "Connection: close\r\n\r\n");
  };
  EXPECT_THAT(asked(""), Not(HasSubstr("Content-Encoding")));
  EXPECT_THAT(asked("Accept: application/openmetrics-text\r\n"),
              testing::AllOf(HasSubstr("Content-Type: application/openmetrics-text"),
                             HasSubstr("# EOF\n")));
  const std::string compressed = asked("Accept-Encoding: gzip\r\n");
  EXPECT_THAT(compressed, HasSubstr("Content-Encoding: gzip\r\n"));
  EXPECT_EQ(Gunzip(compressed.substr(compressed.find("\r\n\r\n") + 4)), kText);
}

}  // namespace
}  // namespace spillway
