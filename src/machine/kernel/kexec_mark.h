// The mark of `outlive kexec` on the command line of the kernel that it starts (abi/kexec_mark.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outlive::machine {

struct KexecMark {
  int64_t seconds = 0;      // CLOCK_REALTIME when the kernel was loaded
  std::string runtime_dir;  // of the outlived whose state it is to bring

  std::string text() const;  // the parameter
  // For people: "2026-11-26 11:30:05 UTC".
  std::string time_text() const;
};

// The command line with this mark and no other, before what is init's.
std::string with_mark(std::string_view cmdline, const KexecMark& mark);
// The last one; nullopt: none, or none that can be read.
std::optional<KexecMark> mark_in(std::string_view cmdline);

// Whether a boot whose clock began then may be the one that is meant. Of a clock that is behind
// the mark it may: a command line that is used again has a mark of the past.
bool may_be_of(const KexecMark& mark, int64_t boot_began_s);
// Too much of that time has gone by already.
bool is_stale(const KexecMark& mark, int64_t now_s);

}  // namespace outlive::machine
