// Exposition: metrics as text, in Prometheus's format 0.0.4.
//
//   Exposition out;
//   out.family("outlive_sessions", "gauge", "Sessions that are held.");
//   out.sample({{"uid", "0"}}, 3);
//   std::string text = out.take();
//
// A family is written once, with all its samples behind it. Facts:
// https://prometheus.io/docs/instrumenting/exposition_formats/ (Text-based format).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "abi/operator_words.h"

namespace outlive::daemon {

class Exposition {
 public:
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // `type`: counter, gauge or histogram.
  void family(std::string_view name, std::string_view type, std::string_view help);
  // Of the family that was begun last.
  void sample(Labels labels, uint64_t value);
  void sample(uint64_t value) { sample({}, value); }
  // In seconds, its buckets cumulative.
  void histogram(const abi::HistogramWords& words);
  // A family of one sample.
  void single(std::string_view name, std::string_view type, std::string_view help, uint64_t value);
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  std::string name_;
};

}  // namespace outlive::daemon
