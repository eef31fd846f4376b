// A service's memory region that its next version finds: the region of a real heap, patched
// (fuzz.h). The first byte: bit 0 leaves the header's checksum wrong.
#include "base/check.h"
#include "base/crc32c.h"
#include "base/sys.h"
#include "client/memory.h"
#include "client/memory_check.h"
#include "fuzz.h"

namespace outlive::fuzz {
namespace {

struct Base {
  std::vector<std::byte> image;
  std::vector<uint32_t> words;  // of header, page table and the used pages' first words
  std::vector<uint64_t> offsets;
};

Base make_base() {
  Base base;
  auto file = client::Memory::new_file("outlive-fuzz").take();
  const auto memory = client::Memory::create(std::move(file), "fuzz", 0, uint64_t{16} << 20).take();
  for (uint64_t i = 0; i < 60; ++i) {
    base.offsets.push_back(memory->allocate(i % 10 == 0 ? 9000 : 40 * i).take());
  }
  for (size_t i = 0; i < base.offsets.size(); i += 3) CHECK(memory->free(base.offsets[i]));
  base.image.assign(memory->base(), memory->base() + memory->size());
  const auto& header = *reinterpret_cast<const abi::MemoryHeader*>(base.image.data());
  const uint64_t table_end = abi::kMemoryHeaderSize + header.pages * sizeof(abi::MemoryPage);
  for (uint32_t word = 0; word < table_end / 8; ++word) base.words.push_back(word);
  for (uint64_t page = header.first_page; page < header.pages; ++page) {
    base.words.push_back(static_cast<uint32_t>((page << abi::kMemoryPageShift) / 8));
  }
  std::erase_if(base.words, [&](uint32_t word) { return word >= base.image.size() / 8; });
  return base;
}

const Base& base() {
  static const Base made = make_base();
  return made;
}

void use(client::Memory& memory) {
  static_cast<void>(memory.check());
  static_cast<void>(memory.root());
  static_cast<void>(memory.name());
  if (!memory.make_writable()) return;
  for (size_t i = 0; i < base().offsets.size(); ++i) {
    static_cast<void>(memory.usable(base().offsets[i]));
    if (i % 2 == 0) static_cast<void>(memory.free(base().offsets[i]));
    static_cast<void>(memory.allocate(i * 100));
  }
  static_cast<void>(memory.check());
}

}  // namespace

void run(Input input) {
  Reader reader(input);
  const auto flags = reader.take<uint8_t>();
  std::vector<std::byte> image = base().image;
  apply_patches(reader, image.data(), base().words);
  auto& header = *reinterpret_cast<abi::MemoryHeader*>(image.data());
  if ((flags & 1) == 0) {
    header.crc = crc32c(std::span(image).first(offsetof(abi::MemoryHeader, crc)));
  }
  if (!client::check_memory_header(header, image.size())) return;
  static_cast<void>(client::check_memory(image));
  Result<UniqueFd> file = client::Memory::new_file("outlive-fuzz");
  if (!file || !sys::write_all(*file, text_of(image))) return;
  auto memory = client::Memory::attach(file.take());
  if (memory) use(**memory);
}

void make_seeds(const Keep& keep) {
  const std::string sealed(1, '\0');
  keep("sound", sealed);
  for (uint32_t word = 0; word < 40; word += 3) {
    keep(fmt::format("word-{}", word), sealed + patch_text({{kXor, word, 1}}));
  }
  keep("copies", sealed + patch_text({{kCopy, 70, 71}, {kStore, 80, ~uint64_t{0}}}));
  keep("unsealed", "\x01" + patch_text({{kAdd, 2, 1}}));
}

}  // namespace outlive::fuzz
