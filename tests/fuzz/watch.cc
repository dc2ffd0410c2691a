// A reflector against a server that answers anything: the parts of an input are the answers, one
// after the other, to whatever is asked. It crashes on none, comes to an end with each, and knows
// the same afterwards whatever the pieces that the bytes came in.
#include <algorithm>
#include <charconv>

#include "kube/reflector.h"
#include "kube/types/pod.h"
#include "tests/fuzz/property.h"
#include "tests/support/fake_clock.h"

namespace spillway::fuzz {
namespace {

constexpr size_t kMostAnswers = 16;
constexpr size_t kWhole = std::string_view::npos;

struct Answer {
  int status = 200;
  std::string_view body;
};

// "410\n…" is an answer with that status; one without a status in front succeeds.
Answer AnswerOf(std::string_view part) {
  constexpr size_t kDigits = 3;
  int status = 0;
  if (part.size() <= kDigits || part[kDigits] != '\n') return {.body = part};
  const auto [end, error] = std::from_chars(part.data(), part.data() + kDigits, status);
  if (error != std::errc() || end != part.data() + kDigits || status < 100) return {.body = part};
  return {.status = status, .body = part.substr(kDigits + 1)};
}

// Gives one answer after the other, bodies of watches in pieces; asked for more, it stops the
// reflector.
class Server final : public kube::Transport {
 public:
  Server(std::vector<std::string_view> parts, size_t piece, support::FakeClock& clock,
         std::stop_source stop)
      : parts_(std::move(parts)), piece_(piece), clock_(clock), stop_(std::move(stop)) {}

  Result<kube::HttpResponse> Send(const kube::HttpRequest& request,
                                  const std::stop_token& /*stop*/) override {
    asked_.push_back(request.target);
    if (next_ == parts_.size()) {
      stop_.request_stop();
      return Error{Code::kCancelled, "stopped"};
    }
    const Answer answer = AnswerOf(parts_[next_++]);
    kube::HttpResponse response;
    response.status = answer.status;
    response.body = std::string(answer.body);
    return response;
  }
  Result<kube::HttpResponse> Stream(const kube::HttpRequest& request, const OnBytes& on_bytes,
                                    const std::stop_token& stop) override {
    auto response = Send(request, stop);
    if (!response || response->status / 100 != 2) return response;
    clock_.Advance(std::chrono::minutes(1));
    const std::string body = std::exchange(response->body, {});
    for (size_t at = 0; at < body.size();) {
      const std::string_view piece = std::string_view(body).substr(at, piece_);
      if (!on_bytes(piece)) break;
      at += piece.size();
    }
    return response;
  }
  [[nodiscard]] const std::vector<std::string>& Asked() const { return asked_; }

 private:
  const std::vector<std::string_view> parts_;
  const size_t piece_;
  support::FakeClock& clock_;
  std::stop_source stop_;
  size_t next_ = 0;
  std::vector<std::string> asked_;
};

// What there is to see of a run from outside.
struct Outcome {
  std::vector<std::string> asked;
  std::vector<std::string> told;  // by the hooks
  std::string version;
  std::vector<kube::Pod> pods;
  bool operator==(const Outcome&) const = default;
};

kube::ReflectorHooks HooksInto(std::vector<std::string>& told) {
  return {
      .listed = [&](std::string_view reason) { told.push_back("listed " + std::string(reason)); },
      .watch_ended =
          [&](std::string_view reason) { told.push_back("ended " + std::string(reason)); },
      .event = [] {},  // as many as there are pieces
      .bad_object = [&](const Error& error) { told.push_back("bad " + error.message); },
      .check_skipped = [&] { told.emplace_back("skipped"); }};
}

Outcome Run(const std::vector<std::string_view>& parts, size_t piece, bool stream_lists) {
  static Log log(LogLevel::kError, false);
  Outcome out;
  support::FakeClock clock;
  std::stop_source stop;
  Server server(parts, piece, clock, stop);
  kube::Client client(server, clock, {.user_agent = "fuzz"});
  kube::Store<kube::Pod> store([] {});
  kube::StoreSink<kube::Pod> sink(
      store, [](kube::JsonValue value, kube::Pod& pod) { return kube::DecodePod(value, "", pod); });
  kube::Reflector(client, clock, log, sink,
                  {.resource = kube::PodResource(),
                   .check_every = std::chrono::seconds(60),
                   .look_beside_watch = false,
                   .stream_lists = stream_lists,
                   .hooks = HooksInto(out.told),
                   .wait = [&](auto delay, const auto&) { clock.Advance(delay); }})
      .Run(stop.get_token());
  out.asked = server.Asked();
  out.version = store.ResourceVersion();
  for (const auto& pod : store.List()) out.pods.push_back(*pod);
  return out;
}

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace spillway;
  const auto parts = fuzz::Parts(fuzz::TextOf(data, size));
  if (parts.size() > fuzz::kMostAnswers) return 0;
  for (const bool stream_lists : {false, true}) {
    const fuzz::Outcome whole = fuzz::Run(parts, fuzz::kWhole, stream_lists);
    for (const size_t piece : {size_t{1}, size / 3 + 2}) {
      fuzz::Require(fuzz::Run(parts, piece, stream_lists) == whole,
                    "a stream says the same in pieces");
    }
  }
  return 0;
}
