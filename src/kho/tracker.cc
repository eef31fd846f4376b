#include "kho/tracker.h"

#include <bit>

#include "base/check.h"

namespace outlive::kho {

namespace {

constexpr uint64_t kBitMask = (uint64_t{1} << abi::kTrackerBitmapBits) - 1;
constexpr uint64_t kSlotMask = (uint64_t{1} << abi::kTrackerLevelBits) - 1;

constexpr uint64_t word_index(uint64_t key) {
  return (key & kBitMask) >> 6;
}
constexpr uint64_t word_bit(uint64_t key) {
  return uint64_t{1} << (key & 63);
}
// The entry of a table of this level (1: just above the bitmaps).
constexpr uint64_t slot_index(uint64_t key, unsigned level) {
  return key >> (abi::kTrackerBitmapBits + abi::kTrackerLevelBits * (level - 1)) & kSlotMask;
}

}  // namespace

Status Tracker::create_root() {
  root_ = TRY(new_node());
  population_[root_] = 0;
  return {};
}

void Tracker::adopt(Phys root, const TrackerWalk& walk) {
  root_ = root.page();
  population_ = walk.population;
}

Result<Tracker::Change> Tracker::prepare(uint64_t key) {
  if (key >> abi::kTrackerBitmapBits != recent_prefix_) [[unlikely]]
    return prepare_slow(key);
  Change change;
  change.word = recent_words_ + word_index(key);
  change.value = *change.word | word_bit(key);
  change.page = recent_page_;
  change.prefix = recent_prefix_;
  return change;
}

void Tracker::commit(const Change& change) {
  store_word(change.word, change.value);
  if (change.fresh_count == 0 && change.page == recent_page_) [[likely]] {
    ++*recent_population_;
    return;
  }
  ++population_[change.page];
  for (unsigned i = 0; i < change.fresh_count; ++i) population_[change.fresh[i]] = 1;
  remember(change.prefix, change.fresh_count > 0 ? change.fresh[0] : change.page);
}

void Tracker::clear(uint64_t key) {
  if (key >> abi::kTrackerBitmapBits != recent_prefix_) {
    const uint64_t page = find(key).page[0];
    CHECK(page != 0);
    remember(key >> abi::kTrackerBitmapBits, page);
  }
  uint64_t* word = recent_words_ + word_index(key);
  CHECK((*word & word_bit(key)) != 0);
  store_word(word, *word & ~word_bit(key));
  if (--*recent_population_ == 0) [[unlikely]]
    unlink_empty(key);
}

bool Tracker::test(uint64_t key) const {
  const uint64_t page = find(key).page[0];
  return page != 0 && (load_word(pages_.words(page) + word_index(key)) & word_bit(key)) != 0;
}

Tracker::Path Tracker::find(uint64_t key) const {
  Path path;
  path.page[abi::kTrackerLevels] = root_;
  for (unsigned level = abi::kTrackerLevels; level > 0 && path.page[level] != 0; --level) {
    const uint64_t child = load_word(pages_.words(path.page[level]) + slot_index(key, level));
    path.page[level - 1] = child >> abi::kPageShift;
  }
  return path;
}

Result<uint64_t> Tracker::new_node() {
  const Phys node = TRY(pages_.alloc(0, abi::kOwnerTracker, 0));
  return node.page();
}

void Tracker::free_node(uint64_t page) {
  if (page == recent_page_) recent_prefix_ = ~uint64_t{0};
  population_.erase(page);
  pages_.free(page, pages_.descriptor(page));
}

Result<Tracker::Change> Tracker::prepare_slow(uint64_t key) {
  const Path path = find(key);
  Change change;
  change.prefix = key >> abi::kTrackerBitmapBits;
  if (path.page[0] != 0) {
    remember(change.prefix, path.page[0]);
    change.page = path.page[0];
    change.word = pages_.words(change.page) + word_index(key);
    change.value = *change.word | word_bit(key);
    return change;
  }
  unsigned level = 0;
  for (; path.page[level] == 0; ++level) {
    Result<uint64_t> node = new_node();
    if (!node) {
      while (change.fresh_count > 0) free_node(change.fresh[--change.fresh_count]);
      return node.take_error();
    }
    uint64_t* words = pages_.words(*node);
    if (level == 0) {
      store_word(words + word_index(key), word_bit(key));
    } else {
      store_word(words + slot_index(key, level),
                 change.fresh[change.fresh_count - 1] << abi::kPageShift);
    }
    change.fresh[change.fresh_count++] = *node;
  }
  for (unsigned i = 0; i < change.fresh_count; ++i) {
    pages_.set_descriptor(change.fresh[i],
                          abi::make_descriptor(abi::PageState::kLive, 0, abi::kOwnerTracker, 0));
  }
  change.page = path.page[level];
  change.word = pages_.words(change.page) + slot_index(key, level);
  change.value = change.fresh[change.fresh_count - 1] << abi::kPageShift;
  return change;
}

// The bitmap of this key is empty.
void Tracker::unlink_empty(uint64_t key) {
  const Path path = find(key);
  for (unsigned level = 0; level < abi::kTrackerLevels; ++level) {
    if (population_[path.page[level]] > 0) return;
    const uint64_t parent = path.page[level + 1];
    store_word(pages_.words(parent) + slot_index(key, level + 1), 0);
    --population_[parent];
    free_node(path.page[level]);
  }
}

void Tracker::remember(uint64_t prefix, uint64_t page) {
  recent_prefix_ = prefix;
  recent_page_ = page;
  recent_words_ = pages_.words(page);
  recent_population_ = &population_[page];
}

}  // namespace outlive::kho
