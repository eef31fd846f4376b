#include "wire/varlink_interface.h"

#include <algorithm>

#include "base/check.h"

namespace outlive::wire {

// Recursive descent over words and signs; comments and white space lie between.
class VarlinkInterfaceParser {
 public:
  explicit VarlinkInterfaceParser(std::string_view text) : rest_(text) {}

  Result<VarlinkInterface> run() {
    TRY(expect("interface"));
    interface_.name_ = TRY(word());
    for (skip(); !rest_.empty(); skip()) {
      const std::string kind = TRY(word());
      const std::string name = TRY(word());
      if (kind == "type") {
        interface_.types_[name] = TRY(type());
      } else if (kind == "error") {
        interface_.errors_[name] = TRY(type());
      } else if (kind == "method") {
        VarlinkInterface::Method method;
        method.input = TRY(type());
        TRY(expect("->"));
        method.output = TRY(type());
        interface_.methods_[name] = std::move(method);
      } else {
        return wrong("type, method or error is expected");
      }
    }
    for (const std::string& name : named_) {
      if (!interface_.types_.contains(name)) return wrong("no type is called " + name);
    }
    return std::move(interface_);
  }

 private:
  static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  }
  Error wrong(std::string_view what) const {
    return fail(EINVAL, "Varlink interface, line {}: {}", line_, what);
  }
  void skip() {
    while (!rest_.empty()) {
      if (rest_[0] == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else if (rest_[0] == ' ' || rest_[0] == '\n' || rest_[0] == '\t') {
        if (rest_[0] == '\n') ++line_;
        rest_.remove_prefix(1);
      } else {
        return;
      }
    }
  }
  bool accept(std::string_view sign) {
    skip();
    if (!rest_.starts_with(sign)) return false;
    rest_.remove_prefix(sign.size());
    return true;
  }
  Status expect(std::string_view sign) {
    if (!accept(sign)) return wrong(fmt::format("'{}' is expected", sign));
    return {};
  }
  Result<std::string> word() {
    skip();
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_word);
    const std::string text(rest_.begin(), end);
    if (text.empty()) return wrong("a name is expected");
    rest_.remove_prefix(text.size());
    return text;
  }
  Result<VarlinkType> type() {
    using Kind = VarlinkType::Kind;
    VarlinkType type;
    type.nullable = accept("?");
    const bool array = accept("[]");
    if (array || accept("[string]")) {
      type.kind = array ? Kind::kArray : Kind::kMap;
      VarlinkType element = TRY(this->type());
      type.element.push_back(std::move(element));
      return type;
    }
    if (accept("(")) {
      TRY(fields(type));
      return type;
    }
    type.name = TRY(word());
    static const std::map<std::string, Kind> kBasic = {{"bool", Kind::kBool},
                                                       {"int", Kind::kInt},
                                                       {"float", Kind::kFloat},
                                                       {"string", Kind::kString},
                                                       {"object", Kind::kObject}};
    const auto basic = kBasic.find(type.name);
    type.kind = basic == kBasic.end() ? Kind::kNamed : basic->second;
    if (type.kind == Kind::kNamed) named_.push_back(type.name);
    return type;
  }
  // Behind '(': "name: type, ..." is a struct, "name, ..." an enum.
  Status fields(VarlinkType& type) {
    type.kind = VarlinkType::Kind::kStruct;
    while (!accept(")")) {
      std::string name = TRY(word());
      VarlinkType field;
      if (accept(":")) {
        field = TRY(this->type());
      } else {
        type.kind = VarlinkType::Kind::kEnum;
      }
      type.fields.push_back({std::move(name), std::move(field)});
      if (!accept(",")) {
        TRY(expect(")"));
        return {};
      }
    }
    return {};
  }

  std::string_view rest_;
  int line_ = 1;
  std::vector<std::string> named_;  // types that are referred to
  VarlinkInterface interface_;
};

Result<VarlinkInterface> VarlinkInterface::parse(std::string_view text) {
  return VarlinkInterfaceParser(text).run();
}

std::vector<std::string> VarlinkInterface::methods() const {
  std::vector<std::string> names;
  for (const auto& [name, method] : methods_) names.push_back(name);
  return names;
}

Status VarlinkInterface::check_call(std::string_view method, const Json& parameters) const {
  const auto found = methods_.find(std::string(method));
  if (found == methods_.end()) return fail(ENOENT, "{} has no method '{}'", name_, method);
  return check(found->second.input, parameters, "", false);
}

Status VarlinkInterface::check_reply(std::string_view method, const Json& parameters) const {
  const auto found = methods_.find(std::string(method));
  if (found == methods_.end()) return fail(ENOENT, "{} has no method '{}'", name_, method);
  return check(found->second.output, parameters, "", true);
}

Status VarlinkInterface::check_error(std::string_view error, const Json& parameters) const {
  const auto found = errors_.find(std::string(error));
  if (found == errors_.end()) return fail(ENOENT, "{} has no error '{}'", name_, error);
  return check(found->second, parameters, "", true);
}

Status VarlinkInterface::check_struct(const VarlinkType& type, const Json& json,
                                      const std::string& path, bool unknown_fields) const {
  const std::string prefix = path.empty() ? "" : path + ".";
  for (const auto& [name, field] : type.fields) {
    const auto found = json.find(name);
    TRY(check(field, found == json.end() ? Json() : *found, prefix + name, unknown_fields));
  }
  for (const auto& [name, value] : json.items()) {
    const bool known = std::any_of(type.fields.begin(), type.fields.end(),
                                   [&](const auto& field) { return field.name == name; });
    if (!known && !unknown_fields) return bad_param(prefix + name, "is unknown");
  }
  return {};
}

Status VarlinkInterface::check(const VarlinkType& type, const Json& json, const std::string& path,
                               bool unknown_fields) const {
  using Kind = VarlinkType::Kind;
  if (json.is_null() && type.nullable) return {};
  if (json.is_null()) return bad_param(path, "is missing");
  const auto wrong = [&](const char* what) {
    return bad_param(path, fmt::format("must be {}", what));
  };
  switch (type.kind) {
    case Kind::kBool:
      return json.is_boolean() ? Status() : wrong("true or false");
    case Kind::kInt:
      return json.is_number_integer() ? Status() : wrong("an integer");
    case Kind::kFloat:
      return json.is_number() ? Status() : wrong("a number");
    case Kind::kString:
      return json.is_string() ? Status() : wrong("a string");
    case Kind::kObject:
      return {};
    case Kind::kEnum: {
      for (const auto& [name, field] : type.fields) {
        if (json == name) return {};
      }
      return wrong("one of the names of the interface");
    }
    case Kind::kStruct:
      if (!json.is_object()) return wrong("an object");
      return check_struct(type, json, path, unknown_fields);
    case Kind::kArray:
      if (!json.is_array()) return wrong("an array");
      for (size_t i = 0; i < json.size(); ++i) {
        TRY(check(type.element[0], json[i], fmt::format("{}[{}]", path, i), unknown_fields));
      }
      return {};
    case Kind::kMap:
      if (!json.is_object()) return wrong("an object");
      for (const auto& [name, value] : json.items()) {
        TRY(check(type.element[0], value, fmt::format("{}[{}]", path, name), unknown_fields));
      }
      return {};
    case Kind::kNamed: {
      const auto found = types_.find(type.name);
      CHECK(found != types_.end());  // parse() has looked
      return check(found->second, json, path, unknown_fields);
    }
  }
  return {};
}

}  // namespace outlive::wire
