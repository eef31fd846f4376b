#include "daemon/rehearse.h"

#include <string.h>

#include <algorithm>
#include <charconv>

#include "abi/control_block.h"
#include "base/log.h"
#include "base/sys.h"
#include "daemon/broken.h"
#include "daemon/image_core.h"
#include "daemon/inheritance.h"
#include "luo/fsck.h"
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

Status check_socket(const abi::ConnectionSlot& slot) {
  const BorrowedFd fd(static_cast<int>(slot.fd));
  const struct stat facts = TRY(sys::fstat(fd).context("connection (fd {})", slot.fd));
  if (!S_ISSOCK(facts.st_mode)) return fail(EUCLEAN, "connection (fd {}) is no socket", slot.fd);
  return {};
}

Status look(BorrowedFd image) {
  if (is_blank(image)) return {};  // no worker has got that far: there is nothing to be read
  const std::unique_ptr<ImageCore> attached = TRY(ImageCore::attach(image));
  luo::Core& core = attached->core();
  TRY(core.files().verify());
  Status status;
  core.records().for_each<abi::ConnectionSlot>([&](abi::ConnectionSlot& slot) {
    if (status) status = check_socket(slot);
  });
  TRY(std::move(status));
  const luo::Findings findings =
      luo::fsck(core, [](BorrowedFd fd) { return static_cast<bool>(sys::get_fd_flags(fd)); });
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

int rehearse(const std::string& words, const Result<LoadedConfig>& config) {
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
