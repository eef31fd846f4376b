#include "files/registry_defaults.h"

#include "files/memfd/memfd_handler.h"
#include "files/opaque/opaque_handler.h"
#include "files/regular/regular_handler.h"
#include "files/socket/socket_handler.h"

namespace outlive::files {

void register_default_handlers(std::vector<std::unique_ptr<luo::FileHandler>>& handlers) {
  handlers.push_back(std::make_unique<MemfdHandler>());
  handlers.push_back(std::make_unique<SocketHandler>());
  handlers.push_back(std::make_unique<RegularHandler>());
  handlers.push_back(std::make_unique<OpaqueHandler>());
}

}  // namespace outlive::files
