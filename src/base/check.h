// CHECK: an invariant of our own. Never on anything that a peer, a file or an image can cause:
// those make an Error. A failed CHECK logs and aborts; the keeper starts another worker.
#pragma once

namespace outlive {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}

#define CHECK(expression)                                       \
  do {                                                          \
    if (!(expression)) [[unlikely]]                             \
      ::outlive::check_failed(#expression, __FILE__, __LINE__); \
  } while (false)
