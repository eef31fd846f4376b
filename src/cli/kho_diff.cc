#include "cli/kho_diff.h"

#include <map>

#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/format.h"

namespace outlive::cli {
namespace {

using Leaves = std::map<std::string, Json>;
constexpr size_t kMostBytes = 64 << 20;  // a dump of a big arena: 100 bytes a folio

// What tells the elements of this list apart, so that one more of them isn't a change of all that
// follow: a name, an address; nullptr: only their position.
const char* key_of(const Json& list) {
  for (const char* key : {"name", "address", "start"}) {
    std::map<std::string, int> seen;
    bool good = !list.empty();
    for (const Json& one : list) {
      good = good && one.is_object() && one.contains(key) && one[key].is_string() &&
             seen[one[key].get<std::string>()]++ == 0;
    }
    if (good) return key;
  }
  return nullptr;
}

void collect(const Json& json, const std::string& path, Leaves& leaves) {
  const std::string prefix = path.empty() ? path : path + ".";
  if (json.is_object() && !json.empty()) {
    for (const auto& [name, value] : json.items()) collect(value, prefix + name, leaves);
  } else if (json.is_array() && !json.empty()) {
    const char* key = key_of(json);
    for (size_t i = 0; i < json.size(); ++i) {
      const std::string id = key ? json[i][key].get<std::string>() : fmt::format("{}", i);
      collect(json[i], fmt::format("{}[{}]", path, id), leaves);
    }
  } else {
    leaves[path] = json;
  }
}

Result<Leaves> read_dump(const std::string& path) {
  const std::string text = TRY(sys::read_file(path, kMostBytes));
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !(json.contains("kind") || json.contains("digest"))) {
    return fail(EPROTO, "{}: not what `outlive kho dump --json` writes", path);
  }
  Leaves leaves;
  collect(json, "", leaves);
  return leaves;
}

std::string line(char sign, const Json& difference, const char* which) {
  if (!difference.contains(which)) return {};
  const std::string value = difference[which].dump(-1, ' ', false, Json::error_handler_t::replace);
  return fmt::format("{} {} {}\n", sign, clean(difference["field"].get<std::string>()),
                     clean(value));
}

}  // namespace

Result<int> run_diff(Cli& cli, const std::string& before, const std::string& after) {
  const Leaves old_leaves = TRY(read_dump(before));
  const Leaves new_leaves = TRY(read_dump(after));
  Leaves all = old_leaves;
  all.insert(new_leaves.begin(), new_leaves.end());
  Json differences = Json::array();
  for (const auto& [path, value] : all) {
    const auto was = old_leaves.find(path);
    const auto is = new_leaves.find(path);
    Json one{{"field", path}};
    if (was != old_leaves.end()) one["before"] = was->second;
    if (is != new_leaves.end()) one["after"] = is->second;
    if (!one.contains("before") || !one.contains("after") || one["before"] != one["after"]) {
      differences.push_back(std::move(one));
    }
  }
  const int code = differences.empty() ? kExitOk : kExitFailed;
  if (cli.json) {
    cli.print_json({{"differences", std::move(differences)}});
    return code;
  }
  for (const Json& one : differences) {
    cli.print(line('-', one, "before") + line('+', one, "after"));
  }
  return code;
}

}  // namespace outlive::cli
