// Bytes of every version of the records that ever shipped are still read, and stay of their
// version. The images are made by tests/golden/make.sh, once for each version: they are never made
// anew.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "luo/luo_test.h"

namespace outlive::luo {
namespace {

constexpr uint64_t kImageBytes = 128 << 10;
constexpr abi::RecordsTotals kTotals{11, 12, 13, 14, 15};

std::string image_path(int version) {
  return fmt::format("{}/records-v{}.bin", OUTLIVE_GOLDEN_DIR, version);
}

// What the images hold: a session with two files, and one without.
void fill(LuoWorld& world) {
  Session& session = world.session("golden");
  ASSERT_TRUE(world.preserve(session, 1, world.fds.make(FileKind::kMemfd)));
  ASSERT_TRUE(world.preserve(session, 2, world.fds.make(FileKind::kTcpConnection)));
  world.session("empty");
}

std::unique_ptr<LuoWorld> read_image(int version) {
  std::ifstream file(image_path(version), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(bytes.size(), kImageBytes) << image_path(version);
  auto world = std::make_unique<LuoWorld>(kImageBytes);
  world->core.reset();
  world->arena.reset();
  EXPECT_EQ(::pwrite(world->file.get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  world->fds.make(FileKind::kMemfd);
  world->fds.make(FileKind::kTcpConnection);
  const Status read = world->reattach();
  EXPECT_TRUE(read) << read.error().text();
  return read ? std::move(world) : nullptr;
}

void expect_contents(LuoWorld& world) {
  std::vector<std::string> names;
  world.core->sessions().for_each([&](Session& session) { names.push_back(session.name); });
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"empty", "golden"}));
  EXPECT_EQ(world.core->records().count(abi::PoolKind::kFile), 2u);
}

TEST(Golden, RecordsV1) {
  const auto world = read_image(1);
  ASSERT_NE(world, nullptr);
  expect_contents(*world);
  Records& records = world->core->records();
  EXPECT_STREQ(records.format().compatible(), "outlive-records-v1");
  records.keep_totals(kTotals);
  EXPECT_EQ(records.root().totals.self_updates, 0u) << "version 1 has no totals";
  // Written to, it stays what it is.
  world->session("new");
  ASSERT_TRUE(world->reattach());
  EXPECT_STREQ(world->core->records().format().compatible(), "outlive-records-v1");
}

TEST(Golden, RecordsV2) {
  const auto world = read_image(2);
  ASSERT_NE(world, nullptr);
  expect_contents(*world);
  const Records& records = world->core->records();
  EXPECT_STREQ(records.format().compatible(), "outlive-records-v2");
  const abi::RecordsTotals totals = records.format().totals(world->core->records().root());
  EXPECT_EQ(totals.folios_reclaimed, 11u);
  EXPECT_EQ(totals.tracker_corrected, 12u);
  EXPECT_EQ(totals.orphans_closed, 13u);
  EXPECT_EQ(totals.self_updates, 14u);
  EXPECT_EQ(totals.self_rollbacks, 15u);
}

TEST(Golden, AnUnknownVersionIsNamed) {
  LuoWorld world(kImageBytes);
  world.core->records().root().compatible[17] = '9';
  const Status read = world.reattach();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, EPROTO);
  EXPECT_NE(read.error().message.find("outlive-records-v9"), std::string::npos);
}

TEST(Golden, FinalizedInOneStore) {
  LuoWorld world(kImageBytes);
  fill(world);
  size_t versions = 0;
  Records& records = world.core->records();
  abi::RecordsRoot& root = records.root();
  kho::set_store_hook([&](std::byte* to, size_t) {
    const auto* compatible = reinterpret_cast<const std::byte*>(root.compatible);
    versions += to >= compatible && to < compatible + sizeof root.compatible;
    EXPECT_TRUE(RootFormat::of(root)) << "before every store it is of a version that is read";
  });
  records.finalize(kTotals);
  kho::set_store_hook({});
  EXPECT_EQ(versions, 1u);
  ASSERT_TRUE(world.reattach());
  EXPECT_STREQ(world.core->records().format().compatible(), "outlive-records-v2");
  EXPECT_EQ(world.core->records().root().totals.self_rollbacks, 15u);
  expect_contents(world);
}

// tests/golden/make.sh
TEST(Golden, DISABLED_Make) {
  for (const int version : {1, 2}) {
    LuoWorld world(kImageBytes);
    fill(world);
    if (version == 2) world.core->records().finalize(kTotals);
    std::string bytes(kImageBytes, '\0');
    ASSERT_EQ(::pread(world.file.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    std::ofstream(image_path(version), std::ios::binary) << bytes;
  }
}

}  // namespace
}  // namespace outlive::luo
