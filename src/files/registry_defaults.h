// The handlers of this release, in the order in which they are asked. For daemon/main.cc only: the
// one place that names concrete handlers.
#pragma once

#include <memory>
#include <vector>

#include "luo/file_handler.h"

namespace outlive::files {

// Appends memfd, socket, regular, and opaque, which takes what is left.
void register_default_handlers(std::vector<std::unique_ptr<luo::FileHandler>>& handlers);

}  // namespace outlive::files
