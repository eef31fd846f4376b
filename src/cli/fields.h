// Reads the fields of a reply. The first one that is missing or of the wrong type is remembered,
// the getters go on with empty values, and check() is asked once at the end:
//
//   Fields f(reply);
//   const std::string state = f.text("state");
//   TRY(f.check());
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wire/varlink.h"

namespace outlive::cli {

class Fields {
 public:
  explicit Fields(const wire::Json& json) : json_(json) {}

  std::string text(const char* name) { return get<std::string>(name); }
  int64_t number(const char* name) { return get<int64_t>(name); }
  bool flag(const char* name) { return get<bool>(name); }
  std::vector<std::string> texts(const char* name) { return get<std::vector<std::string>>(name); }
  std::optional<std::string> maybe_text(const char* name) {
    return get<std::optional<std::string>>(name);
  }
  std::optional<int64_t> maybe_number(const char* name) {
    return get<std::optional<int64_t>>(name);
  }
  std::vector<std::string> maybe_texts(const char* name) {
    return get<std::optional<std::vector<std::string>>>(name).value_or(std::vector<std::string>());
  }
  // The objects of an array; an empty one when the field is null.
  const wire::Json& array(const char* name);

  // EPROTO naming the field; OK when all were there.
  Status check() const;

 private:
  template <typename T>
  T get(const char* name) {
    Result<T> value = wire::param<T>(json_, name);
    if (value) return value.take();
    if (problem_.empty()) problem_ = value.error().message;
    return T();
  }

  const wire::Json& json_;
  std::string problem_;
};

}  // namespace outlive::cli
