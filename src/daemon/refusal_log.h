// RefusalLog: one line a second and user for what is refused, however often it is tried; the next
// line says how many were left out.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>

namespace outlive::daemon {

class RefusalLog {
 public:
  void refused(uint64_t uid, uint64_t now_ns, std::string_view what);

 private:
  struct User {
    uint64_t next_ns = 0;
    uint64_t left_out = 0;
  };
  std::unordered_map<uint64_t, User> users_;
};

}  // namespace outlive::daemon
