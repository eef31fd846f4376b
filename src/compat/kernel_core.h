// KernelCore: luo::Core set up as a kernel's LUO: one namespace for all, the kernel's one handler,
// an arena of its own. And the only thing that a kernel has and the core hasn't: the next kernel.
//
// All sessions belong to one service record: its generation is the live update number + 1, and a
// session of an older one is incoming. So a kexec is that generation, one higher.
#pragma once

#include <memory>
#include <vector>

#include "compat/compat.h"
#include "luo/core.h"
#include "luo/no_updates.h"

namespace outlive::compat {

class KernelCore {
 public:
  static Result<std::unique_ptr<KernelCore>> create(Kernel kernel);
  ~KernelCore();

  luo::Core& core() { return *core_; }
  luo::Caller caller();
  uint64_t number();  // of live updates so far

  // As reboot(LINUX_REBOOT_CMD_KEXEC): files are frozen, first to last (an error unfreezes them,
  // and nothing has changed), and carried over; what was incoming and is still unclaimed is lost.
  Status kexec();

 private:
  explicit KernelCore(Kernel kernel);
  luo::Context context();
  abi::ServiceSlot& service();
  std::vector<luo::Session*> sessions(luo::Direction direction);
  // A new file for every preserved one, in their order.
  Result<std::vector<UniqueFd>> carry_over_all(const std::vector<abi::FileSlot*>& files);
  Status replace(const std::vector<abi::FileSlot*>& files, std::vector<UniqueFd> made);

  Kernel kernel_;
  luo::NoUpdates no_updates_;
  std::vector<std::unique_ptr<luo::FileHandler>> handlers_;
  UniqueFd arena_file_;
  std::unique_ptr<kho::Arena> arena_;
  std::unique_ptr<luo::Core> core_;
  uint64_t service_ = 0;  // address of the record
};

}  // namespace outlive::compat
