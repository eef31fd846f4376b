#include "cli/progress.h"

#include <fmt/format.h>

#include "cli/format.h"

namespace outlive::cli {

ProgressMode progress_mode(const Cli& cli) {
  if (cli.around().terminal) return ProgressMode::kRewrite;
  return cli.progress ? ProgressMode::kLines : ProgressMode::kSilent;
}

Progress::Progress(std::FILE* out, ProgressMode mode, std::string subject)
    : out_(out), mode_(mode), subject_(clean(subject)), began_(std::chrono::steady_clock::now()) {}

void Progress::step(const std::string& step, const std::string& waiting_for, int64_t elapsed_us) {
  text_ = clean(step);
  if (!waiting_for.empty()) text_ += ", waiting for " + clean(waiting_for);
  // What came before us counts too: the update may have been running already.
  began_ = std::chrono::steady_clock::now() - std::chrono::microseconds(elapsed_us);
  write(elapsed_us);
}

void Progress::tick() {
  if (mode_ != ProgressMode::kRewrite || text_.empty()) return;
  const auto passed = std::chrono::steady_clock::now() - began_;
  write(std::chrono::duration_cast<std::chrono::microseconds>(passed).count());
}

void Progress::write(int64_t elapsed_us) {
  if (mode_ == ProgressMode::kSilent) return;
  const std::string line = fmt::format("{}: {} ({})", subject_, text_, duration_text(elapsed_us));
  if (mode_ == ProgressMode::kRewrite) {
    fmt::print(out_, "\r\x1b[K{}", line);
    shown_ = true;
  } else {
    fmt::print(out_, "{}\n", line);
  }
  std::fflush(out_);
}

void Progress::clear() {
  if (shown_) fmt::print(out_, "\r\x1b[K");
  std::fflush(out_);
  shown_ = false;
}

}  // namespace outlive::cli
