// What `outlive kexec` has started this kernel for: to bring what this outlived kept
// (abi/kexec_mark.h). Where it did not come that is a refusal, and no empty start.
//
// Happy path:   look() at the start -> it is due -> it came, or nothing was kept by anybody ->
//               outlived serves: note_over(). From there on nothing is due on this boot.
// Unhappy path: it is due and not there: refused, note_open(). It stays due, on this boot, until
//               outlived is ended in order (note_over()): who ends it has decided.
//
// The mark means one boot, and a command line may be used again: the file below state_dir says
// which boot it was. Where that doesn't outlive a boot, an hour does it.
#pragma once

#include <cstdint>
#include <string>

#include "machine/kernel/kexec_mark.h"

namespace outlive::daemon {

// What of this boot it depends on.
struct BootFacts {
  std::string cmdline;
  std::string id;
  int64_t began_s = 0;  // CLOCK_REALTIME
  bool in_container = false;
};
BootFacts boot_facts();

class AwaitedState {
 public:
  AwaitedState() = default;  // none
  // After `state_dir` is known to be there, or not to be.
  static AwaitedState look(const BootFacts& boot, const std::string& runtime_dir,
                           const std::string& state_dir);

  // As far as is known when outlived starts.
  bool is_due() const { return due_; }
  void came() { due_ = false; }
  // "the kernel was loaded by `outlive kexec` at TIME, for what this outlived kept"
  std::string text() const;

  // For every later start. The log says why where it can't be written. Once it is over it stays so:
  // what is refused later is not what was awaited.
  void note_open() const;
  void note_over() const;

 private:
  void note(const char* what) const;

  bool due_ = false;
  machine::KexecMark mark_;
  std::string boot_id_;
  std::string path_;  // "": this boot has no mark that is ours
};

}  // namespace outlive::daemon
