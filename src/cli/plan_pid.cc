#include "cli/plan_pid.h"

#include "files/survey.h"

namespace outlive::cli {

using wire::Json;

namespace {

const char* survival_name(abi::SurvivalClass survival) {
  static constexpr const char* kNames[] = {"none", "service", "daemon", "host", "kernel"};
  return kNames[static_cast<size_t>(survival)];
}

Result<size_t> scope_index(const std::string& scope) {
  if (scope.empty()) return size_t{0};
  for (size_t i = 0; i < files::kScopes.size(); ++i) {
    if (scope == luo::name_of(files::kScopes[i])) return i;
  }
  return fail(EINVAL, "scope '{}': service, daemon, host or kernel is expected", scope);
}

}  // namespace

Result<Json> plan_of_pid(int64_t pid, const std::string& scope) {
  const size_t index = TRY(scope_index(scope));
  const auto surveyed = TRY(files::survey(static_cast<pid_t>(pid)));
  Json list = Json::array();
  int64_t lost = 0;
  for (const files::SurveyedFile& file : surveyed) {
    const files::Crossing& crossing = file.crossings[index];
    if (crossing.lost) ++lost;
    list.push_back(Json{{"session", nullptr},
                        {"token", nullptr},
                        {"fd", file.number},
                        {"kind", files::survival_row(file.facts.kind).name},
                        {"detail", file.facts.detail},
                        {"survival", survival_name(files::survival_class(file.facts))},
                        {"crosses", files::text_of(crossing)},
                        {"note", crossing.text}});
  }
  const std::string name = luo::name_of(files::kScopes[index]);
  const std::string would =
      lost == 0 ? fmt::format("an update of scope {} could keep all {} descriptors of pid {}", name,
                              surveyed.size(), pid)
                : fmt::format("an update of scope {} would lose {} of {} descriptors of pid {}",
                              name, lost, surveyed.size(), pid);
  return Json{{"files", std::move(list)},
              {"participants", Json::array()},
              {"lost", lost},
              {"would", would},
              {"next", nullptr}};
}

}  // namespace outlive::cli
