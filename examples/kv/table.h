// Table: the keys and values, in outlive memory. A hash table that a SIGKILL can't tear.
//
// All entries are in ONE linked list, ordered by their bit-reversed hash. A bucket is only a
// shortcut into it: the marker at which the bucket's entries start (a "split-ordered list",
// Shalev and Shavit 2006). Doubling the buckets moves no entry: a new marker splits an old run.
//
//   buckets   [0]            [2]             [1]            [3]
//              v              v               v              v
//   list     marker -> e -> marker -> e,e -> marker -> e -> marker -> end
//
// So every change is one store (heap.h: publish): an entry is built whole, then linked; replaced by
// linking the new one in the old one's place; removed by linking past it. Whenever the process
// dies, the list from its head is whole, and has everything that was ever acknowledged. What is
// derived (the count, the allocator's own lists) is bracketed by Change.
//
// Time comes in as `now_ms` (Unix time): an entry whose time has come is as good as gone.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "heap.h"

namespace kv {

struct Entry {  // the key's bytes follow, then the value's
  Offset next;
  uint64_t order;       // bit-reversed hash, odd; a marker's: bit-reversed bucket, even
  uint64_t expires_ms;  // 0: never
  int64_t number;       // the value when value_size is kNumber: INCR is one store
  uint32_t key_size;
  uint32_t value_size;
  static constexpr uint32_t kNumber = UINT32_MAX;

  std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), key_size}; }
  std::string_view value() const { return {key().data() + key_size, value_size}; }
};

struct Marker {  // the first two members of Entry
  Offset next;
  uint64_t order;
};

inline constexpr uint32_t kFirstBits = 10;
inline constexpr uint32_t kSegments = 40;

struct TableHeader {
  Marker head;    // of bucket 0
  uint64_t seed;  // of the hash
  uint64_t bits;  // 1 << bits buckets
  uint64_t entries;
  Offset segments[kSegments];  // 0: the first 1 << kFirstBits buckets, i: as many as all before
};

class Table {
 public:
  // An empty one; 0 when out of memory.
  static Offset create(const Heap& heap, uint64_t seed);
  // Frees one that nothing points to any more.
  static void destroy(const Heap& heap, Offset table);

  Table() = default;
  Table(const Heap& heap, Offset table) : heap_(heap), header_(table) {}

  uint64_t size() const { return header()->entries; }
  Offset where() const { return header_; }
  // The value's text (a number's is written to *digits). False: no such key.
  bool get(std::string_view key, uint64_t now_ms, std::string* digits, std::string_view* value);
  bool exists(std::string_view key, uint64_t now_ms) { return find_live(key, now_ms) != nullptr; }
  // False: out of memory, nothing has changed.
  bool set(std::string_view key, std::string_view value, uint64_t expires_ms);
  bool erase(std::string_view key, uint64_t now_ms);  // false: no such key
  enum class Added { kOk, kNotNumber, kOverflow, kNoMemory };
  Added add(std::string_view key, int64_t by, uint64_t now_ms, int64_t* result);
  bool expire(std::string_view key, uint64_t expires_ms, uint64_t now_ms);
  // When it expires (0: never). False: no such key.
  bool expiry(std::string_view key, uint64_t now_ms, uint64_t* expires_ms);

  // Removes what has expired in the next `buckets` buckets; returns how many.
  size_t sweep(size_t buckets, uint64_t now_ms);
  using Visitor = std::function<void(const Entry&)>;
  void for_each(uint64_t now_ms, const Visitor& visit) const;
  // Over keys that start with `prefix` and their values; the same in any order.
  uint64_t digest(std::string_view prefix, uint64_t now_ms) const;
  // Copies what the list of a table that a crash left reaches (every step checked against the
  // memory's bounds) into this one. False: out of memory, or the list leads out of the memory.
  bool copy_from(const Heap& other, Offset table);

 private:
  struct Place {  // *link leads to `entry`, or to where it belongs
    Offset* link;
    Entry* entry;
  };
  TableHeader* header() const { return heap_.at<TableHeader>(header_); }
  uint64_t hash(std::string_view key) const;
  Offset* bucket_slot(uint64_t bucket) const;
  Marker* marker(uint64_t bucket);
  Place find(std::string_view key);
  Entry* find_live(std::string_view key, uint64_t now_ms);
  Entry* build(std::string_view key, std::string_view value, uint64_t expires_ms);
  void link(std::string_view key, Entry* entry);
  void remove(Place place);
  void grow();

  Heap heap_;
  Offset header_ = 0;
  uint64_t swept_ = 0;
};

// The value as text, for those who walk.
std::string text_of(const Entry& entry);

}  // namespace kv
