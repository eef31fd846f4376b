// bench-arena: what a page costs. Google Benchmark; bench.py reads its JSON.
//
//   page     alloc_preserve and free of a page
//   attach   the next process takes over an arena with so many preserved pages
#include <benchmark/benchmark.h>

#include "kho/arena.h"

namespace outlive::bench {
namespace {

constexpr uint16_t kOwner = 7;
// Descriptors and tracker come on top of the pages.
constexpr uint64_t kSlackBytes = uint64_t{256} << 20;

struct Owned {
  UniqueFd file;
  std::unique_ptr<kho::Arena> arena;
};

Result<Owned> make(uint64_t pages) {
  Owned owned;
  owned.file = TRY(kho::Arena::create_file(pages * 4096 + kSlackBytes));
  owned.arena = TRY(kho::Arena::create(owned.file));
  return owned;
}

// `others`: pages that are preserved around it. Alone it makes and frees a node of the tracker,
// too.
void page(benchmark::State& state, unsigned others) {
  auto made = make(1 + others);
  if (!made) return state.SkipWithError(made.error().text().c_str());
  for (unsigned i = 0; i < others; ++i) {
    auto folio = made->arena->alloc_preserve(4096, kOwner);
    if (!folio) return state.SkipWithError(folio.error().text().c_str());
  }
  for (auto _ : state) {
    auto folio = made->arena->alloc_preserve(4096, kOwner);
    if (!folio) return state.SkipWithError(folio.error().text().c_str());
    made->arena->free(*folio);
  }
}
BENCHMARK_CAPTURE(page, among_others, 100);
BENCHMARK_CAPTURE(page, alone, 0);

// Not taken back at once: what the allocator keeps at hand for such pairs doesn't help here.
void pages_in_bulk(benchmark::State& state) {
  const auto pages = static_cast<uint64_t>(state.range(0));
  auto made = make(pages);
  if (!made) return state.SkipWithError(made.error().text().c_str());
  std::vector<kho::Phys> folios(pages);
  for (auto _ : state) {
    for (kho::Phys& folio : folios) {
      auto taken = made->arena->alloc_preserve(4096, kOwner);
      if (!taken) return state.SkipWithError(taken.error().text().c_str());
      folio = *taken;
    }
    for (const kho::Phys folio : folios) made->arena->free(folio);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(pages_in_bulk)->Arg(10000);

void attach(benchmark::State& state) {
  const auto pages = static_cast<uint64_t>(state.range(0));
  auto made = make(pages);
  if (!made) return state.SkipWithError(made.error().text().c_str());
  for (uint64_t i = 0; i < pages; ++i) {
    auto folio = made->arena->alloc_preserve(4096, kOwner);
    if (!folio) return state.SkipWithError(folio.error().text().c_str());
  }
  made->arena.reset();
  for (auto _ : state) {
    auto attached = kho::Arena::attach(made->file);
    if (!attached) return state.SkipWithError(attached.error().text().c_str());
    state.PauseTiming();
    attached->reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
// 1 Mi pages are 4 GiB: bench.py leaves them out where there isn't the memory.
BENCHMARK(attach)->Arg(10000)->Arg(1000000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace outlive::bench

BENCHMARK_MAIN();
