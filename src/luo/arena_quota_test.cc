// Who may take how much of the arena: each kind of request at the limit, and what gives room again.
#include "luo/arena_quota.h"

#include "luo/update_host_test.h"
#include "luo/usage.h"

namespace outlive::luo {
namespace {

constexpr uint64_t kSession = sizeof(abi::SessionSlot);
constexpr uint64_t kFile = sizeof(abi::FileSlot);
constexpr uint64_t kSubtree = sizeof(abi::ClientSubtreeSlot);
constexpr uint64_t kRecord = sizeof(abi::UpdateSlot) + abi::kPageSize;  // of an update that is over

void limit(LuoWorld& w, uint64_t bytes, uint64_t uid = 0) {
  Limits limits = w.core->context().limits;
  limits.arena_bytes = bytes;
  w.core->context().limits_by_uid[uid] = limits;
}

Error create(LuoWorld& w, std::string_view name, uint64_t uid = 0) {
  Change change(w.core->records());
  const auto made = w.core->sessions().create(change, {.uid = uid}, name, 0);
  return made ? Error{0, ""} : made.error();
}

void expect_counted(LuoWorld& w) {
  for (const auto& [uid, is] : usage_by_uid(w.core->records())) {
    EXPECT_EQ(w.core->arena_quota().bytes_of(uid), is.arena_bytes) << uid;
  }
}

TEST(ArenaQuota, WhatIsOverTheLimitIsRefusedAndChangesNothing) {
  LuoWorld w;
  limit(w, 2 * kSession + 3 * kFile);
  Session& s = w.session("s");
  w.session("t");
  EXPECT_EQ(create(w, "t").code, EEXIST) << "asked first";
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  const std::string before = kho::structure(*w.arena);
  const Status refused = w.preserve(s, {{2, w.fds.make(FileKind::kPipe)},
                                        {3, w.fds.make(FileKind::kPipe)},
                                        {4, w.fds.make(FileKind::kPipe)}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EDQUOT);
  for (const std::string_view text : {"session 's'", "uid 0", "arena-bytes-per-uid"}) {
    EXPECT_NE(refused.error().message.find(text), std::string::npos) << refused.error().message;
  }
  EXPECT_EQ(kho::structure(*w.arena), before);
  ASSERT_TRUE(w.preserve(s, {{2, w.fds.make(FileKind::kPipe)}, {3, w.fds.make(FileKind::kPipe)}}));
  EXPECT_EQ(w.core->arena_quota().bytes_of(0), 2 * kSession + 3 * kFile);
  EXPECT_EQ(w.preserve(s, 9, w.fds.make(FileKind::kPipe)).error().code, EDQUOT);
  EXPECT_EQ(create(w, "u").code, EDQUOT);
  EXPECT_EQ(w.add_subtree("note", "x").error().code, EDQUOT);
  EXPECT_EQ(create(w, "u", 1).code, 0) << "another user";
  w.remove(s, {1});
  EXPECT_TRUE(w.preserve(s, 9, w.fds.make(FileKind::kPipe)));
  ASSERT_TRUE(w.core->end_session(s, false));
  EXPECT_EQ(w.core->arena_quota().bytes_of(0), kSession);
  expect_counted(w);
}

TEST(ArenaQuota, SubtreesAreChargedWithTheirPages) {
  LuoWorld w;
  limit(w, 3 * (kSubtree + abi::kPageSize));
  ASSERT_TRUE(w.add_subtree("a", ""));
  EXPECT_EQ(w.core->arena_quota().bytes_of(0), kSubtree + abi::kPageSize);
  EXPECT_EQ(w.add_subtree("b", std::string(9000, 'x')).error().code, EDQUOT) << "four pages";
  ASSERT_TRUE(w.add_subtree("b", std::string(5000, 'x')));
  EXPECT_EQ(w.core->arena_quota().bytes_of(0), 2 * kSubtree + 3 * abi::kPageSize);
  EXPECT_EQ(w.add_subtree("c", "x").error().code, EDQUOT);
  EXPECT_EQ(w.add_subtree("a", std::string(5000, 'x')).error().code, EDQUOT);
  limit(w, 1);
  EXPECT_TRUE(w.add_subtree("b", std::string(8192, 'y'))) << "takes no more than it had";
  EXPECT_TRUE(w.add_subtree("b", "y"));
  ASSERT_TRUE(w.remove_subtree("a"));
  EXPECT_EQ(w.core->arena_quota().bytes_of(0), kSubtree + abi::kPageSize);
  expect_counted(w);
}

TEST(ArenaQuota, ZeroIsASixteenthOfTheArena) {
  LuoWorld w(1 << 20);
  limit(w, 0, 7);
  EXPECT_EQ(w.core->arena_quota().limit_of(7), uint64_t{1} << 16);
  EXPECT_EQ(w.core->arena_quota().limit_of(0), kNoLimit);
  uint64_t fitted = 0;
  while (w.add_subtree(fmt::format("n{}", fitted), "x", {.uid = 7})) ++fitted;
  EXPECT_EQ(fitted, (uint64_t{1} << 16) / (kSubtree + abi::kPageSize));
}

TEST(ArenaQuota, WhoComesNextCountsTheSame) {
  LuoWorld w;
  Session& s = w.session("s", {.uid = 7});
  for (uint64_t token = 0; token < 40; ++token) {
    ASSERT_TRUE(w.preserve(s, token, w.fds.make(FileKind::kPipe)));
  }
  ASSERT_TRUE(w.add_subtree("note", std::string(5000, 'x'), {.uid = 7}));
  abi::ServiceSlot& service = w.service("web", {.uid = 7});
  const uint64_t spec = w.core->services().make_blob(std::string(9000, 's')).take().value;
  const uint64_t timeline = Timeline::make(*w.arena, 1).take().value;
  w.alter([&](Change& change) {
    change.set(service.spec, spec);
    change.set(service.spec_size, 9000);
    auto* update = change.add<abi::UpdateSlot>().take();
    update->service = w.core->services().address_of(service);
    update->step = static_cast<uint64_t>(abi::UpdateStep::kDone);
    update->successor = update->old = {0, -1, 0, 0, -1, -1};
    update->timeline = timeline;
  });
  const uint64_t charged = kSession + 40 * kFile + kSubtree + 2 * abi::kPageSize +
                           sizeof(abi::ServiceSlot) + 4 * abi::kPageSize + kRecord;
  EXPECT_EQ(w.core->arena_quota().bytes_of(7), charged);
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->arena_quota().bytes_of(7), charged);
  EXPECT_EQ(w.core->arena_quota().bytes_of(8), 0u);
  expect_counted(w);
}

// The new version's record and specification, and one page for the timeline.
TEST(ArenaQuota, AnUpdateForgetsEarlierOnesRatherThanToFail) {
  UpdateWorld w;
  const auto update = [&] {
    return w.updates().begin(w.service(), {.spec = "v2", .request_id = {5, ++w.requests}});
  };
  w.fake.start_error = ENOENT;  // each is over at once
  for (int i = 0; i < 5; ++i) {
    const auto begun = update();
    ASSERT_TRUE(begun) << begun.error().message;
    EXPECT_EQ((*begun)->spec, 0u);
    expect_counted(w);
  }
  w.fake.start_error = 0;
  ASSERT_EQ(w.core->records().count(abi::PoolKind::kUpdate), 5u);
  const uint64_t now = w.core->arena_quota().bytes_of(0);
  limit(w, now + abi::kPageSize - 4 * kRecord - 1);  // a byte short, with all of them forgotten
  const auto refused = update();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EDQUOT);
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kUpdate), 5u) << "nothing is forgotten for it";
  limit(w, now + abi::kPageSize - 2 * kRecord);
  w.begin();
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kUpdate), 3u);
  EXPECT_EQ(w.core->arena_quota().bytes_of(0), now + abi::kPageSize - 2 * kRecord);
  w.launched();
  ASSERT_TRUE(w.answer(UpdateWorld::kNew, 2, abi::Step::kStart));
  w.old_answers(abi::Step::kPrepare);
  w.old_answers(abi::Step::kFreeze);
  w.successor_answers(abi::Step::kAdopt);
  EXPECT_NE(w.service().previous_spec, 0u);
  expect_counted(w);
}

}  // namespace
}  // namespace outlive::luo
