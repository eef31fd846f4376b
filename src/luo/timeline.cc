#include "luo/timeline.h"

#include <string.h>

#include <algorithm>

#include "kho/store.h"

namespace outlive::luo {
namespace {

template <size_t N>
std::string text_of(const char (&field)[N]) {
  return std::string(field, strnlen(field, N));
}

}  // namespace

Result<kho::Phys> Timeline::make(kho::Arena& arena, uint64_t update) {
  const kho::Phys page = TRY(arena.alloc_preserve(abi::kPageSize, abi::kOwnerTimeline));
  abi::TimelinePage header{};
  memcpy(header.compatible, abi::kTimelineCompatible, sizeof abi::kTimelineCompatible);
  header.update = update;
  kho::store_bytes(arena.at(page, sizeof header), &header, sizeof header);
  return page;
}

Timeline::Timeline(kho::Arena& arena, uint64_t address, uint64_t added_ns) : added_ns_(added_ns) {
  if (!arena.is_live(kho::Phys{address}, abi::kOwnerTimeline, abi::kPageSize)) return;
  auto* page = arena.object<abi::TimelinePage>(kho::Phys{address});
  if (text_of(page->compatible) != abi::kTimelineCompatible) return;
  if (page->count > abi::kTimelineEntries) return;
  page_ = page;
}

size_t Timeline::begin(std::string_view who, std::string_view what, uint64_t now_ns) {
  if (!valid()) return SIZE_MAX;
  if (page_->count == abi::kTimelineEntries) {
    kho::store_word(&page_->lost, page_->lost + 1);
    return SIZE_MAX;
  }
  abi::TimelineEntry entry{};
  entry.start_ns = now_ns + added_ns_;
  memcpy(entry.who, who.data(), std::min(who.size(), sizeof entry.who - 1));
  memcpy(entry.what, what.data(), std::min(what.size(), sizeof entry.what - 1));
  const size_t index = page_->count;
  kho::store_bytes(&list()[index], &entry, sizeof entry);
  kho::store_word(&page_->count, index + 1);
  return index;
}

void Timeline::end(size_t entry, uint64_t now_ns) {
  if (valid() && entry < page_->count) kho::store_word(&list()[entry].end_ns, now_ns + added_ns_);
}

void Timeline::end(std::string_view who, std::string_view what, uint64_t now_ns) {
  if (!valid()) return;
  for (size_t i = page_->count; i-- > 0;) {
    abi::TimelineEntry& entry = list()[i];
    if (entry.end_ns == 0 && text_of(entry.who) == who.substr(0, sizeof entry.who - 1) &&
        text_of(entry.what) == what.substr(0, sizeof entry.what - 1)) {
      kho::store_word(&entry.end_ns, now_ns + added_ns_);
      return;
    }
  }
}

void Timeline::point(std::string_view who, std::string_view what, uint64_t now_ns) {
  end(begin(who, what, now_ns), now_ns);
}

uint64_t Timeline::bar_since_first(std::string_view what, std::string_view who,
                                   std::string_view name, uint64_t now_ns) {
  uint64_t first = UINT64_MAX;
  for (const Entry& one : entries()) {
    if (one.what == what) first = std::min(first, one.start_ns);
  }
  if (first == UINT64_MAX) return 0;
  end(begin(who, name, first - added_ns_), now_ns);
  return now_ns + added_ns_ - std::min(first, now_ns + added_ns_);
}

bool Timeline::is_open(std::string_view who, std::string_view what) const {
  const std::vector<Entry> all = entries();
  return std::ranges::any_of(
      all, [&](const Entry& one) { return one.end_ns == 0 && one.who == who && one.what == what; });
}

std::vector<Timeline::Entry> Timeline::entries() const {
  std::vector<Entry> result;
  if (!valid()) return result;
  for (size_t i = 0; i < page_->count; ++i) {
    const abi::TimelineEntry& entry = list()[i];
    result.push_back({text_of(entry.who), text_of(entry.what), entry.start_ns, entry.end_ns});
  }
  return result;
}

}  // namespace outlive::luo
