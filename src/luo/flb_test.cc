#include "luo/flb.h"

#include "luo/luo_test.h"

namespace outlive::luo {
namespace {

// memfd and pipe share "pool".
TEST(Flb, TwoHandlersShareOneOverTwoCycles) {
  LuoWorld w;
  Session& s = w.session("s");
  for (const uint64_t data : {uint64_t{700}, uint64_t{701}}) {
    const int a = w.fds.next;
    ASSERT_TRUE(
        w.preserve(s, {{1, w.fds.make(FileKind::kMemfd)}, {2, w.fds.make(FileKind::kPipe)}}));
    ASSERT_TRUE(w.preserve(s, 3, w.fds.make(FileKind::kPipe)));
    EXPECT_EQ(
        w.script.take(),
        (Journal{fmt::format("memfd.preserve {}", a), fmt::format("pool.preserve {}", data),
                 fmt::format("pipe.preserve {}", a + 1), fmt::format("pipe.preserve {}", a + 2)}));
    const uint64_t address = s.files.find(1)->flb;
    EXPECT_EQ(s.files.find(3)->flb, address);
    EXPECT_EQ(w.core->flbs().holders(address), 3u);
    EXPECT_EQ(w.core->flbs().get(w.pool, false).take(), data);
    w.core->flbs().put(w.pool, false);
    w.remove(s, {1});
    w.remove(s, {3});
    EXPECT_EQ(w.core->flbs().holders(address), 1u);
    w.script.take();
    const bool finish = data == 701;
    w.remove(s, {2}, finish);
    EXPECT_EQ(w.script.take(),
              (Journal{fmt::format("pipe.{} {}", finish ? "finish" : "unpreserve", a + 1),
                       fmt::format("pool.{} {}", finish ? "finish" : "unpreserve", data)}));
    EXPECT_EQ(w.core->flbs().get(w.pool, false).error().code, ENOENT);
    EXPECT_EQ(w.core->records().count(abi::PoolKind::kFlb), 0u);
  }
}

TEST(Flb, AllFilesInOneChangeEndIt) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, {{1, w.fds.make(FileKind::kMemfd)}, {2, w.fds.make(FileKind::kPipe)}}));
  w.script.take();
  ASSERT_TRUE(w.core->end_session(s, false));
  EXPECT_EQ(w.script.take(),
            (Journal{"pipe.unpreserve 11", "memfd.unpreserve 10", "pool.unpreserve 700"}));
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kFlb), 0u);
}

TEST(Flb, FailedPreserveFailsTheFile) {
  LuoWorld w;
  Session& s = w.session("s");
  w.script.failing["pool.preserve"] = ENOMEM;
  const Status refused = w.preserve(s, 1, w.fds.make(FileKind::kPipe));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOMEM);
  EXPECT_EQ(w.script.take(),
            (Journal{"pipe.preserve 10", "pool.preserve 700", "pipe.unpreserve 10"}));
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kFlb), 0u);
  w.script.failing.clear();
  EXPECT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
}

TEST(Flb, ADroppedBatchKeepsWhatOthersHold) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  const uint64_t address = s.files.find(1)->flb;
  w.script.failing["memfd.preserve"] = EIO;
  EXPECT_FALSE(
      w.preserve(s, {{2, w.fds.make(FileKind::kPipe)}, {3, w.fds.make(FileKind::kMemfd)}}));
  EXPECT_EQ(w.core->flbs().holders(address), 1u);
  EXPECT_EQ(w.core->flbs().get(w.pool, false).take(), 700u);
}

TEST(Flb, HoldersAreCountedAnewAtAttach) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, {{1, w.fds.make(FileKind::kMemfd)}, {2, w.fds.make(FileKind::kPipe)}}));
  ASSERT_TRUE(w.reattach());
  Session& again = *w.core->sessions().find({}, "s");
  EXPECT_EQ(w.core->flbs().holders(again.files.find(1)->flb), 2u);
  w.remove(again, {1});
  w.script.take();
  w.remove(again, {2});
  EXPECT_EQ(w.script.take(), (Journal{"pipe.unpreserve 11", "pool.unpreserve 700"}));
}

// The instance becomes the life before's.
void make_incoming(LuoWorld& w, Session& s) {
  auto* slot = w.core->records().find<abi::FlbSlot>(s.files.find(1)->flb);
  Change change(w.core->records());
  change.set(slot->flags, abi::kFlbIncoming);
  change.commit();
}

TEST(Flb, IncomingIsRetrievedOnFirstAccessAndStandsBesideAnOutgoingOne) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  make_incoming(w, s);
  w.script.take();
  EXPECT_EQ(w.core->flbs().get(w.pool, false).error().code, ENOENT);
  EXPECT_EQ(w.core->flbs().get(w.pool, true).take(), 700u);
  w.core->flbs().put(w.pool, true);
  EXPECT_EQ(w.core->flbs().get(w.pool, true).take(), 700u);
  w.core->flbs().put(w.pool, true);
  EXPECT_EQ(w.script.take(), (Journal{"pool.retrieve 700"})) << "once";
  ASSERT_TRUE(w.preserve(s, 2, w.fds.make(FileKind::kMemfd)));
  EXPECT_NE(s.files.find(2)->flb, s.files.find(1)->flb);
  EXPECT_EQ(w.core->flbs().get(w.pool, false).take(), 701u);
  EXPECT_EQ(w.core->flbs().get(w.pool, true).take(), 700u) << "two locks, not one";
  w.core->flbs().put(w.pool, false);
  w.core->flbs().put(w.pool, true);
  w.script.take();
  w.remove(s, {1}, true);
  EXPECT_EQ(w.script.take(), (Journal{"pipe.finish 10", "pool.finish 700"}));
  EXPECT_EQ(w.core->flbs().get(w.pool, false).take(), 701u);
}

TEST(Flb, AFailedRetrieveIsRememberedAndTakesNoLock) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  make_incoming(w, s);
  w.script.failing["pool.retrieve"] = ENODEV;
  EXPECT_EQ(w.core->flbs().get(w.pool, true).error().code, ENODEV);
  w.script.failing.clear();
  w.script.take();
  EXPECT_EQ(w.core->flbs().get(w.pool, true).error().code, ENODEV);
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->flbs().get(w.pool, true).error().code, ENODEV) << "for ever";
  EXPECT_TRUE(w.script.journal.empty());
}

TEST(FlbDeathTest, ASecondGetBeforePutIsOurOwnBug) {
  LuoWorld w;
  Session& s = w.session("s");
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  ASSERT_TRUE(w.core->flbs().get(w.pool, false));
  EXPECT_DEATH(static_cast<void>(w.core->flbs().get(w.pool, false)), "");
}

}  // namespace
}  // namespace outlive::luo
