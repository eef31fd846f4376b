#include "cli/kexec_target.h"

#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <algorithm>
#include <vector>

#include "abi/kernel_image.h"
#include "base/sys.h"
#include "kho/kernel_blobs.h"

namespace outlive::cli {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < line.size();) {
    const size_t end = std::min(line.find_first_of(" \n", at), line.size());
    if (end > at) words.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// nullopt: it isn't shown.
std::optional<std::string> luo_shown_in(const std::string& path) {
  const auto text = sys::read_file(path);
  if (!text) return std::nullopt;
  const auto blob = kho::parse_luo_blob(std::as_bytes(std::span(*text)));
  return blob ? std::optional(blob->compatible) : std::nullopt;
}

// Of the running kernel, by its image.
Result<std::vector<std::string>> formats_of(const std::string& path, const RunningKernel& running,
                                            const std::string& luo_blob) {
  const KernelImage image = TRY(read_kernel_image(path));
  if (!is_version_of(image.version, running)) {
    return fail(EINVAL, "{}: it isn't the running kernel's ({} {}) but of {}", path,
                running.release, running.version,
                image.version.empty() ? "one that can't be told" : image.version);
  }
  if (!image.unreadable.empty()) return fail(EUCLEAN, "{}: {}", path, image.unreadable);
  const auto shown = luo_shown_in(luo_blob);
  if (shown && std::ranges::count(image.formats, *shown) == 0) {
    return fail(EINVAL, "{}: it has no {}, which the running kernel shows in debugfs", path,
                *shown);
  }
  return image.formats;
}

// Of Kexec HandOver, the orchestrator and its memfds: what isn't there at all.
std::vector<std::string> lacking(const std::vector<std::string>& formats) {
  std::vector<std::string> lacks;
  for (const std::string_view name : abi::kKernelFormats) {
    const auto is_one = [&](const std::string& one) { return one.starts_with(name); };
    if (std::ranges::none_of(formats, is_one)) lacks.push_back(fmt::format("no {}N", name));
  }
  return lacks;
}

std::optional<std::string> what_it_lacks(const KernelImage& target) {
  const std::vector<std::string> lacks = lacking(target.formats);
  if (lacks.empty() && target.missing.empty()) return std::nullopt;
  std::string text = "it has no Live Update Orchestrator that could take over: ";
  text += fmt::format("{}", fmt::join(lacks, ", "));
  if (!lacks.empty()) text += " is in it";
  if (!lacks.empty() && !target.missing.empty()) text += "; ";
  if (!target.missing.empty()) {
    text += fmt::format("its configuration lacks {}", fmt::join(target.missing, ", "));
  }
  return text;
}

}  // namespace

bool is_version_of(std::string_view version, const RunningKernel& running) {
  return version.starts_with(running.release + " ") && version.ends_with(" " + running.version);
}

Result<RunningKernel> running_kernel(const std::string& image, const std::string& luo_blob) {
  utsname name{};
  if (::uname(&name) != 0) return fail_errno("uname");
  RunningKernel running{name.release, name.version, {}, {}, {}};
  running.cmdline = TRY(sys::read_file("/proc/cmdline"));
  const std::string path = image.empty() ? "/boot/vmlinuz-" + running.release : image;
  Result<std::vector<std::string>> formats = formats_of(path, running, luo_blob);
  if (!formats && !image.empty()) return formats.take_error();
  if (formats) {
    running.formats = formats.take();
  } else {
    running.unknown = formats.error().text();
  }
  return running;
}

std::optional<std::string> why_not_target(const KernelImage& target, std::string_view cmdline,
                                          const RunningKernel& running) {
  const bool same = is_version_of(target.version, running);
  const auto another = [&](std::string_view what) {
    return fmt::format("it is another kernel ({}) than the running one ({} {}), and {}",
                       target.version.empty() ? "of a version that can't be told" : target.version,
                       running.release, running.version, what);
  };
  if (target.unreadable.empty()) {
    if (auto lacks = what_it_lacks(target)) return lacks;
    if (running.formats.empty() && !same) {
      return another("which formats that one has isn't known (--running-kernel): " +
                     running.unknown);
    }
    if (!running.formats.empty() && running.formats != target.formats) {
      return fmt::format("it takes over {}, but the running kernel hands on {}",
                         fmt::join(target.formats, ", "), fmt::join(running.formats, ", "));
    }
  } else if (!same) {
    return another("it can't be looked into: " + target.unreadable);
  }
  const auto words = words_of(cmdline);
  for (const std::string_view word : words_of(running.cmdline)) {
    if (!word.starts_with("kho=") && !word.starts_with("liveupdate=")) continue;
    if (std::ranges::count(words, word) == 0) {
      return fmt::format("its command line lacks {}, which the running kernel has", word);
    }
  }
  return std::nullopt;
}

Status fits_command_line(const KernelImage& target, std::string_view cmdline) {
  const size_t most = target.cmdline_size != 0 ? target.cmdline_size : abi::kUsualCommandLine;
  if (cmdline.size() + 1 <= most) return {};
  return fail(E2BIG,
              "the command line, with outlived's mark, has {} bytes, the kernel takes {}: {}",
              cmdline.size(), most - 1, cmdline);
}

}  // namespace outlive::cli
