#include "table.h"

#include <cstring>

#include "resp.h"

namespace kv {
namespace {

uint64_t reverse_bits(uint64_t x) {
  x = (x >> 1 & 0x5555555555555555) | (x & 0x5555555555555555) << 1;
  x = (x >> 2 & 0x3333333333333333) | (x & 0x3333333333333333) << 2;
  x = (x >> 4 & 0x0f0f0f0f0f0f0f0f) | (x & 0x0f0f0f0f0f0f0f0f) << 4;
  return __builtin_bswap64(x);
}

uint64_t mix(uint64_t x) {  // the finalizer of SplitMix64
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
  uint64_t h = seed ^ bytes.size();
  while (bytes.size() >= 8) {
    uint64_t word = 0;
    memcpy(&word, bytes.data(), 8);
    h = mix(h ^ word) + 0x9e3779b97f4a7c15;
    bytes.remove_prefix(8);
  }
  uint64_t tail = 0;
  if (!bytes.empty()) memcpy(&tail, bytes.data(), bytes.size());
  return mix(h ^ tail);
}

bool is_marker(const Entry* node) {
  return node->order % 2 == 0;
}
bool is_live(const Entry* entry, uint64_t now_ms) {
  return entry->expires_ms == 0 || entry->expires_ms > now_ms;
}

// Segment i > 0 holds the buckets that the i-th doubling added.
uint64_t segment_start(uint32_t segment) {
  return segment == 0 ? 0 : uint64_t{1} << (kFirstBits + segment - 1);
}

}  // namespace

Offset Table::create(const Heap& heap, uint64_t seed) {
  const Change change(heap);
  const Offset table = heap.allocate(sizeof(TableHeader));
  const size_t first = sizeof(Offset) << kFirstBits;
  const Offset segment = table == 0 ? 0 : heap.allocate(first);
  if (segment == 0) {
    heap.free(table);
    return 0;
  }
  memset(heap.at<char>(segment), 0, first);
  TableHeader* header = heap.at<TableHeader>(table);
  memset(header, 0, sizeof *header);
  header->seed = seed;
  header->bits = kFirstBits;
  header->segments[0] = segment;
  *heap.at<Offset>(segment) = table + offsetof(TableHeader, head);
  return table;
}

void Table::destroy(const Heap& heap, Offset table) {
  const Change change(heap);
  const TableHeader* header = heap.at<TableHeader>(table);
  for (Offset node = header->head.next; node != 0;) {
    const Offset next = heap.at<Entry>(node)->next;
    heap.free(node);
    node = next;
  }
  for (const Offset segment : header->segments) heap.free(segment);
  heap.free(table);
}

uint64_t Table::hash(std::string_view key) const {
  return hash_bytes(key, header()->seed);
}

Offset* Table::bucket_slot(uint64_t bucket) const {
  uint32_t segment = 0;
  if (bucket >> kFirstBits != 0) {
    segment = 64 - static_cast<uint32_t>(__builtin_clzll(bucket)) - kFirstBits;
  }
  return heap_.at<Offset>(header()->segments[segment]) + (bucket - segment_start(segment));
}

// The bucket's marker; made at the first use. Out of memory: a marker further to the left does too.
Marker* Table::marker(uint64_t bucket) {
  Offset* slot = bucket_slot(bucket);
  if (*slot != 0) return heap_.at<Marker>(*slot);
  const uint64_t parent = bucket & ~(uint64_t{1} << (63 - __builtin_clzll(bucket)));
  Marker* left = marker(parent);
  const Change change(heap_);
  const Offset made = heap_.allocate(sizeof(Marker));
  if (made == 0) return left;
  const uint64_t order = reverse_bits(bucket);
  Offset* at = &left->next;
  while (*at != 0 && heap_.at<Entry>(*at)->order < order) at = &heap_.at<Entry>(*at)->next;
  Marker* fresh = heap_.at<Marker>(made);
  *fresh = {*at, order};
  publish(at, made);
  publish(slot, made);
  return fresh;
}

Table::Place Table::find(std::string_view key) {
  const uint64_t h = hash(key);
  const uint64_t order = reverse_bits(h) | 1;
  Offset* at = &marker(h & ((uint64_t{1} << header()->bits) - 1))->next;
  for (; *at != 0; at = &heap_.at<Entry>(*at)->next) {
    Entry* entry = heap_.at<Entry>(*at);
    if (entry->order > order) break;
    if (entry->order == order && entry->key() == key) return {at, entry};
  }
  return {at, nullptr};
}

Entry* Table::find_live(std::string_view key, uint64_t now_ms) {
  const Place place = find(key);
  return place.entry != nullptr && is_live(place.entry, now_ms) ? place.entry : nullptr;
}

Entry* Table::build(std::string_view key, std::string_view value, uint64_t expires_ms) {
  const Offset made = heap_.allocate(sizeof(Entry) + key.size() + value.size());
  if (made == 0) return nullptr;
  Entry* entry = heap_.at<Entry>(made);
  entry->order = reverse_bits(hash(key)) | 1;
  entry->expires_ms = expires_ms;
  entry->number = 0;
  entry->key_size = static_cast<uint32_t>(key.size());
  entry->value_size = static_cast<uint32_t>(value.size());
  char* bytes = reinterpret_cast<char*>(entry + 1);
  memcpy(bytes, key.data(), key.size());
  if (!value.empty()) memcpy(bytes + key.size(), value.data(), value.size());
  return entry;
}

// Puts a built entry into the list, in place of the one that has its key.
void Table::link(std::string_view key, Entry* entry) {
  const Place place = find(key);
  const Offset made = heap_.offset(entry);
  entry->next = place.entry != nullptr ? place.entry->next : *place.link;
  publish(place.link, made);
  if (place.entry != nullptr) {
    heap_.free(heap_.offset(place.entry));
  } else if (++header()->entries > uint64_t{1} << header()->bits) {
    grow();
  }
}

void Table::remove(Place place) {
  publish(place.link, place.entry->next);
  --header()->entries;
  heap_.free(heap_.offset(place.entry));
}

// Doubles the buckets. No memory for it: the runs get longer, that is all.
void Table::grow() {
  const auto segment = static_cast<uint32_t>(header()->bits - kFirstBits + 1);
  if (segment >= kSegments) return;
  const size_t bytes = sizeof(Offset) * segment_start(segment);
  const Offset made = heap_.allocate(bytes);
  if (made == 0) return;
  memset(heap_.at<char>(made), 0, bytes);
  publish(&header()->segments[segment], made);
  publish(&header()->bits, header()->bits + 1);
}

bool Table::get(std::string_view key, uint64_t now_ms, std::string* digits,
                std::string_view* value) {
  const Entry* entry = find_live(key, now_ms);
  if (entry == nullptr) return false;
  if (entry->value_size != Entry::kNumber) {
    *value = entry->value();
  } else {
    *digits = std::to_string(entry->number);
    *value = *digits;
  }
  return true;
}

bool Table::set(std::string_view key, std::string_view value, uint64_t expires_ms) {
  const Change change(heap_);
  Entry* entry = build(key, value, expires_ms);
  if (entry == nullptr) return false;
  link(key, entry);
  return true;
}

bool Table::erase(std::string_view key, uint64_t now_ms) {
  const Place place = find(key);
  if (place.entry == nullptr) return false;
  const Change change(heap_);
  const bool was_live = is_live(place.entry, now_ms);
  remove(place);
  return was_live;
}

Table::Added Table::add(std::string_view key, int64_t by, uint64_t now_ms, int64_t* result) {
  Entry* entry = find_live(key, now_ms);
  int64_t old = 0;
  if (entry != nullptr && entry->value_size == Entry::kNumber) {
    old = entry->number;
  } else if (entry != nullptr && !parse_integer(entry->value(), &old)) {
    return Added::kNotNumber;
  }
  if (__builtin_add_overflow(old, by, result)) return Added::kOverflow;
  if (entry != nullptr && entry->value_size == Entry::kNumber) {
    __atomic_store_n(&entry->number, *result, __ATOMIC_RELEASE);  // whole, or not at all
    return Added::kOk;
  }
  const Change change(heap_);
  Entry* made = build(key, {}, entry != nullptr ? entry->expires_ms : 0);
  if (made == nullptr) return Added::kNoMemory;
  made->value_size = Entry::kNumber;
  made->number = *result;
  link(key, made);
  return Added::kOk;
}

bool Table::expire(std::string_view key, uint64_t expires_ms, uint64_t now_ms) {
  Entry* entry = find_live(key, now_ms);
  if (entry == nullptr) return false;
  __atomic_store_n(&entry->expires_ms, expires_ms, __ATOMIC_RELEASE);
  return true;
}

bool Table::expiry(std::string_view key, uint64_t now_ms, uint64_t* expires_ms) {
  const Entry* entry = find_live(key, now_ms);
  if (entry != nullptr) *expires_ms = entry->expires_ms;
  return entry != nullptr;
}

size_t Table::sweep(size_t buckets, uint64_t now_ms) {
  size_t removed = 0;
  for (; buckets > 0; --buckets) {
    const uint64_t mask = (uint64_t{1} << header()->bits) - 1;
    const Offset* slot = bucket_slot(swept_++ & mask);
    if (*slot == 0) continue;  // never used: its entries belong to a marker on the left
    Offset* at = &heap_.at<Marker>(*slot)->next;
    while (*at != 0 && !is_marker(heap_.at<Entry>(*at))) {
      Entry* entry = heap_.at<Entry>(*at);
      if (is_live(entry, now_ms)) {
        at = &entry->next;
      } else {
        const Change change(heap_);
        remove({at, entry});
        ++removed;
      }
    }
  }
  return removed;
}

void Table::for_each(uint64_t now_ms, const Visitor& visit) const {
  for (Offset node = header()->head.next; node != 0; node = heap_.at<Entry>(node)->next) {
    const Entry* entry = heap_.at<Entry>(node);
    if (!is_marker(entry) && is_live(entry, now_ms)) visit(*entry);
  }
}

uint64_t Table::digest(std::string_view prefix, uint64_t now_ms) const {
  uint64_t sum = 0;
  for_each(now_ms, [&](const Entry& entry) {
    if (entry.key().substr(0, prefix.size()) != prefix) return;
    sum += hash_bytes(text_of(entry), hash_bytes(entry.key(), 0x6b76));
  });
  return sum;
}

bool Table::copy_from(const Heap& other, Offset table) {
  const auto* from = other.checked<TableHeader>(table);
  if (from == nullptr) return false;
  uint64_t order = 0;
  uint64_t steps = outlive_memory_size(other.memory()) / sizeof(Marker);
  for (Offset node = from->head.next; node != 0;) {
    const auto* marker = other.checked<Marker>(node);
    // The order never falls, and a walk of more steps than fit in the memory goes in a circle.
    if (marker == nullptr || marker->order < order || steps-- == 0) return false;
    order = marker->order;
    if (order % 2 != 0) {
      const auto* entry = other.checked<Entry>(node);
      if (entry == nullptr) return false;
      const bool number = entry->value_size == Entry::kNumber;
      const size_t bytes = size_t{entry->key_size} + (number ? 0 : entry->value_size);
      if (other.checked<Entry>(node, sizeof(Entry) + bytes) == nullptr) return false;
      if (!set(entry->key(), text_of(*entry), entry->expires_ms)) return false;
    }
    node = marker->next;
  }
  return true;
}

std::string text_of(const Entry& entry) {
  if (entry.value_size == Entry::kNumber) return std::to_string(entry.number);
  return std::string(entry.value());
}

}  // namespace kv
