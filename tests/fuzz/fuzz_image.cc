// An inherited arena: one with sessions, files, services, updates and notes, patched (fuzz.h). It
// is attached, searched by fsck, and dumped. What attach takes must agree with itself: a second
// attach finds nothing to put right. The first byte: 0x80 cuts the file short, by the rest.
#include <unistd.h>

#include "abi/records.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "files/registry_defaults.h"
#include "fuzz.h"
#include "kho/arena.h"
#include "kho/dump.h"
#include "kho/reserve_mem.h"
#include "luo/format.h"
#include "luo/fsck_image.h"
#include "luo/no_updates.h"

namespace outlive::fuzz {
namespace {

constexpr uint64_t kBytes = 1 << 20;

using Handlers = std::vector<std::unique_ptr<luo::FileHandler>>;

const Handlers& handlers() {
  static const Handlers list = [] {
    Handlers made;
    files::register_default_handlers(made);
    return made;
  }();
  return list;
}

luo::Context context() {
  luo::Context made;
  made.handlers = &handlers();
  made.clock = &system_clock();
  made.release = [](BorrowedFd) {};
  return made;
}

template <class S>
S& add(luo::Change& change) {
  return *change.add<S>().take();
}

void fill_records(luo::Core& core) {
  luo::Records& records = core.records();
  const luo::Caller user{1000, 1000, 1, 0, 0};
  {
    luo::Change change(records);
    abi::ServiceSlot& service = *core.services().create(change, user, "web").take();
    service.spec = core.services().make_blob("{\"argv\":[\"web\"]}").take().value;
    service.spec_size = 16;
    auto& update = add<abi::UpdateSlot>(change);
    update.service = records.address_of(&service);
    update.step = static_cast<uint64_t>(abi::UpdateStep::kDone);
    update.successor = update.old = {0, -1, 0, 0, -1, -1};
    update.timeline = luo::Timeline::make(records.arena(), 1).take().value;
    strcpy(update.reason, "vetoed");
    auto& session = add<abi::SessionSlot>(change);
    strcpy(session.name, "kept");
    session.service = records.address_of(&service);
    session.generation = 1;
    for (uint64_t i = 0; i < 6; ++i) {
      auto& file = add<abi::FileSlot>(change);
      file.session = records.address_of(&session);
      file.token = i;
      file.order = i + 1;
      file.fd = static_cast<int64_t>(100 + i);
      strcpy(file.compatible, handlers()[i % handlers().size()]->compatible());
    }
    auto& connection = add<abi::ConnectionSlot>(change);
    connection.fd = 90;
    connection.reply_fd = -1;
    connection.session = records.address_of(&session);
    change.commit();
  }
  luo::Change change(records);
  auto adding = core.subtrees().add(change, user, "note", std::as_bytes(std::span("words"))).take();
  change.commit();
  adding.committed();
}

struct Base {
  std::vector<std::byte> bytes;  // up to the high water
  std::vector<uint32_t> words;
};

// Words that lead somewhere: header, FDTs, descriptors, tracker, records, blobs.
std::vector<uint32_t> metadata_words(const kho::Arena& arena, uint64_t used) {
  std::vector<uint32_t> words;
  const auto add_range = [&](uint64_t from, uint64_t bytes) {
    for (uint64_t at = from / 8; at < (from + bytes) / 8; ++at) {
      words.push_back(static_cast<uint32_t>(at));
    }
  };
  add_range(0, sizeof(abi::ArenaHeader));
  add_range(arena.root_fdt().value, 1024);
  const kho::ArenaDump dump = kho::dump(arena.view(), false).take();
  add_range(arena.header().descriptors, dump.high_water * 8);
  add_range(dump.tracker_root.value, 64);
  for (const kho::Folio& folio : dump.folios) {
    // Redo list and recorder are long and mostly empty.
    if (folio.head.value < used) add_range(folio.head.value, folio.order == 0 ? 4096 : 256);
  }
  return words;
}

Base make_base() {
  const UniqueFd file = kho::Arena::create_file(kBytes).take();
  const auto arena = kho::Arena::create(file).take();
  luo::NoUpdates host;
  const auto core = luo::Core::create(*arena, context(), host).take();
  CHECK(kho::ReserveMem::open(*arena)->reserve("log", 8192));
  fill_records(*core);
  CHECK(luo::write_kernel_format(*core));
  Base base;
  const uint64_t used = arena->header().high_water * abi::kPageSize;
  base.bytes.assign(arena->view().base(), arena->view().base() + used);
  base.words = metadata_words(*arena, used);
  return base;
}

const Base& base() {
  static const Base made = make_base();
  return made;
}

UniqueFd patched(Reader reader) {
  const auto cut = reader.take<uint8_t>();
  UniqueFd file = kho::Arena::create_file(kBytes).take();
  const sys::Mapping memory = sys::mmap(kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file).take();
  std::memcpy(memory.data(), base().bytes.data(), base().bytes.size());
  apply_patches(reader, memory.data(), base().words);
  if ((cut & 0x80) == 0) return file;
  UniqueFd shorter = sys::memfd_create("outlive-fuzz", MFD_ALLOW_SEALING).take();
  const uint64_t size = kBytes * (cut & 0x7f) / 0x80;
  CHECK(sys::write_all(shorter, {reinterpret_cast<const char*>(memory.data()), size}));
  return shorter;
}

void expect_settled(const luo::Findings& findings) {
  for (const luo::Finding& one : findings.lines) {
    if (one.derived) log_error("after an attach: {}", one.text);
    CHECK(!one.derived);
  }
}

// What attach took, used: everything is ended.
void end_all(BorrowedFd file) {
  const auto arena = kho::Arena::attach(file).take();
  if (!kho::RootFdt(*arena).find_subtree(abi::kSubtreeRecords)) return;
  luo::NoUpdates host;
  const auto core = luo::Core::attach(*arena, context(), host).take();
  static_cast<void>(luo::write_kernel_format(*core));
  std::vector<luo::Session*> sessions;
  core->sessions().for_each([&](luo::Session& session) { sessions.push_back(&session); });
  for (luo::Session* session : sessions) static_cast<void>(core->end_session(*session, false));
  luo::Findings findings = luo::fsck(*core, [](BorrowedFd) { return true; });
  expect_settled(findings);
}

}  // namespace

void run(Input input) {
  const UniqueFd file = patched(Reader(input));
  static_cast<void>(kho::dump_file(file, true));
  const auto looked = luo::fsck_image(file, context());
  if (!looked || looked->refused) return;
  const auto again = luo::fsck_image(looked->settled, context());
  CHECK(again && !again->refused);
  expect_settled(again->findings);
  end_all(looked->settled);
}

void make_seeds(const Keep& keep) {
  const std::string whole(1, '\0');
  keep("sound", whole);
  keep("cut", std::string(1, '\xc0'));
  const auto count = static_cast<uint32_t>(base().words.size());
  for (uint32_t i = 0; i < 40; ++i) {
    const uint32_t where = i * (count / 40);
    keep(fmt::format("flip-{}", i), whole + patch_text({{kXor, where, uint64_t{1} << i}}));
    keep(fmt::format("copy-{}", i), whole + patch_text({{kCopy, where, where + 7 * i}}));
  }
}

}  // namespace outlive::fuzz
