// OpaqueHandler: any open file that no other handler knows, "outlive-opaque-v1": it is held and
// handed on as it is. Register it last: it takes everything.
#pragma once

#include "files/keep_handler.h"

namespace outlive::files {

class OpaqueHandler : public KeepHandler {
 public:
  const char* compatible() const override { return "outlive-opaque-v1"; }
  bool can_preserve(const luo::FileFacts&) const override { return true; }
};

}  // namespace outlive::files
