// Ten million random operations on a region, against a map of what must be in it.
#include <map>
#include <vector>

#include "client/memory_test_util.h"

namespace outlive::client {
namespace {

struct Block {
  uint64_t bytes;
  uint64_t number;
  size_t place;  // in offsets_
};

class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed), memory_(make_memory(0, uint64_t{2} << 30)) {}

  bool run(uint64_t operations) {
    for (uint64_t i = 1; i <= operations; ++i) {
      // The number of live blocks goes up and down between some hundreds and 60,000.
      const uint64_t wanted = (i / 1'000'000) % 2 == 0 ? 60'000 : 500;
      const bool add = random_() % 1000 < (blocks_.size() < wanted ? 600 : 400);
      if (!(add || blocks_.empty() ? allocate() : free_one())) return fails(i);
      if (i % 500'000 == 0 && !reattach()) return fails(i);
    }
    while (!blocks_.empty()) {
      if (!free_one()) return fails(operations);
    }
    EXPECT_EQ(memory_->blocks(), 0u);
    EXPECT_EQ(memory_->allocated(), 0u);
    EXPECT_EQ(check_text(*memory_), "");
    return true;
  }

 private:
  static bool fails(uint64_t operation) {
    ADD_FAILURE() << "at operation " << operation;
    return false;
  }
  uint64_t up_to(uint64_t most) { return random_() % most + 1; }
  uint64_t some_size() {
    const uint64_t dice = random_() % 10'000;
    if (dice < 7'500) return up_to(256);
    if (dice < 9'800) return up_to(4096);
    if (dice < 9'980) return up_to(65'536);
    return dice < 9'999 ? up_to(256 << 10) : up_to(4 << 20);
  }

  bool allocate() {
    const uint64_t bytes = some_size();
    const Result<uint64_t> made = memory_->allocate(bytes);
    EXPECT_TRUE(made) << made.error().text();
    if (!made) return false;
    const uint64_t offset = *made;
    const uint64_t usable = memory_->usable(offset);
    EXPECT_EQ(offset % 16, 0u);
    EXPECT_GE(usable, bytes);
    if (offset % 16 != 0 || usable < bytes || offset + usable > memory_->size()) return false;
    const auto after = blocks_.lower_bound(offset);
    if (after != blocks_.end() && after->first < offset + usable) return overlap(offset);
    if (after != blocks_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second.bytes > offset) return overlap(offset);
    }
    fill(memory_->base() + offset, usable, ++number_);
    blocks_.emplace_hint(after, offset, Block{usable, number_, offsets_.size()});
    offsets_.push_back(offset);
    allocated_ += usable;
    return true;
  }
  static bool overlap(uint64_t offset) {
    ADD_FAILURE() << "the block at " << offset << " overlaps another one";
    return false;
  }

  bool free_one() {
    const size_t place = random_() % offsets_.size();
    const uint64_t offset = offsets_[place];
    const auto it = blocks_.find(offset);
    const Block block = it->second;
    if (!is_filled(memory_->base() + offset, block.bytes, block.number)) {
      ADD_FAILURE() << "the block at " << offset << " has other bytes";
      return false;
    }
    if (!memory_->free(offset)) return false;
    offsets_[place] = offsets_.back();
    blocks_.find(offsets_[place])->second.place = place;
    offsets_.pop_back();
    blocks_.erase(it);
    allocated_ -= block.bytes;
    return random_() % 16 != 0 || !memory_->free(offset);  // twice is refused
  }

  bool reattach() {
    std::unique_ptr<Memory> again = attach_again(*memory_);
    if (!again || again->base() == memory_->base()) return false;
    EXPECT_EQ(check_text(*again), "");
    EXPECT_TRUE(again->consistent());
    EXPECT_EQ(again->blocks(), blocks_.size());
    EXPECT_EQ(again->allocated(), allocated_);
    for (const auto& [offset, block] : blocks_) {
      if (!is_filled(again->base() + offset, block.bytes, block.number)) return false;
    }
    if (!again->make_writable()) return false;
    memory_ = std::move(again);
    return !testing::Test::HasFailure();
  }

  std::mt19937_64 random_;
  std::unique_ptr<Memory> memory_;
  std::map<uint64_t, Block> blocks_;
  std::vector<uint64_t> offsets_;
  uint64_t number_ = 0;
  uint64_t allocated_ = 0;
};

TEST(MemoryModel, TenMillionOperations) {
  Model model(test_seed());
  EXPECT_TRUE(model.run(10'000'000));
}

}  // namespace
}  // namespace outlive::client
