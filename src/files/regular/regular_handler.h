// RegularHandler: regular files and directories, "outlive-regular-v1". The same file may be
// preserved by many: they are many open files.
//
// It records no size: asking for one may wait for a file system that never answers, and a file in
// a file system, unlike memory, may change under its users at any time.
#pragma once

#include "files/keep_handler.h"

namespace outlive::files {

class RegularHandler : public KeepHandler {
 public:
  const char* compatible() const override { return "outlive-regular-v1"; }
  bool can_preserve(const luo::FileFacts& facts) const override {
    return facts.kind == luo::FileKind::kRegular || facts.kind == luo::FileKind::kDirectory;
  }
};

}  // namespace outlive::files
