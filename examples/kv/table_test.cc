// The table against std::map, with a clock of our own; and what a crash leaves behind.
#include "table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "test_memory.h"

namespace kv {
namespace {

class TableTest : public testing::Test {
 protected:
  std::string get(std::string_view key, uint64_t now_ms) {
    std::string digits;
    std::string_view value;
    return table_.get(key, now_ms, &digits, &value) ? std::string(value) : "(none)";
  }
  uint64_t blocks() const {
    outlive_memory_stats stats{};
    outlive_memory_stat(memory_.handle(), &stats);
    return stats.blocks;
  }

  outlive::Memory memory_ = test_memory(uint64_t{1} << 30);
  Heap heap_{memory_.handle()};
  Table table_{heap_, Table::create(heap_, 42)};
};

TEST_F(TableTest, SetGetEraseReplace) {
  EXPECT_EQ(get("a", 0), "(none)");
  EXPECT_TRUE(table_.set("a", "1", 0));
  EXPECT_TRUE(table_.set("", "empty key", 0));
  EXPECT_TRUE(table_.set("empty value", "", 0));
  EXPECT_EQ(get("a", 0), "1");
  EXPECT_EQ(get("", 0), "empty key");
  EXPECT_EQ(get("empty value", 0), "");
  EXPECT_TRUE(table_.set("a", std::string(100000, 'x'), 0));
  EXPECT_EQ(get("a", 0), std::string(100000, 'x'));
  EXPECT_EQ(table_.size(), 3U);
  EXPECT_TRUE(table_.erase("a", 0));
  EXPECT_FALSE(table_.erase("a", 0));
  EXPECT_EQ(table_.size(), 2U);
}

TEST_F(TableTest, AddCountsAndSaysWhyNot) {
  int64_t result = 0;
  for (int64_t i = 1; i <= 1000; ++i) {
    ASSERT_EQ(table_.add("n", 1, 0, &result), Table::Added::kOk);
    ASSERT_EQ(result, i);
  }
  EXPECT_EQ(get("n", 0), "1000");
  table_.set("n", "41", 0);
  EXPECT_EQ(table_.add("n", 1, 0, &result), Table::Added::kOk);
  EXPECT_EQ(result, 42);
  table_.set("n", "no number", 0);
  EXPECT_EQ(table_.add("n", 1, 0, &result), Table::Added::kNotNumber);
  table_.set("n", "9223372036854775807", 0);
  EXPECT_EQ(table_.add("n", 1, 0, &result), Table::Added::kOverflow);
  EXPECT_EQ(get("n", 0), "9223372036854775807");
}

TEST_F(TableTest, ExpiryFollowsTheClockThatIsHandedIn) {
  table_.set("a", "1", 1000);
  EXPECT_EQ(get("a", 999), "1");
  EXPECT_EQ(get("a", 1000), "(none)");
  EXPECT_FALSE(table_.expire("a", 5000, 1000));
  int64_t result = 0;
  EXPECT_EQ(table_.add("a", 7, 1000, &result), Table::Added::kOk) << "starts anew";
  EXPECT_EQ(result, 7);
  uint64_t when = 1;
  EXPECT_TRUE(table_.expiry("a", 1000, &when));
  EXPECT_EQ(when, 0U) << "without the old time";
  EXPECT_TRUE(table_.expire("a", 3000, 1000));
  EXPECT_EQ(table_.add("a", 1, 2999, &result), Table::Added::kOk) << "keeps its time";
  EXPECT_EQ(get("a", 2999), "8");
  EXPECT_EQ(get("a", 3000), "(none)");
  EXPECT_FALSE(table_.erase("a", 3000));
  EXPECT_EQ(table_.size(), 0U) << "erase drops an expired one too";
}

TEST_F(TableTest, SweepRemovesWhatHasExpiredAndNothingElse) {
  for (int i = 0; i < 5000; ++i) {
    table_.set("k" + std::to_string(i), "v", i % 2 == 0 ? 100 : 0);
  }
  EXPECT_EQ(table_.sweep(100000, 99), 0U);
  EXPECT_EQ(table_.size(), 5000U);
  EXPECT_EQ(table_.sweep(100000, 100), 2500U);
  EXPECT_EQ(table_.size(), 2500U);
  EXPECT_EQ(get("k1", 100), "v");
}

TEST_F(TableTest, RandomOperationsAgainstAMap) {
  struct Value {
    std::string text;
    uint64_t expires_ms;
  };
  std::map<std::string, Value> model;
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  uint64_t now = 1;
  const auto live = [&](const std::string& key) {
    const auto at = model.find(key);
    return at != model.end() && (at->second.expires_ms == 0 || at->second.expires_ms > now)
               ? &at->second
               : nullptr;
  };
  for (int step = 0; step < 300000; ++step) {
    now += random() % 3;
    const std::string key = "key:" + std::to_string(random() % 20000);
    const uint64_t expires = random() % 4 == 0 ? now + 1 + random() % 5000 : 0;
    Value* known = live(key);
    switch (random() % 6) {
      case 0:
      case 1: {
        const std::string value =
            random() % 2 == 0 ? std::to_string(random() % 1000) : std::string(random() % 60, 'v');
        ASSERT_TRUE(table_.set(key, value, expires));
        model[key] = {value, expires};
        break;
      }
      case 2:
        ASSERT_EQ(table_.erase(key, now), known != nullptr);
        model.erase(key);
        break;
      case 3: {
        int64_t result = 0;
        const bool number = known == nullptr || (!known->text.empty() && known->text[0] != 'v');
        ASSERT_EQ(table_.add(key, 3, now, &result),
                  number ? Table::Added::kOk : Table::Added::kNotNumber);
        if (!number) break;
        const int64_t want = (known == nullptr ? 0 : std::stoll(known->text)) + 3;
        ASSERT_EQ(result, want);
        model[key] = {std::to_string(want), known == nullptr ? 0 : known->expires_ms};
        break;
      }
      case 4:
        ASSERT_EQ(table_.expire(key, now + 100, now), known != nullptr);
        if (known != nullptr) known->expires_ms = now + 100;
        break;
      default:
        ASSERT_EQ(get(key, now), known == nullptr ? "(none)" : known->text);
        if (step % 100 == 0) table_.sweep(64, now);
    }
  }
  std::map<std::string, std::string> got;
  table_.for_each(now, [&](const Entry& entry) {
    ASSERT_TRUE(got.emplace(entry.key(), text_of(entry)).second) << "twice: " << entry.key();
  });
  std::map<std::string, std::string> want;
  for (const auto& [key, value] : model) {
    if (live(key) != nullptr) want[key] = value.text;
  }
  EXPECT_EQ(got, want);
  EXPECT_TRUE(memory_.check()) << outlive_error();
}

TEST_F(TableTest, DestroyGivesEverythingBack) {
  const uint64_t before = blocks();
  const Offset other = Table::create(heap_, 7);
  Table table(heap_, other);
  for (int i = 0; i < 5000; ++i) table.set(std::to_string(i), "value", 0);
  EXPECT_GT(blocks(), before + 5000);
  Table::destroy(heap_, other);
  EXPECT_EQ(blocks(), before);
}

TEST_F(TableTest, FullMemoryIsAnAnswerAndChangesNothing) {
  const outlive::Memory small = test_memory(2 << 20);
  const Heap heap(small.handle());
  Table table(heap, Table::create(heap, 1));
  const std::string big(300000, 'b');
  int stored = 0;
  while (stored < 100 && table.set("k" + std::to_string(stored), big, 0)) ++stored;
  EXPECT_GT(stored, 1);
  EXPECT_LT(stored, 10);
  EXPECT_EQ(table.size(), static_cast<uint64_t>(stored));
  EXPECT_TRUE(table.exists("k0", 0));
  EXPECT_FALSE(table.exists("k" + std::to_string(stored), 0));
}

TEST_F(TableTest, DigestIsOfTheContentsOnly) {
  Table other(heap_, Table::create(heap_, 99));  // another seed: another order
  for (int i = 0; i < 3000; ++i) {
    table_.set("data:" + std::to_string(i), std::to_string(i), 0);
    other.set("data:" + std::to_string(2999 - i), std::to_string(2999 - i), 0);
  }
  int64_t result = 0;
  other.set("data:7", "6", 0);
  EXPECT_NE(table_.digest("data:", 0), other.digest("data:", 0));
  other.add("data:7", 1, 0, &result);
  EXPECT_EQ(table_.digest("data:", 0), other.digest("data:", 0)) << "a number or its text";
  other.set("load:1", "x", 0);
  EXPECT_EQ(table_.digest("data:", 0), other.digest("data:", 0));
  EXPECT_NE(table_.digest("", 0), other.digest("", 0));
}

TEST_F(TableTest, CopyTakesAllThatIsReachable) {
  for (int i = 0; i < 3000; ++i) table_.set("k" + std::to_string(i), "v", i % 3 == 0 ? 50 : 0);
  int64_t result = 0;
  table_.add("n", 5, 0, &result);
  const outlive::Memory fresh = test_memory();
  const Heap heap(fresh.handle());
  Table copy(heap, Table::create(heap, 1));
  EXPECT_TRUE(copy.copy_from(heap_, table_.where()));
  EXPECT_EQ(copy.size(), table_.size());
  EXPECT_EQ(copy.digest("", 10), table_.digest("", 10));
  EXPECT_EQ(copy.digest("", 60), table_.digest("", 60));
}

TEST_F(TableTest, CopyNeverFollowsGarbage) {
  for (int i = 0; i < 200; ++i) table_.set("k" + std::to_string(i), "v", 0);
  const outlive::Memory fresh = test_memory();
  const Heap heap(fresh.handle());
  std::mt19937_64 random(1);
  std::vector<Offset> nodes;
  table_.for_each(0, [&](const Entry& entry) { nodes.push_back(heap_.offset(&entry)); });
  for (int round = 0; round < 2000; ++round) {
    auto* word = heap_.at<uint64_t>(nodes[random() % nodes.size()]) + random() % 5;
    const uint64_t old = *word;
    *word = round % 2 == 0 ? random() : random() % (1 << 20);
    const Offset into = Table::create(heap, 1);
    Table copy(heap, into);
    copy.copy_from(heap_, table_.where());  // true or false, but it comes back, inside the memory
    EXPECT_LE(copy.size(), 200U);
    Table::destroy(heap, into);
    *word = old;
  }
}

}  // namespace
}  // namespace kv
