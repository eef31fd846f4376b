// A core without services: who looks at an image, or has sessions only, hands this in.
#pragma once

#include "luo/update.h"

namespace outlive::luo {

class NoUpdates : public UpdateHost {
 public:
  Status start_successor(abi::ServiceSlot&, abi::UpdateSlot&) override {
    return fail(EOPNOTSUPP, "no services here");
  }
  std::vector<Participant> participants(const abi::ServiceSlot&, uint64_t) override { return {}; }
  void send_event(uint64_t, abi::Step, uint64_t, uint64_t, std::string_view) override {}
  void kill(const abi::ProcessWords&) override {}
  void retire(const abi::ProcessWords&) override {}
  bool alive(const abi::ProcessWords&) override { return false; }
  void drop_generation(const abi::ServiceSlot&, uint64_t) override {}
  void start_anew(abi::ServiceSlot&) override {}
  void progress(const abi::UpdateSlot&) override {}
  void over(const abi::UpdateSlot&) override {}
  void idle(abi::ServiceSlot&) override {}
};

}  // namespace outlive::luo
