// The commands: one row and one function each. They know the store and a clock, no sockets.
#pragma once

#include <functional>
#include <string>

#include "resp.h"
#include "store.h"

#ifndef KV_VERSION
#define KV_VERSION 1
#endif

namespace kv {

struct Call {
  Store& store;
  const Arguments& arguments;
  uint64_t now_ms;
  std::string* out;  // the reply is appended
  const std::function<std::string()>& server_info;
  bool quit = false;  // set by QUIT: close when the reply is sent
};

// Runs one request (at least one argument) and appends its one reply.
void execute(Call& call);

}  // namespace kv
