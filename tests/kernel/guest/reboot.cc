#include "reboot.h"

#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>

#include "base/sys.h"

namespace outlive::guest {
namespace {

constexpr std::string_view kMarker = " outlive.stage=";

// The command line as the first kernel got it, and the stage that was behind it.
struct CommandLine {
  std::string text;
  int stage = 1;
};

Result<CommandLine> read_command_line() {
  CommandLine line;
  line.text = TRY(sys::read_file("/proc/cmdline"));
  if (line.text.ends_with('\n')) line.text.pop_back();
  const size_t at = line.text.rfind(kMarker);
  if (at == std::string::npos) return line;
  const std::string_view number = std::string_view(line.text).substr(at + kMarker.size());
  std::from_chars(number.data(), number.data() + number.size(), line.stage);
  line.text.erase(at);
  return line;
}

}  // namespace

Result<int> read_stage() {
  const CommandLine line = TRY(read_command_line());
  return line.stage;
}

Status load_kernel(const std::string& kernel, const std::string& initrd) {
  const CommandLine now = TRY(read_command_line());
  const std::string next = fmt::format("{}{}{}", now.text, kMarker, now.stage + 1);
  const UniqueFd image = TRY(sys::open(kernel, O_RDONLY));
  const UniqueFd files = TRY(sys::open(initrd, O_RDONLY));
  if (syscall(SYS_kexec_file_load, image.get(), files.get(), next.size() + 1, next.c_str(), 0ul)) {
    return fail_errno("kexec_file_load");
  }
  return {};
}

Error kexec_into(const std::string& kernel, const std::string& initrd) {
  if (Status loaded = load_kernel(kernel, initrd); !loaded) return loaded.take_error();
  // Sessions are frozen in this call; one that can't be makes it fail.
  reboot(RB_KEXEC);
  return fail_errno("reboot into the next kernel");
}

Error power_off() {
  reboot(RB_AUTOBOOT);
  return fail_errno("reboot");
}

}  // namespace outlive::guest
