#include "files/socket/socket_handler.h"

namespace outlive::files {

bool SocketHandler::can_preserve(const luo::FileFacts& facts) const {
  using luo::FileKind;
  switch (facts.kind) {
    case FileKind::kUnixListener:
    case FileKind::kUnixConnection:
    case FileKind::kUnixPair:
    case FileKind::kUnixDatagram:
    case FileKind::kTcpListener:
    case FileKind::kTcpConnection:
    case FileKind::kUdp:
    case FileKind::kOtherSocket:
      return true;
    default:
      return false;
  }
}

}  // namespace outlive::files
