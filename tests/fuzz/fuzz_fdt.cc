// Blobs that another kernel or process left: the root FDT, memblock, LUO in all its versions. The
// first byte chooses the reader.
#include "abi/kernel_blobs.h"
#include "abi/kho.h"
#include "abi/luo.h"
#include "fuzz.h"
#include "kho/fdt.h"
#include "kho/kernel_blobs.h"
#include "kho/reserve_mem.h"
#include "kho/root_fdt_format.h"

namespace outlive::fuzz {

void run(Input input) {
  Reader reader(input);
  const auto reader_number = reader.take<uint8_t>();
  // A copy of just this size: a read behind it is seen.
  const std::vector<std::byte> bytes(reader.rest().begin(), reader.rest().end());
  switch (reader_number % 4) {
    case 0:
      // What is in an arena is a page.
      static_cast<void>(kho::parse_root_fdt(bytes));
      break;
    case 1:
      static_cast<void>(kho::parse_kernel_root_fdt(bytes));
      break;
    case 2:
      static_cast<void>(kho::parse_memblock(bytes));
      break;
    default:
      static_cast<void>(kho::parse_luo_blob(bytes));
  }
}

namespace {

std::string with(char reader, std::string_view blob) {
  return std::string(1, reader) + std::string(blob);
}

std::string fdt_of(const std::function<void(kho::FdtBuilder&)>& fill) {
  kho::FdtBuilder fdt(2048);
  fill(fdt);
  return std::string(text_of(fdt.finish().take()));
}

std::string luo_v1() {
  return fdt_of([](kho::FdtBuilder& fdt) {
    fdt.set_string(0, abi::kPropCompatible, abi::kLuoCompatible);
    fdt.set_word(0, abi::kPropLiveUpdateNumber, 3);
    const int flb = fdt.add_node(abi::kNodeLuoFlb);
    fdt.set_string(flb, abi::kPropCompatible, abi::kLuoFlbCompatible);
    fdt.set_word(flb, abi::kPropLuoFlbHeader, 0x5000);
    const int session = fdt.add_node(abi::kNodeLuoSession);
    fdt.set_string(session, abi::kPropCompatible, abi::kLuoSessionCompatible);
    fdt.set_word(session, abi::kPropLuoSessionHeader, 0x6000);
  });
}

std::string luo_v2() {
  return fdt_of([](kho::FdtBuilder& fdt) {
    fdt.set_string(0, abi::kPropCompatible, abi::kLuoFdtVersions[1]);
    fdt.set_word(0, abi::kPropLuoAbiHeader, 0x7000);
  });
}

std::string memblock() {
  return fdt_of([](kho::FdtBuilder& fdt) {
    fdt.set_string(0, abi::kPropCompatible, abi::kMemblockCompatible);
    const int node = fdt.add_node("log");
    fdt.set_string(node, abi::kPropCompatible, abi::kReserveMemCompatible);
    fdt.set_word(node, abi::kPropStart, 0x10000);
    fdt.set_word(node, abi::kPropSize, 0x4000);
  });
}

}  // namespace

void make_seeds(const Keep& keep) {
  kho::RootFdtContents contents;
  contents.compatible = abi::kKhoCompatible;
  contents.memory_map = kho::Phys{0x4000};
  contents.subtrees = {{"LUO", kho::Phys{0x9000}, 300}, {"memblock", kho::Phys{0xa000}, 200}};
  const std::vector<std::byte> root = kho::build_root_fdt(contents).take();
  const std::string_view used = text_of(root).substr(0, kho::fdt_size(root));
  keep("root", with(0, used));
  keep("kernel-root", with(1, used));
  keep("memblock", with(2, memblock()));
  keep("luo-v1", with(3, luo_v1()));
  keep("luo-v2", with(3, luo_v2()));
  for (const char* version : abi::kLuoStructVersions) {
    abi::LuoV5 raw{};
    std::memcpy(raw.compatible, version, strlen(version));
    raw.liveupdate_num = 4;
    raw.sessions_pa = 0x5000;
    raw.flbs_pa = 0x6000;
    keep(version, with(3, {reinterpret_cast<const char*>(&raw), sizeof raw}));
  }
}

}  // namespace outlive::fuzz
