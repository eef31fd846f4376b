#include "kho/blocks.h"

#include <unordered_set>

#include "base/check.h"

namespace outlive::kho {

namespace {

constexpr size_t kNextWord = offsetof(abi::BlockHeader, next) / sizeof(uint64_t);
constexpr size_t kCountWord = offsetof(abi::BlockHeader, count) / sizeof(uint64_t);

std::function<bool(Phys)> blocks_of(const Arena& arena, uint16_t owner) {
  return [&arena, owner](Phys page) { return arena.is_live(page, owner); };
}

}  // namespace

BlockWriter::BlockWriter(Arena& arena, uint16_t owner, size_t entry_size, uint32_t tag)
    : arena_(arena), owner_(owner), tag_(tag), entry_size_(entry_size) {
  CHECK(entry_size > 0 && block_capacity(entry_size) > 0);
}

BlockWriter::~BlockWriter() {
  for (const Phys block : blocks_) arena_.free(block);
}

Status BlockWriter::append(std::span<const std::byte> entry) {
  CHECK(entry.size() == entry_size_);
  const size_t capacity = block_capacity(entry_size_);
  const uint64_t inside = count_ % capacity;
  if (inside == 0) {
    const Phys block = TRY(arena_.alloc(0, owner_, tag_));
    if (!blocks_.empty()) {
      store_word(arena_.object<uint64_t>(blocks_.back()) + kNextWord, block.value);
    }
    blocks_.push_back(block);
  }
  std::byte* page = arena_.at(blocks_.back(), abi::kPageSize);
  store_bytes(page + sizeof(abi::BlockHeader) + inside * entry_size_, entry.data(), entry_size_);
  store_word(reinterpret_cast<uint64_t*>(page) + kCountWord, inside + 1);
  ++count_;
  return {};
}

Result<Phys> BlockWriter::commit() {
  for (const Phys block : blocks_) TRY(arena_.preserve(block));  // the destructor undoes a part
  const Phys first = blocks_.empty() ? Phys{} : blocks_.front();
  blocks_.clear();
  return first;
}

Result<std::vector<Phys>> block_chain(const View& view, Phys first, size_t entry_size,
                                      uint64_t most, const std::function<bool(Phys)>& is_block) {
  std::vector<Phys> chain;
  std::unordered_set<uint64_t> seen;
  uint64_t entries = 0;
  for (Phys block = first; block.valid();) {
    const std::byte* page = view.at(block, abi::kPageSize);
    if (block.value % abi::kPageSize != 0 || page == nullptr || !is_block(block)) {
      return fail(EUCLEAN, "block {:#x}: not a preserved page", block.value);
    }
    if (!seen.insert(block.value).second) {
      return fail(EUCLEAN, "block {:#x}: is reached twice", block.value);
    }
    const auto* words = reinterpret_cast<const uint64_t*>(page);
    const uint64_t count = load_word(words + kCountWord);
    if (count > block_capacity(entry_size) || count > most - entries) {
      return fail(EUCLEAN, "block {:#x}: {} entries are too many", block.value, count);
    }
    entries += count;
    chain.push_back(block);
    block = Phys{load_word(words + kNextWord)};
  }
  return chain;
}

Status read_blocks(const View& view, Phys first, size_t entry_size, uint64_t most,
                   const std::function<bool(Phys)>& is_block,
                   const std::function<Status(std::span<const std::byte>)>& fn) {
  const std::vector<Phys> chain = TRY(block_chain(view, first, entry_size, most, is_block));
  for (const Phys block : chain) {
    const std::byte* page = view.at(block, abi::kPageSize);
    const uint64_t count = load_word(reinterpret_cast<const uint64_t*>(page) + kCountWord);
    for (uint64_t i = 0; i < count; ++i) {
      TRY(fn({page + sizeof(abi::BlockHeader) + i * entry_size, entry_size}));
    }
  }
  return {};
}

Status read_blocks(const Arena& arena, uint16_t owner, Phys first, size_t entry_size, uint64_t most,
                   const std::function<Status(std::span<const std::byte>)>& fn) {
  return read_blocks(arena.view(), first, entry_size, most, blocks_of(arena, owner), fn);
}

Status free_blocks(Arena& arena, uint16_t owner, Phys first, size_t entry_size) {
  const std::vector<Phys> chain =
      TRY(block_chain(arena.view(), first, entry_size, ~uint64_t{0}, blocks_of(arena, owner)));
  for (const Phys block : chain) arena.free(block);
  return {};
}

}  // namespace outlive::kho
