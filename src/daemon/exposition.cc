#include "daemon/exposition.h"

#include <fmt/format.h>

#include "machine/process/control.h"

namespace outlive::daemon {
namespace {

// In a label's value: backslash, double quote and line feed. In a help text the quote stays.
std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char one : text) {
    if (one == '\\') out += "\\\\";
    if (one == '\n') out += "\\n";
    if (one == '"' && quotes) out += "\\\"";
    if (one != '\\' && one != '\n' && (one != '"' || !quotes)) out += one;
  }
  return out;
}

// Decimal, without an exponent and without trailing zeros: 0.0025.
std::string seconds(uint64_t ns) {
  std::string text = fmt::format("{}.{:09}", ns / 1'000'000'000, ns % 1'000'000'000);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escaped(help, false), name, type);
}

void Exposition::sample(Labels labels, uint64_t value) {
  std::string inside;
  for (const auto& [name, text] : labels) {
    inside += fmt::format("{}{}=\"{}\"", inside.empty() ? "" : ",", name, escaped(text, true));
  }
  text_ += inside.empty() ? fmt::format("{} {}\n", name_, value)
                          : fmt::format("{}{{{}}} {}\n", name_, inside, value);
}

void Exposition::histogram(const abi::HistogramWords& words) {
  uint64_t total = 0;
  for (size_t i = 0; i < abi::kHistogramBuckets; ++i) {
    total += machine::load_word(words.buckets[i]);
    const bool last = i + 1 == abi::kHistogramBuckets;
    text_ += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name_,
                         last ? "+Inf" : seconds(abi::kHistogramBoundsUs[i] * 1000), total);
  }
  text_ += fmt::format("{}_sum {}\n{}_count {}\n", name_, seconds(machine::load_word(words.sum_ns)),
                       name_, total);
}

void Exposition::single(std::string_view name, std::string_view type, std::string_view help,
                        uint64_t value) {
  family(name, type, help);
  sample(value);
}

}  // namespace outlive::daemon
