// What the tests of fsck and of hostile images share: a world with something of everything.
#pragma once

#include "luo/fsck.h"
#include "luo/luo_test.h"

namespace outlive::luo {

// Sessions, files with a global state, a service with a specification and an update, subtrees.
struct FsckWorld : LuoWorld {
  FsckWorld() {
    Session& a = session("a");
    session("b", {1000, 1000, 1, 0, 0});
    EXPECT_TRUE(preserve(a, 1, fds.make(FileKind::kMemfd)));
    EXPECT_TRUE(preserve(a, 2, fds.make(FileKind::kPipe)));
    EXPECT_TRUE(preserve(a, 3, fds.make(FileKind::kTcpConnection)));
    EXPECT_TRUE(add_subtree("note", "for the next one"));
    abi::ServiceSlot& web = service("web");
    const kho::Phys spec = core->services().make_blob("{\"argv\":[]}").take();
    const kho::Phys line = Timeline::make(*arena, 1).take();
    alter([&](Change& change) {
      change.set(web.spec, spec.value);
      change.set(web.spec_size, 11);
      abi::UpdateSlot* update = change.add<abi::UpdateSlot>().take();
      update->service = core->services().address_of(web);
      update->timeline = line.value;
      update->successor = update->old = {0, -1, 0, 0, -1, -1};
      update->step = static_cast<uint64_t>(abi::UpdateStep::kDone);
      abi::ConnectionSlot* connection = change.add<abi::ConnectionSlot>().take();
      connection->fd = 900;
      connection->reply_fd = -1;
      connection->session = a.address;
    });
    fds.open[900] = FileKind::kUnixConnection;
  }
  Findings look() {
    return fsck(*core, [this](BorrowedFd fd) { return fds.open.contains(fd.get()); });
  }
  template <class S>
  S& first() {
    S* found = nullptr;
    core->records().for_each<S>([&](S& slot) {
      if (found == nullptr) found = &slot;
    });
    return *found;
  }
  abi::SlotHeader& free_slot(abi::PoolKind kind) {
    abi::SlotHeader* found = nullptr;
    core->records().for_each_slot(kind, [&](abi::SlotHeader& slot) {
      if (slot.state == 0) found = &slot;
    });
    return *found;
  }
};

inline std::string all(const Findings& findings) {
  std::string text;
  for (const Finding& one : findings.lines) text += (one.derived ? "+ " : "- ") + one.text + "\n";
  return text;
}

inline bool says(const Findings& findings, std::string_view text, bool derived) {
  return std::any_of(findings.lines.begin(), findings.lines.end(), [&](const Finding& one) {
    return one.derived == derived && one.text.find(text) != std::string::npos;
  });
}

}  // namespace outlive::luo
