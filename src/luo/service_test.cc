#include "luo/service.h"

#include "luo/luo_test.h"
#include "luo/usage.h"

namespace outlive::luo {
namespace {

TEST(Service, CreateAndFind) {
  LuoWorld w;
  abi::ServiceSlot& ann = w.service("web", {.uid = 1});
  abi::ServiceSlot& root = w.service("web");
  Services& services = w.core->services();
  EXPECT_EQ(services.find({.uid = 1}, "web"), &ann);
  EXPECT_EQ(services.find({.uid = 0}, "web"), &root) << "its own first";
  EXPECT_EQ(services.find({.uid = 2}, "web"), nullptr);
  abi::ServiceSlot& other = w.service("other", {.uid = 1});
  EXPECT_EQ(services.find({.uid = 0}, "other"), &other);
  Change change(w.core->records());
  EXPECT_EQ(services.create(change, {}, "").error().code, EINVAL);
  EXPECT_EQ(services.create(change, {}, "web").error().code, EEXIST);
}

TEST(Service, QuotasAreOfAUser) {
  LuoWorld w;
  w.limits.services = 2;
  ASSERT_TRUE(w.reattach());
  Limits more = w.limits;
  more.services = 3;
  w.core->context().limits_by_uid[7] = more;
  for (const uint64_t uid : {uint64_t{0}, uint64_t{1}, uint64_t{7}}) {
    w.service("a", {.uid = uid});
    w.service("b", {.uid = uid});
  }
  w.service("c", {.uid = 7});
  Change change(w.core->records());
  for (const uint64_t uid : {uint64_t{0}, uint64_t{1}, uint64_t{7}}) {
    EXPECT_EQ(w.core->services().create(change, {.uid = uid}, "d").error().code, EDQUOT) << uid;
  }
  EXPECT_EQ(w.core->services().create(change, {.uid = 1}, "a").error().code, EEXIST);
}

TEST(Usage, CountsWhatEachUserHas) {
  LuoWorld w;
  w.service("a", {.uid = 7});
  ASSERT_TRUE(w.add_subtree("note", "12345", {.uid = 7}));
  ASSERT_TRUE(w.add_subtree("note", "1", {.uid = 8}));
  auto users = usage_by_uid(w.core->records());
  ASSERT_EQ(users.size(), 2u);
  EXPECT_EQ(users[7].services, 1u);
  EXPECT_EQ(users[7].subtrees, 1u);
  EXPECT_EQ(users[7].sessions, 0u);
  EXPECT_EQ(users[7].subtree_bytes, 5u);
  EXPECT_EQ(users[7].arena_bytes,
            sizeof(abi::ServiceSlot) + sizeof(abi::ClientSubtreeSlot) + abi::kPageSize);
  EXPECT_EQ(users[8].arena_bytes, sizeof(abi::ClientSubtreeSlot) + abi::kPageSize);
}

TEST(Service, BlobsAreKeptWhileARecordNamesThem) {
  LuoWorld w;
  abi::ServiceSlot& service = w.service("web");
  Services& services = w.core->services();
  const std::string text(5000, 's');
  const uint64_t kept = services.make_blob(text).take().value;
  const uint64_t lost = services.make_blob("").take().value;
  EXPECT_TRUE(w.arena->is_live(kho::Phys{lost}, abi::kOwnerService));
  w.alter([&](Change& change) {
    change.set(service.spec, kept);
    change.set(service.spec_size, text.size());
  });
  ASSERT_TRUE(w.reattach());
  EXPECT_EQ(w.core->services().read_blob(kept, text.size()), text);
  EXPECT_EQ(w.arena->pages_of(abi::kOwnerService), 2u) << "what nothing names is given back";
  EXPECT_EQ(w.core->services().read_blob(0, 5), "");
  EXPECT_EQ(w.core->services().read_blob(uint64_t{1} << 60, 5), "");
}

TEST(Service, HostileRecordsAreRefused) {
  const std::vector<std::function<void(abi::ServiceSlot&, abi::ServiceSlot&)>> damages = {
      [](auto& a, auto&) { memset(a.name, 'x', sizeof a.name); },
      [](auto& a, auto& b) { memcpy(a.name, b.name, sizeof a.name); },
      [](auto& a, auto&) { a.spec = 4096; },
      [](auto& a, auto&) { a.spec_size = 4097; },
      [](auto& a, auto& b) { a.spec = b.spec; },
      [](auto& a, auto&) { a.previous_spec = a.spec; },
  };
  for (size_t i = 0; i < damages.size(); ++i) {
    LuoWorld w;
    abi::ServiceSlot& a = w.service("a");
    abi::ServiceSlot& b = w.service("b");
    a.spec = w.core->services().make_blob("spec of a").take().value;
    b.spec = w.core->services().make_blob("spec of b").take().value;
    a.spec_size = b.spec_size = 9;
    damages[i](a, b);
    const Status refused = w.reattach();
    ASSERT_FALSE(refused) << i;
    EXPECT_EQ(refused.error().code, EUCLEAN) << i;
  }
}

TEST(Service, RemoveTakesEverythingOfIt) {
  LuoWorld w;
  const uint64_t used = w.arena->used_pages();
  abi::ServiceSlot& service = w.service("web");
  const uint64_t address = w.core->services().address_of(service);
  const BorrowedFd binary = w.fds.make(FileKind::kRegular);
  const BorrowedFd notify = w.fds.make(FileKind::kUnixDatagram);
  const uint64_t spec = w.core->services().make_blob("spec").take().value;
  w.alter([&](Change& change) {
    change.set(service.spec, spec);
    change.set(service.current.binary_fd, int64_t{binary.get()});
    change.set(service.current.notify_fd, int64_t{notify.get()});
  });
  Session& s = w.session("s", {.service = address, .generation = 1});
  ASSERT_TRUE(w.preserve(s, 1, w.fds.make(FileKind::kPipe)));
  w.session("other");
  // More connections than one change has room for: their number is the client's choice.
  std::vector<abi::ConnectionSlot*> speaking;
  for (int round = 0; round < 3; ++round) {
    w.alter([&](Change& change) {
      for (int i = 0; i < 1000; ++i) {
        speaking.push_back(change.add<abi::ConnectionSlot>().take());
        speaking.back()->service = address;
      }
    });
  }
  EXPECT_EQ(w.core->named_fds().size(), 3u + 2 * speaking.size());
  w.core->remove_service(service);
  EXPECT_TRUE(w.fds.open.empty());
  EXPECT_EQ(w.core->records().count(abi::PoolKind::kService), 0u);
  EXPECT_EQ(w.core->sessions().size(), 1u);
  for (const auto* slot : speaking) EXPECT_EQ(slot->service, 0u);
  EXPECT_EQ(w.arena->pages_of(abi::kOwnerService), 0u);
  EXPECT_GT(w.arena->used_pages(), used);
}

}  // namespace
}  // namespace outlive::luo
