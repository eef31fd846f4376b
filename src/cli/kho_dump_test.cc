// outlive kho dump --image: every kind and version of file, told by what is in it.
#include <gtest/gtest.h>
#include <libfdt.h>
#include <string.h>

#include "abi/kernel_blobs.h"
#include "abi/luo.h"
#include "cli/exit_codes.h"
#include "cli/fake_outlived.h"
#include "kho/arena.h"
#include "kho/fdt.h"

namespace outlive::cli {
namespace {

class DumpImage : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // No outlived is there, and none is asked.
  Ran dump(std::string_view bytes, std::vector<std::string> more = {"--json"}) {
    EXPECT_TRUE(sys::write_file(path(), bytes));
    return dump_path(path(), std::move(more));
  }
  Ran dump_path(const std::string& path, std::vector<std::string> more) {
    std::vector<std::string> words = {"kho", "dump", "--image", path, "--runtime-dir", "/nowhere"};
    words.insert(words.end(), more.begin(), more.end());
    return run_words(words);
  }
  std::string path() const { return std::string(folder_) + "/image"; }

 private:
  char folder_[32] = "/tmp/outlive-cli-XXXXXX";
};

std::string text_of(std::vector<std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string root_fdt(const char* version, const char* data_property, bool with_size) {
  kho::FdtBuilder builder(4096);
  builder.set_string(0, "compatible", version);
  builder.set_word(0, "preserved-memory-map", 0x1234000);
  const int node = builder.add_node("LUO");
  builder.set_word(node, data_property, 0xabc000);
  if (with_size) builder.set_word(node, "blob-size", 32);
  return text_of(builder.finish().take());
}

TEST_F(DumpImage, RootOfEveryKernel) {
  for (const abi::KernelKhoVersion& version : abi::kKernelKhoVersions) {
    const Ran ran = dump(root_fdt(version.compatible, version.data_property, version.has_size));
    ASSERT_EQ(ran.code, kExitOk) << ran.err;
    const Json json = Json::parse(ran.out);
    EXPECT_EQ(json["kind"], "root FDT");
    EXPECT_EQ(json["compatible"], version.compatible);
    EXPECT_EQ(json["memory_map"], "1234000");
    EXPECT_EQ(json["subtrees"],
              Json::parse(fmt::format(R"([{{"name": "LUO", "address": "abc000", "size": {}}}])",
                                      version.has_size ? 32 : 0)));
  }
}

TEST_F(DumpImage, LuoOfEveryKernel) {
  kho::FdtBuilder v1(4096);
  v1.set_string(0, "compatible", "luo-v1");
  v1.set_word(0, "liveupdate-number", 7);
  int node = v1.add_node("luo-session");
  v1.set_string(node, "compatible", "luo-session-v1");
  v1.set_word(node, "luo-session-header", 0x1000);
  node = v1.add_node("luo-flb");
  v1.set_string(node, "compatible", "luo-flb-v1");
  v1.set_word(node, "luo-flb-header", 0x2000);
  kho::FdtBuilder v2(4096);
  v2.set_string(0, "compatible", "luo-v2");
  v2.set_word(0, abi::kPropLuoAbiHeader, 0x3000);
  std::vector<std::string> blobs = {text_of(v1.finish().take()), text_of(v2.finish().take())};
  for (const char* version : abi::kLuoStructVersions) {
    abi::LuoV5 raw{};
    memcpy(raw.compatible, version, strlen(version));
    raw.liveupdate_num = 7;
    raw.sessions_pa = 0x1000;
    raw.flbs_pa = 0x2000;
    blobs.emplace_back(reinterpret_cast<const char*>(&raw), sizeof raw);
  }
  for (size_t i = 0; i < blobs.size(); ++i) {
    const Ran ran = dump(blobs[i]);
    ASSERT_EQ(ran.code, kExitOk) << ran.err;
    const Json json = Json::parse(ran.out);
    EXPECT_EQ(json["kind"], "LUO");
    EXPECT_EQ(json["compatible"], fmt::format("luo-v{}", i + 1));
    if (i == 1) {
      EXPECT_EQ(json["header"], "3000");
      continue;
    }
    EXPECT_EQ(json["liveupdate_number"], 7);
    EXPECT_EQ(json["sessions"], "1000");
    EXPECT_EQ(json["flbs"], "2000");
  }
  EXPECT_NE(dump(blobs[0], {}).out.find("liveupdate_number  7\n"), std::string::npos);
}

TEST_F(DumpImage, Memblock) {
  kho::FdtBuilder builder(4096);
  builder.set_string(0, "compatible", "memblock-v1");
  const int node = builder.add_node("mine");
  builder.set_string(node, "compatible", "reserve-mem-v1");
  builder.set_word(node, "start", 0x10000);
  builder.set_word(node, "size", 4096);
  const Ran ran = dump(text_of(builder.finish().take()), {});
  ASSERT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_NE(ran.out.find("mine    0x10000  4096"), std::string::npos) << ran.out;
}

TEST_F(DumpImage, AnArena) {
  const UniqueFd file = *kho::Arena::create_file(4 << 20);
  const auto arena = kho::Arena::create(file).take();
  ASSERT_TRUE(arena->alloc_preserve(2 * 4096, abi::kOwnerFirstUser, 0));
  const std::string image = fmt::format("/proc/self/fd/{}", file.get());
  const Ran ran = dump_path(image, {"--json"});
  ASSERT_EQ(ran.code, kExitOk) << ran.err;
  const Json json = Json::parse(ran.out);
  EXPECT_EQ(json["compatible"], "outlive-arena-v1");
  EXPECT_EQ(json["size"], 4 << 20);
  EXPECT_EQ(json["tracker_matches"], true);
  ASSERT_EQ(json["folios"].size(), 1u);
  EXPECT_EQ(json["folios"][0]["order"], 1);
  EXPECT_EQ(json["folios"][0]["owner"], "user 64");
  EXPECT_NE(dump_path(image, {}).out.find("user 64"), std::string::npos);
  EXPECT_EQ(dump_path(image, {"--digest"}).out, json["digest"].get<std::string>() + "\n");
  EXPECT_EQ(dump_path(image, {"--dtb", path()}).code, kExitOk);
  EXPECT_TRUE(sys::read_file(path())->starts_with("\xd0\x0d\xfe\xed"));
}

// One line, with the file and what it is.
TEST_F(DumpImage, WhatCantBeReadIsNamed) {
  abi::LuoV5 luo{};
  memcpy(luo.compatible, "luo-v9", strlen("luo-v9"));
  const std::string unknown_luo(reinterpret_cast<const char*>(&luo), sizeof luo);
  std::string arena(1 << 16, '\0');
  arena.replace(0, 16, "outlive-arena-v9");
  const std::pair<std::string, const char*> cases[] = {
      {root_fdt("kho-v5", "preserved-data", true), "'kho-v5'"},
      {root_fdt("luo-v8", "preserved-data", true), "'luo-v8'"},
      {root_fdt("memblock-v2", "preserved-data", true), "'memblock-v2'"},
      {root_fdt("other-v1", "preserved-data", true), "'other-v1'"},
      {unknown_luo, "'luo-v9'"},
      {arena, "'outlive-arena-v9'"},
      {"hello\n", "it begins with 'hello?'"},
      {"", "it begins with ''"},
      {root_fdt("kho-v3", "preserved-data", true).substr(0, 60), "FDT"},
  };
  for (const auto& [bytes, words] : cases) {
    const Ran ran = dump(bytes);
    EXPECT_EQ(ran.code, kExitFailed) << words;
    EXPECT_NE(ran.err.find(path()), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find(words), std::string::npos) << ran.err;
    EXPECT_EQ(ran.out, "");
  }
  EXPECT_EQ(dump_path("/nowhere/x", {}).code, kExitFailed);
  EXPECT_EQ(dump(root_fdt("kho-v3", "preserved-data", true), {"--digest"}).code, kExitFailed);
}

}  // namespace
}  // namespace outlive::cli
