// Samples: every single time that was measured, by name. Printed whole; bench.py makes percentiles.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace outlive::bench {

inline uint64_t now_ns() {
  return system_clock().now_ns();
}

class Samples {
 public:
  void add(const std::string& name, uint64_t ns) { times_[name].push_back(ns); }
  // {"name":[ns,...],...} in one line.
  std::string json() const;
  void print() const;

 private:
  std::map<std::string, std::vector<uint64_t>> times_;
};

// Runs this thread on this CPU only; -1: leaves it as it is.
Status pin_to_cpu(int cpu);

}  // namespace outlive::bench
