#include "base/check.h"

#include <stdlib.h>

#include "base/log.h"

namespace outlive {

void check_failed(const char* expression, const char* file, int line) {
  log_error("CHECK failed: {} ({}:{})", expression, file, line);
  abort();
}

}  // namespace outlive
