// What a socket of our own table tells of itself without its lock being taken: options that are
// plain loads, poll, and the names of Unix sockets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "luo/file_handler.h"

namespace outlive::files {

// Sets kind, connected and detail. False, and nothing is set: it is a socket's path (O_PATH).
bool add_socket_facts(BorrowedFd fd, luo::FileFacts& facts);

// The name in a sun_path of `length` bytes, for people: "@name" for an abstract one, "" for none.
std::string unix_name(std::string_view path);

}  // namespace outlive::files
