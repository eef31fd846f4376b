#include "samples.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

namespace outlive::bench {

std::string Samples::json() const {
  std::string text = "{";
  for (const auto& [name, times] : times_) {
    text += fmt::format("{}\"{}\":[{}]", text.size() > 1 ? "," : "", name, fmt::join(times, ","));
  }
  return text + "}\n";
}

void Samples::print() const {
  fmt::print("{}", json());
  fflush(stdout);
}

Status pin_to_cpu(int cpu) {
  if (cpu < 0) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) < 0) return fail_errno("sched_setaffinity");
  return {};
}

}  // namespace outlive::bench
