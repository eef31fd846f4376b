#include "compat/faults.h"

#include "base/fault.h"

namespace outlive::compat {
namespace {

Status add(Faults& faults, std::string_view part) {
  if (part == "none") return {};
  if (part == "incoming=corrupt") {
    faults.corrupt = true;
    return {};
  }
  if (part == "device=absent") {
    faults.absent = true;
    return {};
  }
  if (part.starts_with("retrieve:") && !part.ends_with("=EIO")) {
    return fail(EINVAL, "fault '{}': a retrieve fails with EIO", part);
  }
  for (const std::string_view verb : {"preserve:", "retrieve:", "freeze:"}) {
    if (!part.starts_with(verb)) continue;
    if (!faults.points.empty()) faults.points += ',';
    faults.points += "luo.";
    faults.points += part;
    return {};
  }
  return fail(EINVAL,
              "fault '{}': it is none of preserve:N=ERRNO, retrieve:N=EIO, freeze:N=ERRNO, "
              "incoming=corrupt, device=absent, none",
              part);
}

}  // namespace

Result<Faults> parse_faults(std::string_view text) {
  Faults faults;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    TRY(add(faults, text.substr(0, comma)));
    text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
  }
  // Numbers and errno names are read by who arms them; "kill" is not for here.
  if (faults.points.find("kill") != std::string::npos) return fail(EINVAL, "a fault is an errno");
  const Status armed = arm_faults(faults.points);
  const Status disarmed = arm_faults("");
  static_cast<void>(disarmed);
  if (!armed) return fail(EINVAL, "faults '{}': {}", faults.points, armed.error().message);
  return faults;
}

}  // namespace outlive::compat
