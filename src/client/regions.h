// The regions that a client has open, and what an update forbids with them:
//
//   successor or restarted, until committed   writable() is EPERM: the old one may still go on
//   old one, from its answer to prepare until cancel or the next commit   no growth: a preserved
//                                             file must not change its size any more
//
// Shared by a client, its sessions and the regions opened through them, since each may live longer
// than the others.
#pragma once

#include <memory>
#include <vector>

#include "client/memory.h"

namespace outlive::client {

class Regions : public std::enable_shared_from_this<Regions> {
 public:
  // What holds now holds for this one too. The answer unregisters it when it is destroyed; that
  // must be before the Memory is.
  std::shared_ptr<void> add(Memory& memory);

  void hold_writes(bool held);
  void forbid_growth(bool forbidden);

 private:
  std::vector<Memory*> all_;
  bool writes_held_ = false;
  bool growth_forbidden_ = false;
};

}  // namespace outlive::client
