#include "luo/luo_test.h"

namespace outlive::luo {
namespace {

using abi::PoolKind;
using abi::SessionSlot;

struct Bench {
  kho::TestArena t;
  std::unique_ptr<kho::RootFdt> fdt;
  std::unique_ptr<Records> records;

  static Bench make(uint64_t bytes = 1 << 20) {
    Bench bench;
    bench.t = kho::TestArena::make(bytes);
    bench.fdt = std::make_unique<kho::RootFdt>(*bench.t);
    bench.records = Records::create(*bench.t, *bench.fdt).take();
    return bench;
  }
  Records::AttachReport reattach() {
    Records::AttachReport report;
    records.reset();
    t.reattach();
    fdt = std::make_unique<kho::RootFdt>(*t);
    Result<std::unique_ptr<Records>> next = Records::attach(*t, *fdt, &report);
    EXPECT_TRUE(next) << next.error().text();
    if (next) records = next.take();
    return report;
  }
};

SessionSlot* add_named(Change& change, const char* name) {
  SessionSlot* slot = change.add<SessionSlot>().take();
  strcpy(slot->name, name);
  return slot;
}

// What is visible: names with uid and generation, in order of their ids.
std::string contents(Records& records) {
  std::map<uint64_t, std::string> lines;
  records.for_each<SessionSlot>([&](SessionSlot& slot) {
    lines[slot.header.id] = fmt::format("{}:{}:{} ", slot.name, slot.uid, slot.generation);
  });
  std::string all = fmt::format("number {} ", records.root().live_update_number);
  for (const auto& [id, line] : lines) all += line;
  return all;
}

TEST(Records, AddedSlotIsSeenAfterCommitOnly) {
  Bench b = Bench::make();
  {
    Change change(*b.records);
    SessionSlot* slot = add_named(change, "a");
    EXPECT_EQ(b.records->count(PoolKind::kSession), 0u);
    EXPECT_EQ(b.records->find<SessionSlot>(b.records->address_of(slot)), nullptr);
    change.commit();
    EXPECT_EQ(b.records->find<SessionSlot>(b.records->address_of(slot)), slot);
    EXPECT_EQ(b.records->find<abi::FileSlot>(b.records->address_of(slot)), nullptr);
    EXPECT_EQ(b.records->find<SessionSlot>(b.records->address_of(slot) + 8), nullptr);
    EXPECT_EQ(b.records->find<SessionSlot>(uint64_t{1} << 60), nullptr);
  }
  EXPECT_EQ(contents(*b.records), "number 0 a:0:0 ");
  EXPECT_EQ(b.records->count(PoolKind::kSession), 1u);
}

TEST(Records, DroppedChangeLeavesNothing) {
  Bench b = Bench::make();
  SessionSlot* kept = nullptr;
  {
    Change change(*b.records);
    kept = add_named(change, "kept");
    change.commit();
  }
  const uint64_t used = b.t->used_pages();
  {
    Change change(*b.records);
    add_named(change, "new");
    change.set(kept->uid, 7);
    change.remove(*kept);
    EXPECT_EQ(kept->uid, 0u) << "reads see the old value until the commit";
  }
  EXPECT_EQ(contents(*b.records), "number 0 kept:0:0 ");
  EXPECT_EQ(b.t->used_pages(), used);
  expect_free_slots_zero(*b.t, *b.records);
  const Records::AttachReport report = b.reattach();
  EXPECT_FALSE(report.redo_applied) << "an aborted change's list is not valid";
  EXPECT_EQ(contents(*b.records), "number 0 kept:0:0 ");
}

TEST(Records, SetWordsTextAndProcess) {
  Bench b = Bench::make();
  uint64_t address = 0;
  {
    Change change(*b.records);
    address = b.records->address_of(change.add<abi::UpdateSlot>().take());
    change.commit();
  }
  {
    abi::UpdateSlot* slot = b.records->find<abi::UpdateSlot>(address);
    Change change(*b.records);
    change.set_text(slot->reason, std::string(300, 'x'));
    change.set(slot->successor, abi::ProcessWords{5, 6, 7, 8, -1, 9});
    change.set(slot->result, int64_t{-3});
    change.commit();
  }
  EXPECT_TRUE(b.records->redo_is_clear()) << "a list that was applied leaves nothing";
  EXPECT_FALSE(b.reattach().redo_applied);
  abi::UpdateSlot* slot = b.records->find<abi::UpdateSlot>(address);
  ASSERT_NE(slot, nullptr);
  EXPECT_EQ(std::string(slot->reason), std::string(127, 'x')) << "cut, with its NUL";
  EXPECT_EQ(slot->successor.pid, 5);
  EXPECT_EQ(slot->successor.notify_fd, -1);
  EXPECT_EQ(slot->successor.binary_fd, 9);
  EXPECT_EQ(slot->result, -3);
  Change change(*b.records);
  change.set_text(slot->reason, "short");
  change.commit();
  EXPECT_EQ(std::string(slot->reason), "short");
  EXPECT_EQ(slot->reason[100], 0);
}

TEST(Records, IdsAreUniqueForEver) {
  Bench b = Bench::make();
  std::set<uint64_t> ids;
  for (int round = 0; round < 50; ++round) {
    std::vector<SessionSlot*> made;
    {
      Change change(*b.records);
      for (int i = 0; i < 10; ++i) made.push_back(add_named(change, "x"));
      change.commit();
    }
    for (const SessionSlot* slot : made) EXPECT_TRUE(ids.insert(slot->header.id).second);
    Change change(*b.records);
    for (SessionSlot* slot : made) change.remove(*slot);
    change.commit();
  }
  EXPECT_EQ(b.records->count(PoolKind::kSession), 0u);
}

TEST(Records, FullArenaIsAnErrorAndNothingChanges) {
  Bench b = Bench::make(256 << 10);
  std::string before;
  for (int i = 0;; ++i) {
    ASSERT_LT(i, 100);
    before = contents(*b.records);
    Change change(*b.records);
    Result<SessionSlot*> slot = change.add<SessionSlot>();
    for (int n = 0; slot && n < 60; ++n) slot = change.add<SessionSlot>();
    if (!slot) {
      EXPECT_EQ(slot.error().code, ENOSPC);
      break;
    }
    change.commit();
  }
  EXPECT_EQ(contents(*b.records), before);
  expect_free_slots_zero(*b.t, *b.records);
}

// The change that the crash tests cut: two adds, three sets, one remove.
struct Subject {
  SessionSlot* changed;
  SessionSlot* removed;
};
Subject prepare(Records& records) {
  Change change(records);
  const Subject made{add_named(change, "changed"), add_named(change, "removed")};
  change.commit();
  return made;
}
void alter(Records& records, const Subject& subject) {
  Change change(records);
  add_named(change, "one")->uid = 1;
  add_named(change, "two")->uid = 2;
  change.set(subject.changed->uid, 9);
  change.set(subject.changed->generation, 8);
  change.set(records.root().live_update_number, 5);
  change.remove(*subject.removed);
  change.commit();
}

// Takes an image before every store of `work` and checks what the next process finds in it.
void cut_everywhere(const std::function<Subject(Records&)>& begin,
                    const std::function<void(Records&, const Subject&)>& work) {
  int before_seen = 0;
  int after_seen = 0;
  for (int k = 0;; ++k) {
    Bench b = Bench::make();
    const Subject subject = begin(*b.records);
    const std::string before = contents(*b.records);
    const uint64_t committed = b.records->root().committed;
    CrashAt crash(*b.t, k);
    work(*b.records, subject);
    if (!crash.image().valid()) break;
    kho::set_store_hook({});
    const std::string after = contents(*b.records);
    b.records.reset();
    b.t.arena.reset();
    b.t.file = crash.image().file();
    b.reattach();
    ASSERT_NE(b.records, nullptr) << "store " << k;
    const bool done = b.records->root().committed == committed + 1;
    EXPECT_EQ(contents(*b.records), done ? after : before) << "store " << k;
    ++(done ? after_seen : before_seen);
    expect_free_slots_zero(*b.t, *b.records);
    kho::expect_consistent(*b.t);
    // Nothing leaked: what is used is the arena's own, its tracker, and what the records reach.
    uint64_t lost = 0;
    b.t->for_each_live([&](kho::Phys head, unsigned, uint16_t owner, uint32_t) {
      lost += owner != abi::kOwnerRecords || !b.records->reaches(head);
    });
    EXPECT_EQ(lost, 0u) << "store " << k;
    // A second death right after the attach changes nothing, and the next change works.
    b.reattach();
    EXPECT_EQ(contents(*b.records), done ? after : before) << "store " << k;
    const uint64_t live = b.records->count(PoolKind::kSession);
    prepare(*b.records);
    EXPECT_EQ(b.records->count(PoolKind::kSession), live + 2);
  }
  EXPECT_GT(before_seen, 4);
  EXPECT_GT(after_seen, 1);
}

TEST(Records, CrashBeforeEveryStoreIsBeforeOrAfter) {
  cut_everywhere(prepare, alter);
}

TEST(Records, CrashBeforeEveryStoreOfTheVeryFirstChange) {
  cut_everywhere([](Records&) { return Subject{}; },
                 [](Records& records, const Subject&) { prepare(records); });
}

TEST(Records, CrashInADroppedChangeIsBefore) {
  for (int k = 0;; ++k) {
    Bench b = Bench::make();
    const Subject subject = prepare(*b.records);
    const std::string before = contents(*b.records);
    CrashAt crash(*b.t, k);
    {
      Change change(*b.records);
      for (int i = 0; i < 40; ++i) add_named(change, "x");  // more than a page: the pool grows
      change.set(subject.changed->uid, 9);
    }
    if (!crash.image().valid()) break;
    kho::set_store_hook({});
    b.records.reset();
    b.t.arena.reset();
    b.t.file = crash.image().file();
    b.reattach();
    ASSERT_NE(b.records, nullptr) << "store " << k;
    EXPECT_EQ(contents(*b.records), before) << "store " << k;
    expect_free_slots_zero(*b.t, *b.records);
    kho::expect_consistent(*b.t);
  }
}

TEST(Records, OtherVersionIsRefusedByName) {
  Bench b = Bench::make();
  strcpy(b.records->root().compatible, "outlive-records-v9");
  b.records.reset();
  b.t.reattach();
  kho::RootFdt fdt(*b.t);
  const auto refused = Records::attach(*b.t, fdt);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EPROTO);
  EXPECT_NE(refused.error().message.find("outlive-records-v9"), std::string::npos);
}

TEST(Records, HostileHeadsAreRefused) {
  using Damage = std::function<void(Records&, kho::Arena&)>;
  const auto page_of = [](Records& records, kho::Arena& arena) {
    return arena.object<abi::PoolPage>(kho::Phys{records.root().pools[0]});
  };
  const std::vector<std::pair<const char*, Damage>> damages = {
      {"redo outside", [](Records& r, kho::Arena& a) { r.root().redo_list = a.size(); }},
      {"redo unaligned", [](Records& r, kho::Arena&) { r.root().redo_list += 8; }},
      {"redo is the root",
       [](Records& r, kho::Arena&) { r.root().redo_list = r.address_of(&r.root()); }},
      {"pool outside", [](Records& r, kho::Arena&) { r.root().pools[0] = uint64_t{1} << 50; }},
      {"pool unaligned", [](Records& r, kho::Arena&) { r.root().pools[0] += 16; }},
      {"pool of another kind",
       [](Records& r, kho::Arena&) { r.root().pools[1] = r.root().pools[0]; }},
      {"pool is the root",
       [](Records& r, kho::Arena&) { r.root().pools[0] = r.address_of(&r.root()); }},
      {"chain is a circle",
       [=](Records& r, kho::Arena& a) { page_of(r, a)->next = r.root().pools[0]; }},
      {"slot size", [=](Records& r, kho::Arena& a) { page_of(r, a)->slot_size = 8; }},
      {"slot state",
       [=](Records& r, kho::Arena& a) {
         *reinterpret_cast<uint64_t*>(reinterpret_cast<std::byte*>(page_of(r, a)) +
                                      abi::kPoolFirstSlot) = 4;
       }},
      {"redo count",
       [](Records& r, kho::Arena&) {
         r.root().redo_number = r.root().committed;
         r.root().redo_count = abi::kMaxRedo + 1;
       }},
      {"redo to nowhere",
       [](Records& r, kho::Arena& a) {
         r.root().redo_number = r.root().committed;
         r.root().redo_count = 1;
         a.object<abi::RedoEntry>(kho::Phys{r.root().redo_list})->address = 4096;
       }},
      {"redo to the commit word",
       [](Records& r, kho::Arena& a) {
         r.root().redo_number = r.root().committed;
         r.root().redo_count = 1;
         a.object<abi::RedoEntry>(kho::Phys{r.root().redo_list})->address =
             r.address_of(&r.root().committed);
       }},
  };
  for (const auto& [what, damage] : damages) {
    Bench b = Bench::make();
    prepare(*b.records);
    damage(*b.records, *b.t);
    b.records.reset();
    b.t.reattach();
    kho::RootFdt fdt(*b.t);
    const auto refused = Records::attach(*b.t, fdt);
    ASSERT_FALSE(refused) << what;
    EXPECT_EQ(refused.error().code, EUCLEAN) << what;
  }
}

TEST(Records, BitFlipsAreRefusedOrConsistent) {
  Bench b = Bench::make();
  const Subject subject = prepare(*b.records);
  alter(*b.records, subject);
  const uint64_t root = b.records->address_of(&b.records->root());
  const uint64_t redo = b.records->root().redo_list;
  const uint64_t pool = b.records->root().pools[0];
  FileImage image = FileImage::take(b.t->view());
  std::vector<std::pair<uint64_t, uint64_t>> ranges = {
      {root, sizeof(abi::RecordsRoot)}, {redo, 16 * sizeof(abi::RedoEntry)}, {pool, 1024}};
  int attached = 0;
  int refused = 0;
  for (const auto& [start, bytes] : ranges) {
    for (uint64_t bit = 0; bit < bytes * 8; bit += 7) {
      std::byte& hit = image.bytes()[start + bit / 8];
      hit ^= std::byte{1} << bit % 8;
      const UniqueFd file = image.file();
      hit ^= std::byte{1} << bit % 8;
      const auto arena = kho::Arena::attach(file);
      ASSERT_TRUE(arena) << arena.error().text();
      kho::RootFdt fdt(**arena);
      Result<std::unique_ptr<Records>> records = Records::attach(**arena, fdt);
      ++(records ? attached : refused);
      if (!records) continue;
      expect_free_slots_zero(**arena, **records);
      kho::expect_consistent(**arena);
      prepare(**records);
    }
  }
  EXPECT_GT(attached, 50);
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace outlive::luo
