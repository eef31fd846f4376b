#include "luo/grants.h"

#include "luo/luo_test.h"

namespace outlive::luo {
namespace {

Grant grant(std::string_view name, uint64_t owner, std::vector<uint64_t> uids,
            std::vector<uint64_t> gids = {}) {
  Grant made{{}, false, owner, std::move(uids), std::move(gids)};
  EXPECT_TRUE(parse_granted_name(name, made)) << name;
  return made;
}

Caller of_groups(std::vector<uint64_t> groups) {
  Caller caller{.uid = 9, .gid = 9};
  caller.groups = std::make_shared<const std::vector<uint64_t>>(std::move(groups));
  return caller;
}

// One that nobody holds: incoming, as after the death of its holder.
void leave(LuoWorld& w, uint64_t uid, std::string_view name, uint64_t flags = 0) {
  Change change(w.core->records());
  auto made = w.core->sessions().create(change, {.uid = uid}, name, flags);
  ASSERT_TRUE(made) << made.error().message;
  (*made)->generation = abi::kIncomingGeneration;
  change.commit();
  w.core->sessions().index(**made);
}

TEST(Grants, Names) {
  const Grant whole = grant("web", 1, {2});
  EXPECT_TRUE(whole.covers("web"));
  for (const char* other : {"we", "webs", "Web", ""}) EXPECT_FALSE(whole.covers(other)) << other;
  const Grant prefix = grant("web-*", 1, {2});
  EXPECT_TRUE(prefix.covers("web-1"));
  EXPECT_TRUE(prefix.covers("web-"));
  EXPECT_FALSE(prefix.covers("web"));
  EXPECT_TRUE(grant("*", 1, {2}).covers("anything"));
  EXPECT_FALSE(grant("*", 1, {2}).covers("@store")) << "outlived's own";
  Grant bad;
  for (const char* text : {"", "@store", "@*", "a\nb", "\xff*"}) {
    EXPECT_FALSE(parse_granted_name(text, bad)) << text;
  }
}

TEST(Grants, WhomTheyAreFor) {
  const Grant one = grant("s", 1, {2}, {50});
  EXPECT_TRUE(one.is_for({.uid = 2, .gid = 7}));
  EXPECT_TRUE(one.is_for({.uid = 3, .gid = 50})) << "the primary group";
  EXPECT_TRUE(one.is_for(of_groups({4, 50})));
  EXPECT_FALSE(one.is_for({.uid = 3, .gid = 2})) << "a gid is no uid";
  EXPECT_FALSE(one.is_for({.uid = 50, .gid = 3})) << "a uid is no gid";
  EXPECT_FALSE(one.is_for(of_groups({2, 4})));
}

TEST(Grants, AWholeNameComesBeforeALongerPrefixBeforeAShorterOne) {
  Grants grants;
  grants.add(grant("*", 10, {2}));
  grants.add(grant("web-*", 11, {2}));
  grants.add(grant("web-1", 12, {2}));
  grants.add(grant("web-1*", 13, {2}));
  grants.add(grant("web-1", 14, {3}));
  EXPECT_EQ(grants.owners({.uid = 2}, "web-1"), (std::vector<uint64_t>{12, 13, 11, 10}));
  EXPECT_EQ(grants.owners({.uid = 2}, "x"), (std::vector<uint64_t>{10}));
  EXPECT_EQ(grants.owners({.uid = 4}, "web-1"), (std::vector<uint64_t>{}));
  EXPECT_TRUE(grants.allows({.uid = 2}, 13, "web-1"));
  EXPECT_FALSE(grants.allows({.uid = 2}, 14, "web-1")) << "another's grant";
}

TEST(Grants, GiveAWayToTheSessionAndNothingElse) {
  LuoWorld w;
  w.core->context().grants.add(grant("web-*", 1, {2}));
  Sessions& sessions = w.core->sessions();
  leave(w, 1, "web-1");
  leave(w, 1, "db");
  const Caller friendly{.uid = 2};
  const Caller stranger{.uid = 3};
  const auto found = sessions.retrieve(friendly, "web-1");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ((*found)->uid, 1u) << "it stays its owner's";
  EXPECT_EQ(sessions.retrieve(friendly, "db").error().code, ENOENT);
  EXPECT_EQ(sessions.retrieve(stranger, "web-1").error().code, ENOENT);
  EXPECT_EQ(sessions.retrieve(stranger, "web-1").error().message, "no incoming session 'web-1'");
  EXPECT_NE(sessions.find(friendly, "web-1"), nullptr);
  EXPECT_EQ(sessions.find(friendly, "db"), nullptr);
  EXPECT_EQ(sessions.find(stranger, "web-1"), nullptr);
  EXPECT_TRUE(sessions.sees(friendly, **found));
  EXPECT_FALSE(sessions.sees(stranger, **found));
  leave(w, 2, "web-1");
  EXPECT_EQ((*sessions.retrieve(friendly, "web-1"))->uid, 2u) << "its own comes first";
  EXPECT_EQ(sessions.find(friendly, "web-1")->uid, 2u);
}

TEST(Grants, NoneIsForWhatIsOutlivedsOwn) {
  LuoWorld w;
  w.core->context().grants.add(grant("*", 1, {2}));
  leave(w, 1, "@1.store", abi::kSessionInternal);
  leave(w, 1, "inside", abi::kSessionInternal);
  Sessions& sessions = w.core->sessions();
  for (const char* name : {"@1.store", "inside"}) {
    EXPECT_EQ(sessions.retrieve({.uid = 2}, name).error().code, ENOENT) << name;
    EXPECT_EQ(sessions.find({.uid = 2}, name), nullptr) << name;
    EXPECT_FALSE(sessions.sees({.uid = 2}, *sessions.find({.uid = 1}, name))) << name;
  }
}

}  // namespace
}  // namespace outlive::luo
