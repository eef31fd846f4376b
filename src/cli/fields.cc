#include "cli/fields.h"

namespace outlive::cli {

const wire::Json& Fields::array(const char* name) {
  static const wire::Json kEmpty = wire::Json::array();
  if (!json_.is_object()) {
    problem_ = "no object";
    return kEmpty;
  }
  const auto found = json_.find(name);
  if (found == json_.end() || found->is_null()) return kEmpty;
  bool good = found->is_array();
  if (good) {
    for (const wire::Json& element : *found) good = good && element.is_object();
  }
  if (good) return *found;
  if (problem_.empty()) problem_ = fmt::format("'{}' must be an array of objects", name);
  return kEmpty;
}

Status Fields::check() const {
  if (problem_.empty()) return {};
  return fail(EPROTO, "outlived's reply can't be used ({}): is it another version?", problem_);
}

}  // namespace outlive::cli
