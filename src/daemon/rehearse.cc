#include "daemon/rehearse.h"

#include <string.h>

#include <algorithm>
#include <charconv>

#include "abi/control_block.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/broken.h"
#include "files/classify.h"
#include "files/registry_defaults.h"
#include "kho/arena.h"
#include "luo/core.h"
#include "luo/fsck.h"
#include "luo/no_updates.h"
#include "machine/process/confinement_calls.h"

namespace outlive::daemon {
namespace {

struct Words {
  UniqueFd image;
  UniqueFd result;
  std::string nonce;
};

std::optional<int> take_number(std::string_view* text) {
  int number = -1;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), number);
  const auto used = static_cast<size_t>(parsed.ptr - text->data());
  if (parsed.ec != std::errc{} || used >= text->size() || (*text)[used] != ',') return std::nullopt;
  text->remove_prefix(used + 1);
  return number;
}

Result<Words> parse(std::string_view text) {
  const auto image = take_number(&text);
  const auto result = image ? take_number(&text) : std::nullopt;
  if (!image || !result || *image < 3 || *result < 3 || text.empty()) {
    return fail(EINVAL, "--rehearse: outlived itself says it, nobody else");
  }
  return Words{UniqueFd(*image), UniqueFd(*result), std::string(text)};
}

// What can be seen of a held file without touching it must be what its record says.
Status check_file(const luo::Context& context, const abi::FileSlot& slot) {
  const BorrowedFd fd(static_cast<int>(slot.fd));
  const auto describe = [&] { return fmt::format("file {:#x} (fd {})", slot.token, slot.fd); };
  const luo::FileFacts facts = TRY(files::classify_to_preserve(fd).context("{}", describe()));
  if (slot.inode != 0 && (facts.inode != slot.inode || facts.device != slot.device)) {
    return fail(EUCLEAN, "{} is another file than its record says", describe());
  }
  const std::string_view wanted(slot.compatible,
                                ::strnlen(slot.compatible, sizeof slot.compatible));
  for (const auto& handler : *context.handlers) {
    if (wanted != handler->compatible()) continue;
    return {};
  }
  return fail(ENOENT, "{}: no handler '{}' in this binary", describe(), wanted);
}

Status check_socket(const abi::ConnectionSlot& slot) {
  const BorrowedFd fd(static_cast<int>(slot.fd));
  const struct stat facts = TRY(sys::fstat(fd).context("connection (fd {})", slot.fd));
  if (!S_ISSOCK(facts.st_mode)) return fail(EUCLEAN, "connection (fd {}) is no socket", slot.fd);
  return {};
}

Status look(BorrowedFd image) {
  const auto arena = TRY(kho::Arena::attach(image));
  std::vector<std::unique_ptr<luo::FileHandler>> handlers;
  files::register_default_handlers(handlers);
  luo::Context context;
  context.handlers = &handlers;
  context.clock = &system_clock();
  context.classify = files::classify;
  context.classify_to_preserve = files::classify_to_preserve;
  context.release = [](BorrowedFd) {};
  luo::NoUpdates host;
  const auto core = TRY(luo::Core::attach(*arena, context, host));
  Status status;
  core->records().for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    if (status) status = check_file(context, slot);
  });
  core->records().for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    if (status) status = check_socket(slot);
  });
  TRY(std::move(status));
  const luo::Findings findings =
      luo::fsck(*core, [](BorrowedFd fd) { return static_cast<bool>(sys::get_fd_flags(fd)); });
  if (!findings.lines.empty()) return fail(EUCLEAN, "fsck: {}", findings.lines.front().text);
  return {};
}

// What takes too long for the time in which nobody serves: the compiled filter of system calls.
std::string warm() {
  const Result<std::vector<sock_filter>> filter = machine::compile_call_filter();
  const size_t size = filter ? filter->size() * sizeof(sock_filter) : 0;
  if (size == 0 || size > abi::kTakeoverWarm) return "";
  return std::string(reinterpret_cast<const char*>(filter->data()), size);
}

}  // namespace

int rehearse(const std::string& words, const Result<Config>& config) {
  set_log_role("rehearsal");
  const Result<Words> parsed = parse(words);
  if (!parsed) {
    log_error("{}", parsed.error().message);
    return 2;
  }
  break_at(BreakAt::kRehearsal);
  break_image(parsed->image);
  Status good = config ? look(parsed->image) : Status(config.error());
  std::string verdict =
      fmt::format("ok {} control={} takeover={} records={}", OUTLIVE_VERSION,
                  abi::kControlCompatible, abi::kTakeoverCompatible, luo::RootFormat::readable());
  if (!good) verdict = "refused " + good.error().message;
  std::string line = fmt::format("{} {} {}", abi::kRehearsalCompatible, parsed->nonce, verdict);
  line.resize(std::min(line.size(), abi::kRehearsalLine - 1));
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += "\n";
  if (good) line += warm();
  return sys::write_all(parsed->result, line) ? 0 : 1;
}

}  // namespace outlive::daemon
