// The guest's side of the line to tests/kernel/machine.py: a virtio port, one request at a time.
//
//   request  words, each but the last followed by NUL, and a newline
//   reply    a header line, and for `out` so many bytes:
//              ready STAGE    after every boot; the first kernel is stage 1
//              out SIZE       what a program said, or a file holds; any number of them
//              exit STATUS    the end of a program (0 for a file that was read)
//              signal NUMBER  the same, killed
//              error TEXT     the request failed
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::guest {

using Request = std::vector<std::string>;

class Channel {
 public:
  // Opens the port called `name`, which appears some time after the kernel has started.
  static Result<Channel> open(std::string_view name);

  // The next request; blocks. ECONNRESET: the other side is gone.
  Result<Request> receive();
  Status send(std::string_view header, std::string_view payload = {});

 private:
  explicit Channel(UniqueFd port) : port_(std::move(port)) {}
  UniqueFd port_;
  std::string unread_;
};

}  // namespace outlive::guest
