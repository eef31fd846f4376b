// What touches several parts: the n-th failure of every operation, and subtrees in every state.
#include "luo/core.h"

#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

// A world in which each operation below has something to do.
struct Furnished : LuoWorld {
  Furnished() : LuoWorld(1 << 20) {
    Session& s = session("s");
    EXPECT_TRUE(preserve(s, 1, fds.make(FileKind::kTcpConnection)));
    EXPECT_TRUE(add_subtree("note", "old"));
    // Pools are full, so that the operations have to grow them.
    while (core->records().count(abi::PoolKind::kFile) % 26 != 0) {
      EXPECT_TRUE(preserve(s, 100 + s.files.size(), fds.make(FileKind::kTcpConnection)));
    }
    for (int i = 0; core->records().count(abi::PoolKind::kSession) % 20 != 0; ++i) {
      session(fmt::format("fill{}", i).c_str());
    }
    for (int i = 0; core->records().count(abi::PoolKind::kClientSubtree) % 31 != 0; ++i) {
      EXPECT_TRUE(add_subtree(fmt::format("fill{}", i), "x"));
    }
  }
  Session& s() { return *core->sessions().find({}, "s"); }
};

struct Operation {
  const char* name;
  std::function<Status(Furnished&)> run;
};

const std::vector<Operation>& operations() {
  static const std::vector<Operation> list = {
      {"create session",
       [](Furnished& w) -> Status {
         Change change(w.core->records());
         TRY(w.core->sessions().create(change, {}, "new", 0));
         change.commit();
         return {};
       }},
      {"preserve one with global state",
       [](Furnished& w) { return w.preserve(w.s(), 50, w.fds.make(FileKind::kMemfd)); }},
      {"preserve three",
       [](Furnished& w) {
         return w.preserve(w.s(), {{50, w.fds.make(FileKind::kMemfd)},
                                   {51, w.fds.make(FileKind::kPipe)},
                                   {52, w.fds.make(FileKind::kTcpConnection)}});
       }},
      {"add subtree", [](Furnished& w) { return w.add_subtree("new", std::string(9000, 'n')); }},
      {"replace subtree",
       [](Furnished& w) { return w.add_subtree("note", std::string(9000, 'n')); }},
      {"kho subtree",
       [](Furnished& w) -> Status {
         const std::vector<std::byte> blob(5000, std::byte{1});
         TRY(w.core->fdt().add_subtree_blob("mine", blob));
         return {};
       }},
      {"blob",
       [](Furnished& w) -> Status {
         TRY(w.core->services().make_blob(std::string(5000, 'b')));
         return {};
       }},
  };
  return list;
}

// Pool pages that a failed operation has grown stay (empty, reached): they are no leak. All other
// structure is byte for byte what it was.
std::string visible(Furnished& w) {
  std::string all;
  w.core->sessions().for_each([&](Session& s) {
    all += s.name + ":";
    for (const auto* slot : s.files.ordered()) all += fmt::format("{},", slot->token);
  });
  w.core->subtrees().for_each([&](const abi::ClientSubtreeSlot& slot) {
    all += fmt::format("{}={} ", slot.name, w.subtree(slot.name));
  });
  all += fmt::format("flbs {} ", w.core->records().count(abi::PoolKind::kFlb));
  all += fmt::format("uid files {}", w.core->files().count_of(0));
  return all;
}

TEST(Core, TheNthFailureOfEveryOperationLeavesNothing) {
  for (const Operation& operation : operations()) {
    for (const char* point :
         {"luo.slot", "luo.preserve", "kho.alloc", "kho.preserve", "kho.subtree"}) {
      for (int n = 0;; ++n) {
        Furnished w;
        const std::string before = kho::structure(*w.arena);
        const std::string seen = visible(w);
        const uint64_t pools = w.arena->pages_of(abi::kOwnerRecords);
        const std::string fdt(reinterpret_cast<const char*>(w.core->fdt().bytes().data()),
                              w.core->fdt().bytes().size());
        w.script.take();
        int hits = 0;
        Status done;
        {
          kho::FailNth fail(point, n, ENOMEM);
          done = operation.run(w);
          hits = fail.hits();
        }
        const std::string what = fmt::format("{}: {} {}", operation.name, point, n);
        if (hits <= n) {
          EXPECT_TRUE(done) << what;
          break;
        }
        ASSERT_FALSE(done) << what;
        EXPECT_EQ(done.error().code, ENOMEM) << what;
        EXPECT_EQ(visible(w), seen) << what;
        EXPECT_EQ(std::string(reinterpret_cast<const char*>(w.core->fdt().bytes().data()),
                              w.core->fdt().bytes().size()),
                  fdt)
            << what;
        if (w.arena->pages_of(abi::kOwnerRecords) == pools) {
          EXPECT_EQ(kho::structure(*w.arena), before) << what;
        }
        kho::expect_consistent(*w.arena);
        expect_free_slots_zero(*w.arena, w.core->records());
        // Every preserve that a handler did was undone.
        int balance = 0;
        for (const std::string& line : w.script.take()) {
          balance += line.find(".preserve") != line.npos;
          balance -= line.find(".unpreserve") != line.npos;
        }
        EXPECT_EQ(balance, 0) << what;
        EXPECT_TRUE(operation.run(w)) << what << ": works afterwards";
        ASSERT_TRUE(w.reattach()) << what;
      }
    }
  }
}

// ---- every state ----

void subtrees_work(UpdateWorld& w, const char* state) {
  ASSERT_TRUE(w.add_subtree("mine", "one")) << state;
  ASSERT_TRUE(w.add_subtree("mine", "two")) << state;
  EXPECT_EQ(w.subtree("mine"), "two") << state;
  ASSERT_TRUE(w.remove_subtree("mine")) << state;
  const std::vector<std::byte> blob(100, std::byte{7});
  ASSERT_TRUE(w.core->fdt().add_subtree_blob("x", blob)) << state;
  ASSERT_TRUE(w.core->fdt().find_subtree("x")) << state;
  ASSERT_TRUE(w.core->fdt().remove_subtree_blob("x")) << state;
  kho::expect_consistent(*w.arena);
}

TEST(Core, SubtreesWorkInEveryState) {
  UpdateWorld w;
  EXPECT_EQ(w.state(), State::kNormal);
  subtrees_work(w, "normal");
  w.begin();
  subtrees_work(w, "normal, starting");
  w.successor_ready();
  EXPECT_EQ(w.state(), State::kPrepared);
  subtrees_work(w, "prepared");
  w.old_answers(abi::Step::kPrepare);
  EXPECT_EQ(w.state(), State::kFrozen);
  subtrees_work(w, "frozen");
  w.old_answers(abi::Step::kFreeze);
  EXPECT_EQ(w.state(), State::kFrozen);
  subtrees_work(w, "frozen, offered");
  w.successor_answers(abi::Step::kAdopt);
  EXPECT_EQ(w.state(), State::kUpdated);
  subtrees_work(w, "updated");
}

}  // namespace
}  // namespace outlive::luo
