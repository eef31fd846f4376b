#include "channel.h"

#include <dirent.h>
#include <time.h>

#include <array>
#include <memory>

#include "base/sys.h"

namespace outlive::guest {
namespace {

constexpr char kPorts[] = "/sys/class/virtio-ports";
constexpr int kPatienceMs = 60'000;  // an emulated machine on a busy one

// The device of the port that calls itself `name`; empty: not yet.
std::string find_port(std::string_view name) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(kPorts), closedir);
  if (folder == nullptr) return {};
  while (const dirent* entry = readdir(folder.get())) {
    const std::string port = entry->d_name;
    if (port.starts_with('.')) continue;
    const auto its_name = sys::read_file(fmt::format("{}/{}/name", kPorts, port));
    if (its_name && *its_name == std::string(name) + "\n") return "/dev/" + port;
  }
  return {};
}

Request split(std::string_view line) {
  Request words(1);
  for (const char c : line) {
    if (c == '\0') {
      words.emplace_back();
    } else {
      words.back().push_back(c);
    }
  }
  return words;
}

}  // namespace

Result<Channel> Channel::open(std::string_view name) {
  // The kernel adds ports from a work queue and tells nobody when it is done: ask until it is
  // there.
  for (int waited = 0; waited < kPatienceMs; ++waited) {
    if (const std::string device = find_port(name); !device.empty()) {
      UniqueFd port = TRY(sys::open(device, O_RDWR));
      return Channel(std::move(port));
    }
    const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
    nanosleep(&pause, nullptr);
  }
  return fail(ENODEV, "no virtio port is called '{}'", name);
}

Result<Request> Channel::receive() {
  size_t end = 0;
  while ((end = unread_.find('\n')) == std::string::npos) {
    std::array<std::byte, 4096> buffer;
    const size_t got = TRY(sys::read(port_.borrow(), buffer));
    if (got == 0) return fail(ECONNRESET, "nobody is at the other end of the port");
    unread_.append(reinterpret_cast<const char*>(buffer.data()), got);
  }
  const Request request = split(std::string_view(unread_).substr(0, end));
  unread_.erase(0, end + 1);
  return request;
}

Status Channel::send(std::string_view header, std::string_view payload) {
  return sys::write_all(port_.borrow(), fmt::format("{}\n{}", header, payload));
}

}  // namespace outlive::guest
