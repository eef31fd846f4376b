// Typed parameters of a Varlink call: what wire/varlink.h declares as param() and its kin.
#include <algorithm>
#include <charconv>

#include "wire/varlink.h"

namespace outlive::wire {
namespace {

constexpr std::string_view kBadParameter = "parameter '";

template <typename T>
struct Reader;

template <>
struct Reader<bool> {
  static constexpr const char* kExpected = "must be true or false";
  static std::optional<bool> read(const Json& json) {
    if (!json.is_boolean()) return std::nullopt;
    return json.get<bool>();
  }
};

template <>
struct Reader<int64_t> {
  static constexpr const char* kExpected = "must be an integer";
  static std::optional<int64_t> read(const Json& json) {
    if (!json.is_number_integer()) return std::nullopt;
    if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX) return std::nullopt;
    return json.get<int64_t>();
  }
};

template <>
struct Reader<uint64_t> {
  static constexpr const char* kExpected = "must be an integer that is not negative";
  static std::optional<uint64_t> read(const Json& json) {
    if (json.is_number_unsigned()) return json.get<uint64_t>();
    // A literal built in C++ is signed even when it is not negative.
    if (json.is_number_integer() && json.get<int64_t>() >= 0) return json.get<uint64_t>();
    return std::nullopt;
  }
};

template <>
struct Reader<std::string> {
  static constexpr const char* kExpected = "must be a string without NUL";
  static std::optional<std::string> read(const Json& json) {
    if (!json.is_string()) return std::nullopt;
    const std::string& text = json.get_ref<const std::string&>();
    // It ends up in C strings: a name that is cut short there would be another name.
    if (text.find('\0') != text.npos) return std::nullopt;
    return text;
  }
};

template <>
struct Reader<std::vector<std::string>> {
  static constexpr const char* kExpected = "must be an array of strings";
  static std::optional<std::vector<std::string>> read(const Json& json) {
    if (!json.is_array()) return std::nullopt;
    std::vector<std::string> list;
    for (const Json& element : json) {
      std::optional<std::string> text = Reader<std::string>::read(element);
      if (!text) return std::nullopt;
      list.push_back(*std::move(text));
    }
    return list;
  }
};

const Json* field(const Json& parameters, std::string_view name) {
  if (!parameters.is_object()) return nullptr;
  const auto found = parameters.find(name);
  if (found == parameters.end() || found->is_null()) return nullptr;
  return &*found;
}

template <typename T>
struct Param {
  static Result<T> get(const Json& parameters, std::string_view name) {
    const Json* json = field(parameters, name);
    if (json == nullptr) return bad_param(name, "is missing");
    std::optional<T> value = Reader<T>::read(*json);
    if (!value) return bad_param(name, Reader<T>::kExpected);
    return *std::move(value);
  }
};

template <typename T>
struct Param<std::optional<T>> {
  static Result<std::optional<T>> get(const Json& parameters, std::string_view name) {
    if (field(parameters, name) == nullptr) return std::optional<T>();
    Result<T> value = Param<T>::get(parameters, name);
    if (!value) return value.take_error();
    return std::optional<T>(value.take());
  }
};

}  // namespace

template <typename T>
Result<T> param(const Json& parameters, std::string_view name) {
  return Param<T>::get(parameters, name);
}

template Result<bool> param(const Json&, std::string_view);
template Result<int64_t> param(const Json&, std::string_view);
template Result<uint64_t> param(const Json&, std::string_view);
template Result<std::string> param(const Json&, std::string_view);
template Result<std::vector<std::string>> param(const Json&, std::string_view);
template Result<std::optional<bool>> param(const Json&, std::string_view);
template Result<std::optional<int64_t>> param(const Json&, std::string_view);
template Result<std::optional<uint64_t>> param(const Json&, std::string_view);
template Result<std::optional<std::string>> param(const Json&, std::string_view);
template Result<std::optional<std::vector<std::string>>> param(const Json&, std::string_view);

Status only_params(const Json& parameters, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : parameters.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return bad_param(name, "is none of this method's");
    }
  }
  return {};
}

Error bad_param(std::string_view name, std::string_view why) {
  return fail(EBADMSG, "{}{}' {}", kBadParameter, name, why);
}

std::string bad_param_name(const Error& error) {
  const size_t start = error.message.find(kBadParameter);
  if (error.code != EBADMSG || start == std::string::npos) return "";
  const size_t name = start + kBadParameter.size();
  return error.message.substr(name, error.message.find('\'', name) - name);
}

std::string hex_text(uint64_t value) {
  return fmt::format("{:x}", value);
}

Result<uint64_t> hex_param(const Json& parameters, std::string_view name) {
  const std::string text = TRY(param<std::string>(parameters, name));
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, value, 16);
  if (code != std::errc() || rest != end) return bad_param(name, "must be hex digits, at most 16");
  return value;
}

Result<RequestId> request_id_param(const Json& parameters) {
  const std::string text = TRY(param<std::string>(parameters, "request_id"));
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() != 32 || !std::all_of(text.begin(), text.end(), is_digit)) {
    return bad_param("request_id", "must be 32 lower case hex digits");
  }
  RequestId id;
  std::from_chars(text.data(), text.data() + 16, id.words[0], 16);
  std::from_chars(text.data() + 16, text.data() + 32, id.words[1], 16);
  return id;
}

}  // namespace outlive::wire
