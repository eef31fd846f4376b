#include "luo/session.h"

#include "luo/luo_test.h"

namespace outlive::luo {
namespace {

Result<abi::SessionSlot*> create(LuoWorld& w, const Caller& caller, std::string_view name) {
  Change change(w.core->records());
  abi::SessionSlot* slot = TRY(w.core->sessions().create(change, caller, name, 0));
  change.commit();
  w.core->sessions().index(*slot);
  return slot;
}

TEST(Session, Names) {
  EXPECT_TRUE(check_name("a"));
  EXPECT_TRUE(check_name(std::string(63, 'x')));
  EXPECT_TRUE(
      check_name("b\xc3\xbc"
                 "cher \xe2\x82\xac \xf0\x9f\x99\x82"));
  const std::string bad[] = {"",
                             std::string(64, 'x'),
                             "a\nb",
                             "\x7f",
                             std::string("a\0b", 3),
                             "\x80",
                             "\xc3",
                             "\xc0\xaf",
                             "\xed\xa0\x80",
                             "\xf4\x90\x80\x80",
                             "\xe0\x80\x80",
                             "\xf0\x80\x80\x80",
                             "\xf5\x80\x80\x80",
                             "a\xff"};
  for (const std::string& name : bad) {
    const Status checked = check_name(name);
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, EINVAL);
  }
  uint8_t field[abi::kSessionNameLength];
  memset(field, 'x', sizeof field);
  EXPECT_EQ(name_from_field(field).error().code, EINVAL) << "no NUL in 64 bytes";
  field[5] = 0;
  EXPECT_EQ(name_from_field(field).take(), "xxxxx");
  field[0] = 0;
  EXPECT_EQ(name_from_field(field).error().code, EINVAL);
}

TEST(Session, CreateErrors) {
  LuoWorld w;
  w.limits.sessions = 2;
  ASSERT_TRUE(w.reattach());
  const Caller ann{.uid = 1};
  const Caller ben{.uid = 2};
  EXPECT_EQ(create(w, ann, "").error().code, EINVAL);
  ASSERT_TRUE(create(w, ann, "s"));
  EXPECT_EQ(create(w, ann, "s").error().code, EEXIST);
  EXPECT_TRUE(create(w, ben, "s")) << "names are unique per uid";
  ASSERT_TRUE(create(w, ann, "t"));
  EXPECT_EQ(create(w, ann, "u").error().code, EDQUOT);
  EXPECT_TRUE(create(w, ben, "u"));
  ASSERT_TRUE(w.core->end_session(*w.core->sessions().find(ann, "t"), false));
  EXPECT_TRUE(create(w, ann, "u"));
}

TEST(Session, OnlyItsOwnerAndRootSeeIt) {
  LuoWorld w;
  ASSERT_TRUE(create(w, {.uid = 1}, "s"));
  EXPECT_EQ(w.core->sessions().find({.uid = 2}, "s"), nullptr);
  EXPECT_NE(w.core->sessions().find({.uid = 1}, "s"), nullptr);
  EXPECT_NE(w.core->sessions().find({.uid = 0}, "s"), nullptr);
}

TEST(Session, DirectionFollowsFromTheService) {
  LuoWorld w;
  abi::ServiceSlot& service = w.service("web");
  const uint64_t address = w.core->services().address_of(service);
  Sessions& sessions = w.core->sessions();
  const Caller old{.service = address, .generation = 1};
  const Caller next{.service = address, .generation = 2};
  Session& s = w.session("s", old);
  EXPECT_EQ(sessions.direction(s), Direction::kOutgoing);
  EXPECT_EQ(sessions.direction(s, old), Direction::kOutgoing);
  EXPECT_EQ(sessions.direction(s, next), Direction::kIncoming) << "what a successor will inherit";
  EXPECT_EQ(sessions.direction(s, {}), Direction::kOutgoing);
  // The successor may have a session of that name: the incoming one does not collide.
  Session& own = w.session("s", next);
  EXPECT_EQ(sessions.direction(own, next), Direction::kOutgoing);
  {
    Change change(w.core->records());
    w.core->services().generation_passed(change, service);
    EXPECT_EQ(sessions.direction(s), Direction::kOutgoing) << "not before the commit";
    change.commit();
  }
  EXPECT_EQ(sessions.direction(s), Direction::kIncoming);
  EXPECT_EQ(sessions.direction(own), Direction::kOutgoing);
  EXPECT_EQ(w.core->adopt_all(service).error().code, EEXIST) << "two outgoing ones of a name";
  EXPECT_EQ(w.core->adopt(s, service).error().code, EEXIST);
  ASSERT_TRUE(w.core->end_session(own, false));
  ASSERT_TRUE(w.core->adopt_all(service));
  EXPECT_EQ(sessions.direction(s), Direction::kOutgoing);
}

TEST(Session, AdoptOneByOne) {
  LuoWorld w;
  abi::ServiceSlot& service = w.service("web");
  const Caller old{.service = w.core->services().address_of(service), .generation = 1};
  Session& a = w.session("a", old);
  Session& b = w.session("b", old);
  w.alter([&](Change& change) { w.core->services().generation_passed(change, service); });
  ASSERT_TRUE(w.core->adopt(a, service));
  EXPECT_EQ(w.core->sessions().direction(a), Direction::kOutgoing);
  EXPECT_EQ(w.core->sessions().direction(b), Direction::kIncoming);
}

TEST(Session, Retrieve) {
  LuoWorld w;
  abi::ServiceSlot& service = w.service("web");
  const uint64_t address = w.core->services().address_of(service);
  const Caller old{.service = address, .generation = 1};
  const Caller next{.service = address, .generation = 2};
  Session& s = w.session("s", old);
  Sessions& sessions = w.core->sessions();
  EXPECT_EQ(sessions.retrieve(old, "s").error().code, ENOENT) << "outgoing";
  EXPECT_EQ(sessions.retrieve(next, "t").error().code, ENOENT);
  EXPECT_EQ(sessions.retrieve(next, "").error().code, EINVAL);
  EXPECT_EQ(sessions.retrieve({.uid = 9, .service = address, .generation = 2}, "s").error().code,
            ENOENT);
  ASSERT_EQ(sessions.retrieve(next, "s").take(), &s);
  sessions.hold(s, {1000, 2});
  EXPECT_EQ(sessions.retrieve(next, "s").error().code, EINVAL) << "already";
  // A lease: the next try is offered it again.
  sessions.drop_holder(s, 1000);
  EXPECT_TRUE(sessions.retrieve(next, "s"));
  Change change(w.core->records());
  change.set(s.slot->flags, abi::kSessionInternal);
  change.commit();
  EXPECT_EQ(sessions.retrieve(next, "s").error().code, ENOENT) << "outlived's own";
}

TEST(Session, LingeringIsRetrievedByItsOwner) {
  LuoWorld w;
  Session& s = w.session("s", {.uid = 1});
  Sessions& sessions = w.core->sessions();
  EXPECT_EQ(sessions.retrieve({.uid = 1}, "s").error().code, ENOENT) << "somebody holds it";
  w.alter([&](Change& change) { w.core->leases().unheld(change, s); });
  EXPECT_EQ(sessions.retrieve({.uid = 1}, "s").take(), &s);
  EXPECT_EQ(sessions.retrieve({.uid = 2}, "s").error().code, ENOENT);
  EXPECT_EQ(sessions.direction(s), Direction::kIncoming) << "its files can be retrieved";
  sessions.hold(s, {1000, 0});
  EXPECT_EQ(sessions.retrieve({.uid = 1}, "s").error().code, EINVAL) << "already";
  EXPECT_NE(&w.session("s", {.uid = 1}), &s) << "an incoming one doesn't take the name";
  EXPECT_EQ(w.core->adopt_plain(s).error().code, EEXIST);
  ASSERT_TRUE(w.core->end_session(*sessions.find({.uid = 1}, "s"), false));
  ASSERT_TRUE(w.core->adopt_plain(s));
  EXPECT_EQ(sessions.direction(s), Direction::kOutgoing);
}

TEST(Session, IndexIsBuiltAnewInOrderOfMaking) {
  LuoWorld w;
  for (const char* name : {"c", "a", "b"}) w.session(name);
  ASSERT_TRUE(w.core->end_session(*w.core->sessions().find({}, "a"), false));
  w.session("d");
  ASSERT_TRUE(w.reattach());
  std::string order;
  w.core->sessions().for_each([&](Session& s) { order += s.name; });
  EXPECT_EQ(order, "cbd");
  EXPECT_EQ(w.core->sessions().count_of(0), 3u);
}

TEST(Session, EndTellsItsHoldersRecords) {
  LuoWorld w;
  Session& s = w.session("s");
  abi::ConnectionSlot* connection = nullptr;
  w.alter([&](Change& change) {
    connection = change.add<abi::ConnectionSlot>().take();
    connection->session = s.address;
  });
  w.core->sessions().hold(s, {w.core->records().address_of(connection), 1});
  bool also = false;
  ASSERT_TRUE(w.core->end_session(s, false, [&](Change& its) {
    also = true;
    its.set(connection->sequence, uint64_t{42});
  }));
  EXPECT_TRUE(also);
  EXPECT_EQ(connection->session, 0u);
  EXPECT_EQ(connection->sequence, 42u);
}

TEST(Session, HostileRecordsAreRefused) {
  const std::vector<std::function<void(abi::SessionSlot&)>> damages = {
      [](abi::SessionSlot& slot) { memset(slot.name, 'x', sizeof slot.name); },
      [](abi::SessionSlot& slot) { slot.service = 4096; },
      [](abi::SessionSlot& slot) { slot.service = ~uint64_t{0}; }};
  for (const auto& damage : damages) {
    LuoWorld w;
    damage(*w.session("s").slot);
    const Status refused = w.reattach();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, EUCLEAN);
  }
}

TEST(FileListTest, KeepsOrderWhileItShrinks) {
  std::vector<abi::FileSlot> slots(200);
  FileList list;
  for (uint64_t i = 0; i < slots.size(); ++i) {
    slots[i].token = i * 7;
    list.add(slots[i]);
  }
  for (uint64_t i = 0; i < slots.size(); ++i) {
    if (i % 5 != 0) list.remove(slots[i]);
  }
  list.remove(slots[1]);  // once more: nothing
  ASSERT_EQ(list.size(), 40u);
  const auto ordered = list.ordered();
  for (uint64_t i = 0; i < ordered.size(); ++i) EXPECT_EQ(ordered[i]->token, i * 35);
  EXPECT_EQ(list.find(35)->token, 35u);
  EXPECT_EQ(list.find(7), nullptr);
}

}  // namespace
}  // namespace outlive::luo
