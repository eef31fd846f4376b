#include "kho/scattered.h"

#include <algorithm>
#include <unordered_set>

#include "base/check.h"

namespace outlive::kho {

namespace {

constexpr size_t kPerChunk = 511;

Error bad_chain(Phys chunk, const char* why) {
  return fail(EUCLEAN, "scattered memory, chunk {:#x}: {}", chunk.value, why);
}

// Gives chunks back and folios their state, unless it is committed.
struct Undo {
  explicit Undo(Arena& its_arena) : arena(its_arena) {}
  ~Undo() {
    for (const Phys folio : folios) CHECK(arena.unpreserve(folio));
    for (const Phys chunk : chunks) arena.free(chunk);
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  void commit() {
    folios.clear();
    chunks.clear();
  }
  Arena& arena;
  std::vector<Phys> folios;
  std::vector<Phys> chunks;
};

void fill_chunk(Arena& arena, Phys chunk, Phys next, std::span<const Phys> folios) {
  auto* words = arena.object<uint64_t>(chunk);
  store_word(words, next.value);
  for (size_t i = 0; i < folios.size(); ++i) store_word(words + 1 + i, folios[i].value);
}

struct Chain {
  std::vector<Phys> chunks;
  std::vector<Phys> folios;
};

Result<Chain> read_chain(const Arena& arena, const abi::ScatteredMemory& memory) {
  const unsigned order = memory.order;
  const uint64_t pages = memory.total_pages;
  if (order > abi::kMaxOrder || pages % order_pages(order) != 0 || pages > arena.view().pages()) {
    return fail(EUCLEAN, "scattered memory: {} pages of order {}", pages, order);
  }
  const uint64_t count = pages >> order;
  Chain chain;
  std::unordered_set<uint64_t> seen;
  Phys chunk{memory.first};
  while (chunk.valid()) {
    const std::optional<Folio> folio = arena.folio(chunk);
    if (!folio || !folio->live() || folio->order != 0) return bad_chain(chunk, "not preserved");
    if (!seen.insert(chunk.value).second) return bad_chain(chunk, "is reached twice");
    chain.chunks.push_back(chunk);
    const auto* words = arena.object<uint64_t>(chunk);
    for (size_t i = 1; i <= kPerChunk && words[i] != 0; ++i) {
      const Phys data{words[i]};
      const std::optional<Folio> its = arena.folio(data);
      if (!its || !its->live() || its->order != order) {
        return bad_chain(chunk, "names what is not preserved");
      }
      if (!seen.insert(data.value).second) return bad_chain(chunk, "names a folio twice");
      if (chain.folios.size() == count) return bad_chain(chunk, "names too many folios");
      chain.folios.push_back(data);
    }
    chunk = Phys{words[0]};
  }
  if (chain.folios.size() != count) {
    return fail(EUCLEAN, "scattered memory: {} folios of {}", chain.folios.size(), count);
  }
  return chain;
}

}  // namespace

Result<abi::ScatteredMemory> preserve_scattered(Arena& arena, std::span<const Phys> folios,
                                                unsigned order, uint16_t owner, uint32_t tag,
                                                uint16_t flags) {
  const uint64_t pages = folios.size() << order;
  if (folios.empty() || order > abi::kMaxOrder || pages > UINT32_MAX) {
    return fail(EINVAL, "scattered memory: {} folios of order {}", folios.size(), order);
  }
  for (const Phys folio : folios) {
    const std::optional<Folio> found = arena.folio(folio);
    if (!found || found->live() || found->order != order) {
      return fail(EINVAL, "scattered memory: {:#x} is no unpreserved folio of order {}",
                  folio.value, order);
    }
  }
  Undo undo(arena);
  Phys next;
  // The last chunk first, so that each knows the next one.
  for (size_t chunk = (folios.size() + kPerChunk - 1) / kPerChunk; chunk-- > 0;) {
    const Phys page = TRY(arena.alloc_preserve(abi::kPageSize, owner, tag));
    undo.chunks.push_back(page);
    const size_t first = chunk * kPerChunk;
    fill_chunk(arena, page, next,
               folios.subspan(first, std::min(kPerChunk, folios.size() - first)));
    next = page;
  }
  for (const Phys folio : folios) {
    TRY(arena.preserve(folio));
    undo.folios.push_back(folio);
  }
  undo.commit();
  return abi::ScatteredMemory{.first = next.value,
                              .total_pages = static_cast<uint32_t>(pages),
                              .flags = flags,
                              .order = static_cast<uint16_t>(order)};
}

Result<std::vector<Phys>> scattered_folios(const Arena& arena, const abi::ScatteredMemory& memory) {
  Chain chain = TRY(read_chain(arena, memory));
  return std::move(chain.folios);
}

Result<std::vector<Phys>> scattered_chunks(const Arena& arena, const abi::ScatteredMemory& memory) {
  Chain chain = TRY(read_chain(arena, memory));
  return std::move(chain.chunks);
}

Result<std::vector<Phys>> restore_scattered(Arena& arena, const abi::ScatteredMemory& memory) {
  Chain chain = TRY(read_chain(arena, memory));
  for (const Phys folio : chain.folios) TRY(arena.restore(folio));
  for (const Phys chunk : chain.chunks) arena.free(chunk);
  return std::move(chain.folios);
}

Status unpreserve_scattered(Arena& arena, const abi::ScatteredMemory& memory) {
  TRY(restore_scattered(arena, memory));
  return {};
}

}  // namespace outlive::kho
