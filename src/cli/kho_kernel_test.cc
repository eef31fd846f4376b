// outlive kho dump --kernel and kho diff, of what a real kernel showed.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/fake_outlived.h"
#include "kho/kernel_state_test.h"

namespace outlive::cli {
namespace {

using kho::seen_bytes;

class DumpKernel : public kho::SeenFolder {
 protected:
  void put_warm() {
    put("kho/in/fdt", seen_bytes(kho::kInFdt));
    put("kho/in/sub_fdts/LUO", seen_bytes(kho::kInLuo));
    put("kho/in/sub_fdts/kho_test", seen_bytes(kho::kOutKhoTest));
    put("kho/in/sub_fdts/kexec-metadata", seen_bytes(kho::kInMetadata));
    put("kho/out/sub_fdts/LUO", seen_bytes(kho::kWarmOutLuo));
    put("kho/out/sub_fdts/kexec-metadata", seen_bytes(kho::kWarmOutMetadata));
    put("kho/out/scratch_phys", kho::kScratchPhys);
    put("kho/out/scratch_len", kho::kScratchLen);
  }
  Ran dump(std::vector<std::string> more) {
    std::vector<std::string> words = {"kho", "dump", "--kernel", "--debugfs", folder_};
    words.insert(words.end(), more.begin(), more.end());
    return run_words(words);
  }
  std::string path(const char* name) const { return fmt::format("{}/{}", folder_, name); }
};

TEST_F(DumpKernel, Json) {
  put_warm();
  const Ran ran = dump({"--json"});
  ASSERT_EQ(ran.code, kExitOk) << ran.err;
  const Json json = Json::parse(ran.out);
  EXPECT_EQ(json["in"]["compatible"], "kho-v4");
  EXPECT_EQ(json["in"]["memory_map"], "51a000");
  const Json& in = json["in"]["subtrees"];
  ASSERT_EQ(in.size(), 3u);
  EXPECT_EQ(in[0], Json::parse(R"({"name": "LUO", "address": "1f6f000", "size": 32,
                                   "kind": "not shown"})"));
  EXPECT_EQ(in[1]["release"], "7.3.4-outlive");
  EXPECT_EQ(in[1]["kexec_count"], 1);
  // Of a part of the kernel that we know nothing of.
  EXPECT_EQ(in[2]["kind"], "not decoded");
  EXPECT_EQ(in[2]["compatible"], "kho-test-v1");
  const Json& out = json["out"];
  EXPECT_TRUE(out["compatible"].is_null());
  EXPECT_EQ(out["subtrees"][0]["compatible"], "luo-v5");
  EXPECT_EQ(out["subtrees"][0]["liveupdate_number"], 2);
  EXPECT_TRUE(out["subtrees"][0]["address"].is_null());
  EXPECT_EQ(json["scratch"].size(), 3u);
  EXPECT_EQ(json["notes"].size(), 2u);
}

TEST_F(DumpKernel, Text) {
  put_warm();
  const std::string text = dump({}).out;
  for (const char* words :
       {"in (from the kernel before): root FDT kho-v4, memory map 0x51a000\n",
        "LUO             0x1f6f000    32  not shown", "release 7.3.4-outlive",
        "out (for the next kernel): no root FDT\n", "luo-v5, flbs 1547000, liveupdate_number 2",
        "0x2e800000", "note: out/fdt is missing", "note: in/sub_fdts/LUO: no version of LUO"}) {
    EXPECT_NE(text.find(words), std::string::npos) << words << "\n" << text;
  }
  std::filesystem::remove_all(path("kho/in"));
  EXPECT_NE(dump({}).out.find("in (from the kernel before): nothing\n"), std::string::npos);
}

TEST_F(DumpKernel, NothingThere) {
  const Ran ran = dump({});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_NE(ran.err.find("debugfs isn't mounted"), std::string::npos) << ran.err;
  EXPECT_EQ(run_words({"kho", "dump", "--kernel", "--digest"}).code, kExitUsage);
  EXPECT_EQ(run_words({"kho", "dump", "--debugfs", "/"}).code, kExitUsage);
}

TEST_F(DumpKernel, Diff) {
  put_warm();
  const std::string before = path("before");
  const std::string after = path("after");
  const Ran first = dump({"--json"});
  ASSERT_TRUE(sys::write_file(before, first.out));
  ASSERT_TRUE(sys::write_file(after, first.out));
  const Ran same = run_words({"kho", "diff", before, after});
  EXPECT_EQ(same.code, kExitOk) << same.err;
  EXPECT_EQ(same.out, "");

  // One subtree more, before the others: only that one differs. And one word of another.
  put("kho/out/sub_fdts/Another", "x");
  put("kho/out/sub_fdts/LUO", seen_bytes(kho::kColdOutLuo));
  ASSERT_TRUE(sys::write_file(after, dump({"--json"}).out));
  const Ran ran = run_words({"kho", "diff", before, after});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_NE(ran.out.find("- out.subtrees[LUO].liveupdate_number 2\n"
                         "+ out.subtrees[LUO].liveupdate_number 1\n"),
            std::string::npos)
      << ran.out;
  EXPECT_NE(ran.out.find("+ out.subtrees[Another].size 1\n"), std::string::npos) << ran.out;
  EXPECT_EQ(ran.out.find("kexec-metadata"), std::string::npos) << ran.out;
  const Ran json = run_words({"kho", "diff", "--json", before, after});
  EXPECT_EQ(json.code, kExitFailed);
  const Json reply = Json::parse(json.out);
  bool found = false;
  for (const Json& one : reply["differences"]) {
    found |= one["field"] == "out.subtrees[LUO].liveupdate_number" && one["before"] == 2 &&
             one["after"] == 1;
  }
  EXPECT_TRUE(found) << json.out;
}

TEST_F(DumpKernel, DiffOfSomethingElse) {
  ASSERT_TRUE(sys::write_file(path("a"), "{}"));
  const Ran ran = run_words({"kho", "diff", path("a"), path("a")});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_NE(ran.err.find("not what `outlive kho dump --json` writes"), std::string::npos);
}

}  // namespace
}  // namespace outlive::cli
