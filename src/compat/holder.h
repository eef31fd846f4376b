// Holder: the process in which a device lives. It answers its supervisors, one request at a time.
//
// Happy path:   spawn() for a device of one run: it ends with its only connection.
//               ensure() for a named one: listens until it is stopped.
// Unhappy path: a supervisor dies: its connection is dropped, its programs' descriptors hang up by
//               themselves. The holder is killed: all that it held is gone.
#pragma once

#include <map>
#include <memory>

#include "compat/device.h"
#include "compat/link.h"

namespace outlive::compat {

class Holder {
 public:
  // A process of its own, and the connection to it.
  static Result<Link> spawn(Kernel kernel);
  // Connects to the device with this socket; makes it when there is none.
  static Result<Link> ensure(const std::string& socket, Kernel kernel);

 private:
  Holder(std::unique_ptr<Device> device, UniqueFd listener, std::string path)
      : device_(std::move(device)), listener_(std::move(listener)), path_(std::move(path)) {}
  [[noreturn]] static void live(Kernel kernel, UniqueFd connection, UniqueFd listener,
                                std::string path);
  Status watch(BorrowedFd fd);
  Status run();
  void accept_one();
  void serve(int connection);
  abi::CompatAnswer answer(const abi::CompatAsk& ask, UniqueFd file, UniqueFd* fd);
  Status request(const abi::CompatAsk& ask, UniqueFd file, abi::CompatAnswer* answer, UniqueFd* fd);

  std::unique_ptr<Device> device_;
  UniqueFd listener_;  // of a named device
  std::string path_;
  UniqueFd epoll_;
  std::map<int, UniqueFd> connections_;
  bool stopping_ = false;
};

}  // namespace outlive::compat
