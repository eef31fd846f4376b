// One message of abi/compat.h, with at most one descriptor.
#pragma once

#include <optional>
#include <span>

#include "abi/compat.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace outlive::compat {

Status send_packet(BorrowedFd socket, std::span<const std::byte> bytes, BorrowedFd fd);

struct Packet {
  bool closed = false;  // the other side has left
  UniqueFd fd;
};
// EPROTO: it isn't `bytes` long, or of another version.
Result<Packet> receive_packet(BorrowedFd socket, std::span<std::byte> bytes);

template <typename T>
std::span<const std::byte> packet_bytes(const T& message) {
  return std::as_bytes(std::span(&message, 1));
}
template <typename T>
std::span<std::byte> writable_packet(T& message) {
  return std::as_writable_bytes(std::span(&message, 1));
}

}  // namespace outlive::compat
