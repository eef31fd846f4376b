// KeepHandler: the verbs of every handler that *keeps*: the held open file is handed out as it is,
// and nothing is changed in it, so there is nothing to undo.
#pragma once

#include "files/survival.h"
#include "luo/file_handler.h"

namespace outlive::files {

class KeepHandler : public luo::FileHandler {
 public:
  abi::SurvivalClass survival(const luo::FileFacts& facts) const override {
    return survival_class(facts);
  }
  Result<luo::Preserved> preserve(BorrowedFd, const luo::FileFacts&) override {
    return luo::Preserved{};
  }
  void unpreserve(const luo::FileState&) override {}
  Status freeze(luo::FileState&) override { return {}; }
  void unfreeze(luo::FileState&) override {}
  Result<BorrowedFd> retrieve(const luo::FileState& file) override { return file.fd; }
  Status can_finish(const luo::FileState&) const override { return {}; }
  void finish(const luo::FileState&) override {}
};

}  // namespace outlive::files
