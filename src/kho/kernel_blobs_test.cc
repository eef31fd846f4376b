#include "kho/kernel_blobs.h"

#include <gtest/gtest.h>
#include <libfdt.h>

#include "abi/luo.h"
#include "kho/fdt.h"

namespace outlive::kho {
namespace {

std::vector<std::byte> root_fdt(const char* version, const char* data_property, bool with_size) {
  FdtBuilder builder(4096);
  builder.set_string(0, "compatible", version);
  builder.set_word(0, "preserved-memory-map", 0x1234000);
  const int node = builder.add_node("LUO");
  builder.set_word(node, data_property, 0xabc000);
  if (with_size) builder.set_word(node, "blob-size", 32);
  return builder.finish().take();
}

TEST(KernelBlobs, RootFdtOfEveryVersion) {
  for (const auto& [version, property, size] : {std::tuple{"kho-v1", "fdt", false},
                                                {"kho-v2", "preserved-data", false},
                                                {"kho-v3", "preserved-data", true},
                                                {"kho-v4", "preserved-data", true}}) {
    const RootFdtContents root = parse_kernel_root_fdt(root_fdt(version, property, size)).take();
    EXPECT_EQ(root.compatible, version);
    EXPECT_EQ(root.memory_map.value, 0x1234000u);
    ASSERT_EQ(root.subtrees.size(), 1u);
    EXPECT_EQ(root.subtrees[0].name, "LUO");
    EXPECT_EQ(root.subtrees[0].data.value, 0xabc000u);
    EXPECT_EQ(root.subtrees[0].size, size ? 32u : 0u);
  }
  // Ours is v3 only.
  EXPECT_TRUE(parse_root_fdt(root_fdt("kho-v3", "preserved-data", true)));
  EXPECT_EQ(parse_root_fdt(root_fdt("kho-v4", "preserved-data", true)).error().code, EPROTO);
}

TEST(KernelBlobs, UnknownOrBrokenRoot) {
  const Error error = parse_kernel_root_fdt(root_fdt("kho-v5", "preserved-data", true)).error();
  EXPECT_EQ(error.code, EPROTO);
  EXPECT_NE(error.message.find("kho-v5"), std::string::npos);
  EXPECT_EQ(parse_kernel_root_fdt(root_fdt("kho-v2", "fdt", false)).error().code, EUCLEAN);
  EXPECT_EQ(parse_kernel_root_fdt({}).error().code, EUCLEAN);
  const std::vector<std::byte> good = root_fdt("kho-v1", "fdt", false);
  for (size_t size = 0; size < fdt_size(good); ++size) {
    EXPECT_FALSE(parse_kernel_root_fdt(std::span(good).first(size))) << size;
  }
}

TEST(KernelBlobs, LuoV1) {
  std::vector<std::byte> fdt(4096);
  const uint64_t words[] = {7, 0x1000, 0x2000};
  ASSERT_EQ(fdt_create_empty_tree(fdt.data(), 4096), 0);
  ASSERT_EQ(fdt_setprop(fdt.data(), 0, "compatible", "luo-v1", 7), 0);
  ASSERT_EQ(fdt_setprop(fdt.data(), 0, "liveupdate-number", &words[0], 8), 0);
  int node = fdt_add_subnode(fdt.data(), 0, "luo-session");
  ASSERT_EQ(fdt_setprop(fdt.data(), node, "compatible", "luo-session-v1", 15), 0);
  ASSERT_EQ(fdt_setprop(fdt.data(), node, "luo-session-header", &words[1], 8), 0);
  EXPECT_EQ(parse_luo_blob(fdt).error().code, EUCLEAN);  // no luo-flb yet
  node = fdt_add_subnode(fdt.data(), 0, "luo-flb");
  ASSERT_EQ(fdt_setprop(fdt.data(), node, "compatible", "luo-flb-v1", 11), 0);
  ASSERT_EQ(fdt_setprop(fdt.data(), node, "luo-flb-header", &words[2], 8), 0);
  const LuoBlob blob = parse_luo_blob(fdt).take();
  EXPECT_EQ(blob.compatible, "luo-v1");
  EXPECT_EQ(blob.liveupdate_number, 7u);
  EXPECT_EQ(blob.sessions, Phys{0x1000});
  EXPECT_EQ(blob.flbs, Phys{0x2000});
}

TEST(KernelBlobs, LuoV2) {
  FdtBuilder builder(4096);
  builder.set_string(0, "compatible", "luo-v2");
  builder.set_word(0, "luo-abi-header", 0x7000);
  const LuoBlob blob = parse_luo_blob(builder.finish().take()).take();
  EXPECT_EQ(blob.header, Phys{0x7000});
  EXPECT_FALSE(blob.sessions);
}

TEST(KernelBlobs, LuoStructs) {
  for (const char* version : {"luo-v3", "luo-v4", "luo-v5"}) {
    abi::LuoV5 raw{.compatible = {}, .liveupdate_num = 3, .sessions_pa = 0x1000, .flbs_pa = 0x2000};
    std::copy_n(version, 6, raw.compatible);
    const auto bytes = std::as_bytes(std::span(&raw, 1));
    const LuoBlob blob = parse_luo_blob(bytes).take();
    EXPECT_EQ(blob.compatible, version);
    EXPECT_EQ(blob.liveupdate_number, 3u);
    EXPECT_EQ(blob.flbs, Phys{0x2000});
    EXPECT_EQ(parse_luo_blob(bytes.first(31)).error().code, EUCLEAN);
    raw.compatible[5] = '6';
    const Error error = parse_luo_blob(bytes).error();
    EXPECT_EQ(error.code, EPROTO);
    EXPECT_NE(error.message.find("luo-v6"), std::string::npos);
  }
  EXPECT_EQ(parse_luo_blob({}).error().code, EPROTO);
}

}  // namespace
}  // namespace outlive::kho
