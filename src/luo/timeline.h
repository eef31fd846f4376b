// The timeline of one update: every step of every participant and handler, in the arena, so that it
// survives the update and whoever runs it. Times are handed in (CLOCK_MONOTONIC); what is added to
// them, so that they go on over a kexec, is said once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "abi/timeline.h"
#include "kho/arena.h"

namespace outlive::luo {

class Timeline {
 public:
  struct Entry {
    std::string who;
    std::string what;
    uint64_t start_ns;
    uint64_t end_ns;
  };

  // A new page for this update. ENOSPC: then the update goes on without one.
  static Result<kho::Phys> make(kho::Arena& arena, uint64_t update);
  // Over a page that a record names; not valid() when it is none.
  Timeline(kho::Arena& arena, uint64_t address, uint64_t added_ns = 0);
  Timeline() = default;

  bool valid() const { return page_ != nullptr; }
  // A bar that starts now; the number is for end(). A full page counts what is lost.
  size_t begin(std::string_view who, std::string_view what, uint64_t now_ns);
  void end(size_t entry, uint64_t now_ns);
  // Ends the newest open bar of this name.
  void end(std::string_view who, std::string_view what, uint64_t now_ns);
  void point(std::string_view who, std::string_view what, uint64_t now_ns);
  // A bar that goes on since the first one of `what` of anybody, and ends now; how long it is. 0,
  // and no bar: there was none.
  uint64_t bar_since_first(std::string_view what, std::string_view who, std::string_view name,
                           uint64_t now_ns);
  bool is_open(std::string_view who, std::string_view what) const;
  std::vector<Entry> entries() const;
  uint64_t lost() const { return valid() ? page_->lost : 0; }

 private:
  abi::TimelineEntry* list() const { return reinterpret_cast<abi::TimelineEntry*>(page_ + 1); }
  abi::TimelinePage* page_ = nullptr;
  uint64_t added_ns_ = 0;
};

}  // namespace outlive::luo
