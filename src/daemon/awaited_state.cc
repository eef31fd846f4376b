#include "daemon/awaited_state.h"

#include <time.h>

#include "abi/kexec_mark.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"

namespace outlive::daemon {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::string first_line(const std::string& path) {
  const auto text = sys::read_file(path);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

std::string file_text(const std::string& mark, const std::string& boot_id, const char* what) {
  return fmt::format("{}\n{}\n{}\n", mark, boot_id, what);
}

// It counts no more: this boot is over it, or it was of another one.
bool is_used_up(const std::string& file, const std::string& mark, const std::string& boot_id) {
  const auto text = sys::read_file(file);
  if (!text || !text->starts_with(mark + "\n")) return false;
  return *text != file_text(mark, boot_id, abi::kMarkOpen);
}

}  // namespace

BootFacts boot_facts() {
  BootFacts boot;
  boot.cmdline = first_line("/proc/cmdline");
  boot.id = first_line("/proc/sys/kernel/random/boot_id");
  timespec since{};
  ::clock_gettime(CLOCK_BOOTTIME, &since);
  const auto now_ns = static_cast<int64_t>(system_clock().realtime_ns());
  boot.began_s = (now_ns - (since.tv_sec * kSecond + since.tv_nsec)) / kSecond;
  struct stat space {};
  boot.in_container = ::stat("/proc/self/ns/pid", &space) == 0 &&
                      static_cast<uint64_t>(space.st_ino) != abi::kFirstPidNamespace;
  return boot;
}

AwaitedState AwaitedState::look(const BootFacts& boot, const std::string& runtime_dir,
                                const std::string& state_dir) {
  AwaitedState state;
  const auto mark = machine::mark_in(boot.cmdline);
  if (!mark || mark->runtime_dir != runtime_dir || boot.in_container) return state;
  if (!machine::may_be_of(*mark, boot.began_s)) return state;
  const std::string path = state_dir + "/" + abi::kMarkFile;
  if (is_used_up(path, mark->text(), boot.id)) return state;
  state.due_ = true;
  state.mark_ = *mark;
  state.boot_id_ = boot.id;
  state.path_ = path;
  return state;
}

std::string AwaitedState::text() const {
  return fmt::format("the kernel was loaded by `outlive kexec` at {}, for what this outlived kept",
                     mark_.time_text());
}

void AwaitedState::note_open() const {
  if (!is_used_up(path_, mark_.text(), boot_id_)) note(abi::kMarkOpen);
}

void AwaitedState::note_over() const {
  note(abi::kMarkOver);
}

void AwaitedState::note(const char* what) const {
  if (path_.empty()) return;
  const Status noted = sys::write_file(path_, file_text(mark_.text(), boot_id_, what));
  if (!noted) log_warning("what came of the kexec can't be noted: {}", noted.error().text());
}

}  // namespace outlive::daemon
