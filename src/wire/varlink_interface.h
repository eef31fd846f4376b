// An interface description (https://varlink.org/Interface-Definition) as a value, so that calls and
// replies can be checked against the text which is the contract: the daemon checks every call
// before it looks at it, tests check what they feed each other.
//
//   static const VarlinkInterface interface = *VarlinkInterface::parse(abi::kOrchestratorVarlink);
//   TRY(interface.check_call("Run", call.parameters));   // EBADMSG naming the field
//   (wire/varlink.h)
//
// In a call an unknown field is an Error too; in replies it is skipped: those may grow.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "wire/varlink.h"

namespace outlive::wire {

struct VarlinkField;

struct VarlinkType {
  enum class Kind { kBool, kInt, kFloat, kString, kObject, kStruct, kEnum, kArray, kMap, kNamed };
  Kind kind = Kind::kObject;
  bool nullable = false;
  std::string name;                  // kNamed
  std::vector<VarlinkField> fields;  // kStruct; kEnum: names only
  std::vector<VarlinkType> element;  // kArray, kMap: one
};

struct VarlinkField {
  std::string name;
  VarlinkType type;
};

class VarlinkInterface {
 public:
  // EINVAL names the line.
  static Result<VarlinkInterface> parse(std::string_view text);

  const std::string& name() const { return name_; }
  std::vector<std::string> methods() const;
  bool has_method(std::string_view method) const { return methods_.contains(std::string(method)); }

  // `method` and `error` without the interface's name. ENOENT: there is none of that name.
  Status check_call(std::string_view method, const Json& parameters) const;
  Status check_reply(std::string_view method, const Json& parameters) const;
  Status check_error(std::string_view error, const Json& parameters) const;

 private:
  struct Method {
    VarlinkType input, output;
  };
  friend class VarlinkInterfaceParser;
  Status check(const VarlinkType& type, const Json& json, const std::string& path,
               bool unknown_fields) const;
  Status check_struct(const VarlinkType& type, const Json& json, const std::string& path,
                      bool unknown_fields) const;

  std::string name_;
  std::map<std::string, VarlinkType> types_;
  std::map<std::string, Method> methods_;
  std::map<std::string, VarlinkType> errors_;
};

}  // namespace outlive::wire
