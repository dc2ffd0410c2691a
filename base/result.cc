#include "base/result.h"

namespace spillway {

const char* CodeName(Code code) {
  switch (code) {
    case Code::kConflict:
      return "conflict";
    case Code::kExists:
      return "exists";
    case Code::kNotFound:
      return "not found";
    case Code::kGone:
      return "gone";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kUnknown:
      return "unknown outcome";
    case Code::kCancelled:
      return "cancelled";
    case Code::kInvalid:
      return "invalid";
    case Code::kForbidden:
      return "forbidden";
    case Code::kInternal:
      return "internal";
  }
  return "internal";
}

Error Error::While(const std::string& attempt) && {
  message = attempt + ": " + message;
  return std::move(*this);
}

}  // namespace spillway
