#include "store.h"

#include <algorithm>
#include <cstring>

namespace kv {

bool Store::create(uint64_t seed, uint64_t copy) {
  root_ = heap_.allocate(sizeof(State));
  const Offset slots = heap_.allocate(sizeof(Slot) * kSlots);
  const Offset table = Table::create(heap_, seed);
  if (root_ == 0 || slots == 0 || table == 0) return false;
  memset(heap_.at<char>(slots), 0, sizeof(Slot) * kSlots);
  State* state = heap_.at<State>(root_);
  memset(state, 0, sizeof *state);
  memcpy(state->compatible, kStateCompatible, sizeof kStateCompatible);
  state->copy = copy;
  state->table = table;
  state->slots = slots;
  table_ = Table(heap_, table);
  return true;
}

const char* Store::open() {
  root_ = outlive_memory_root(heap_.memory());
  const auto* state = heap_.checked<State>(root_);
  if (state == nullptr) return "memory without a root";
  if (memcmp(state->compatible, kStateCompatible, sizeof kStateCompatible) != 0) {
    return "memory of another format";
  }
  if (heap_.checked<TableHeader>(state->table) == nullptr ||
      heap_.checked<Slot>(state->slots, sizeof(Slot) * kSlots) == nullptr ||
      state->slots_used > kSlots) {
    return "table or slots outside the memory";
  }
  table_ = Table(heap_, state->table);
  return nullptr;
}

void Store::refresh() {
  heap_.refresh();
  table_ = Table(heap_, state().table);
}

bool Store::flush(uint64_t seed) {
  const Change change(heap_);
  const Offset fresh = Table::create(heap_, seed);
  if (fresh == 0) return false;
  const Offset old = state().table;
  publish(&state().table, fresh);
  table_ = Table(heap_, fresh);
  Table::destroy(heap_, old);
  return true;
}

void Store::forget_connections() {
  const Change change(heap_);
  for (uint32_t i = 0; i < state().slots_used; ++i) {
    heap_.free(slot(i).input.block);
    heap_.free(slot(i).output.block);
    slot(i) = {};
  }
  state().slots_used = 0;
}

std::string_view Store::contents(const Buffer& buffer) const {
  if (buffer.block == 0) return {};
  return {heap_.at<char>(buffer.block) + buffer.begin, buffer.end - buffer.begin};
}

char* Store::reserve(Buffer* buffer, size_t bytes) {
  const Change change(heap_);
  const size_t capacity = buffer->block == 0 ? 0 : heap_.usable(buffer->block);
  if (capacity - buffer->end < bytes || buffer->block == 0) {
    const std::string_view old = contents(*buffer);
    const Offset block = heap_.allocate(std::max(old.size() + bytes, 2 * old.size()));
    if (block == 0) return nullptr;
    if (!old.empty()) memcpy(heap_.at<char>(block), old.data(), old.size());
    heap_.free(buffer->block);
    *buffer = {block, 0, old.size()};
  }
  return heap_.at<char>(buffer->block) + buffer->end;
}

bool Store::append(Buffer* buffer, std::string_view bytes) {
  if (bytes.empty()) return true;
  char* room = reserve(buffer, bytes.size());
  if (room == nullptr) return false;
  memcpy(room, bytes.data(), bytes.size());
  buffer->end += bytes.size();
  return true;
}

void Store::consume(Buffer* buffer, size_t bytes) {
  buffer->begin += bytes;
  if (buffer->block == 0 || buffer->begin < buffer->end) return;
  const Change change(heap_);
  heap_.free(buffer->block);
  *buffer = {};
}

}  // namespace kv
