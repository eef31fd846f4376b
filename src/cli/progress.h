// What goes on while a call takes its time: which step, whom it waits for, how long.
//   rewrite   a terminal: one line, written over again, gone at the end
//   lines     a pipe with --progress: a line a step
//   silent    a pipe: nothing
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "cli/cli.h"

namespace outlive::cli {

enum class ProgressMode { kSilent, kLines, kRewrite };
ProgressMode progress_mode(const Cli& cli);

class Progress {
 public:
  Progress(std::FILE* out, ProgressMode mode, std::string subject);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Something changed. `waiting_for` may be empty; `elapsed_us` since the start of it all.
  void step(const std::string& step, const std::string& waiting_for, int64_t elapsed_us);
  // Time passed: the line's clock goes on.
  void tick();
  // Takes the line away, so that the result stands alone.
  void clear();

 private:
  void write(int64_t elapsed_us);

  std::FILE* out_;
  ProgressMode mode_;
  std::string subject_;
  std::string text_;  // of the last step
  std::chrono::steady_clock::time_point began_;
  bool shown_ = false;
};

}  // namespace outlive::cli
