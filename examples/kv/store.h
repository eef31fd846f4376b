// Store: what is in the outlive memory, from its root. This is kv's format: both versions know it.
//
//   root -> State -> TableHeader ...  (table.h)
//                 -> Slot[slots]      one for each connection: its unfinished input, its unsent
//                 output
#pragma once

#include <cstdint>
#include <string_view>

#include "heap.h"
#include "table.h"

namespace kv {

inline constexpr char kStateCompatible[] = "kv-state-v1";
inline constexpr uint32_t kStateVersion = 1;
inline constexpr uint32_t kSlots = 10000;

// Bytes of a connection that could not be dealt with yet. No block: nothing is there.
struct Buffer {
  Offset block;
  uint64_t begin;
  uint64_t end;
};

struct Slot {
  enum State : uint32_t {
    kFree = 0,
    kOpen = 1,
    kClosing = 2,  // shut down; outlived still holds its copy
  };
  uint32_t state;
  uint32_t preserved;  // outlived holds a copy
  Buffer input;        // a request that is not whole yet, or has to wait until the output is sent
  Buffer output;
};

struct State {
  char compatible[32];
  uint64_t generation;  // processes that have served this state
  uint64_t copy;        // repairs made: of two memories, the higher one counts
  Offset table;
  Offset slots;
  uint64_t slots_used;      // slots behind this one were never used
  uint64_t frozen_outputs;  // connections with unsent output at the last freeze
};

class Store {
 public:
  Store() = default;
  explicit Store(const Heap& heap) : heap_(heap) {}

  // Formats the memory, which nobody finds before set_root(). False: out of memory.
  bool create(uint64_t seed, uint64_t copy);
  void set_root() { outlive_memory_set_root(heap_.memory(), root_); }
  // Finds what is there, and only reads. nullptr, or what is wrong with it.
  const char* open();
  // After the heap's view has changed.
  void refresh();

  Table& table() { return table_; }
  const Heap& heap() const { return heap_; }
  State& state() const { return *heap_.at<State>(root_); }
  Slot& slot(uint32_t index) const { return heap_.at<Slot>(state().slots)[index]; }
  // An empty table in place of the old one. False: out of memory.
  bool flush(uint64_t seed);
  // No connection at all, whatever the slots say: after a crash.
  void forget_connections();

  std::string_view contents(const Buffer& buffer) const;
  // Room for `bytes` more at the end; nullptr: out of memory.
  char* reserve(Buffer* buffer, size_t bytes);
  bool append(Buffer* buffer, std::string_view bytes);
  // Takes `bytes` from the front; the memory goes back when nothing is left.
  void consume(Buffer* buffer, size_t bytes);

 private:
  Heap heap_;
  Offset root_ = 0;
  Table table_;
};

}  // namespace kv
