#include "cli/launch_options.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/sys.h"

namespace outlive::cli {
namespace {

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";

std::string search_path() {
  const char* path = ::getenv("PATH");
  return path != nullptr && *path != '\0' ? path : kDefaultPath;
}

bool is_program(const std::string& path) {
  struct stat facts = {};
  return ::stat(path.c_str(), &facts) == 0 && S_ISREG(facts.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

bool belongs_to_caller(const std::string& variable) {
  for (const char* prefix : {"NOTIFY_SOCKET=", "LISTEN_", "OUTLIVE_", "WATCHDOG_"}) {
    if (variable.starts_with(prefix)) return true;
  }
  return false;
}

// "HOST:PORT" or "[V6]:PORT".
Status check_host_port(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) {
    return fail(EINVAL,
                "'{}' is no address: write HOST:PORT, tcp:HOST:PORT, udp:HOST:PORT or "
                "unix:PATH",
                text);
  }
  const std::string_view port = std::string_view(text).substr(colon + 1);
  unsigned value = 0;
  const auto [rest, code] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (code != std::errc() || rest != port.data() + port.size() || value > 65535) {
    return fail(EINVAL, "'{}': the port '{}' is no number up to 65535", text, port);
  }
  const std::string host = text.substr(0, colon);
  if (host.find(':') != std::string::npos && !(host.starts_with('[') && host.ends_with(']'))) {
    return fail(EINVAL, "'{}': an IPv6 address stands in brackets: [::1]:80", text);
  }
  return {};
}

}  // namespace

Result<std::string> working_directory() {
  char path[PATH_MAX];
  if (::getcwd(path, sizeof path) == nullptr) return fail_errno("the current folder");
  return std::string(path);
}

Result<std::vector<std::string>> launch_argv(std::vector<std::string> words) {
  std::string& program = words.front();
  if (program.find('/') != std::string::npos) {
    struct stat facts = {};
    if (::stat(program.c_str(), &facts) != 0) return fail_errno(program);
    if (!is_program(program)) {
      return fail(EACCES, "{}: can't be run: is it a program, and executable?", program);
    }
    if (!program.starts_with('/')) {
      const std::string folder = TRY(working_directory());
      program = folder + "/" + program;
    }
    return words;
  }
  const std::string path = search_path() + ":";
  for (size_t start = 0, colon; (colon = path.find(':', start)) != path.npos; start = colon + 1) {
    const std::string candidate = path.substr(start, colon - start) + "/" + program;
    if (candidate.starts_with('/') && is_program(candidate)) {
      program = candidate;
      return words;
    }
  }
  return fail(ENOENT, "'{}': no such program in $PATH", program);
}

Result<std::vector<std::string>> launch_environment(const std::vector<std::string>& extra,
                                                    bool clean) {
  std::vector<std::string> environment;
  for (char** variable = environ; !clean && *variable != nullptr; ++variable) {
    if (!belongs_to_caller(*variable)) environment.emplace_back(*variable);
  }
  if (clean) environment.push_back("PATH=" + search_path());
  for (const std::string& text : extra) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(EINVAL, "--env '{}': write NAME=VALUE", text);
    }
    const std::string name = text.substr(0, equals + 1);
    std::erase_if(environment, [&](const std::string& old) { return old.starts_with(name); });
    environment.push_back(text);
  }
  return environment;
}

Result<std::string> listen_address(const std::string& text) {
  std::string name;
  std::string address = text;
  // A name is a word before '='; a path may have a '=' too, behind its "unix:".
  const size_t equals = text.find('=');
  if (equals != std::string::npos && equals < text.find_first_of(":/")) {
    name = text.substr(0, equals + 1);
    address = text.substr(equals + 1);
    if (equals == 0) return fail(EINVAL, "--listen '{}': the name before '=' is empty", text);
  }
  if (address.starts_with("unix:")) {
    std::string path = address.substr(5);
    if (path.empty()) return fail(EINVAL, "--listen '{}': the path is missing", text);
    if (!path.starts_with('/') && !path.starts_with('@')) {
      const std::string folder = TRY(working_directory());
      path = folder + "/" + path;
    }
    TRY(sys::unix_address(path).context("--listen"));
    return name + "unix:" + path;
  }
  const bool udp = address.starts_with("udp:");
  if (udp || address.starts_with("tcp:")) address.erase(0, 4);
  TRY(check_host_port(address).context("--listen"));
  return fmt::format("{}{}:{}", name, udp ? "udp" : "tcp", address);
}

}  // namespace outlive::cli
