// What a real kernel showed, read back; and what a kernel may not show is said.
#include "kho/kernel_state.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/sys.h"
#include "kho/kernel_blobs.h"
#include "kho/kernel_state_test.h"

namespace outlive::kho {
namespace {

class State : public SeenFolder {
 protected:
  void put_cold() {
    put("out/fdt", seen_bytes(kColdOutFdt));
    put("out/scratch_phys", kScratchPhys);
    put("out/scratch_len", kScratchLen);
    put("out/sub_fdts/LUO", seen_bytes(kColdOutLuo));
    put("out/sub_fdts/kho_test", seen_bytes(kOutKhoTest));
    put("out/sub_fdts/kexec-metadata", seen_bytes(kColdOutMetadata));
  }
  void put_warm() {
    put("in/fdt", seen_bytes(kInFdt));
    put("in/sub_fdts/LUO", seen_bytes(kInLuo));
    put("in/sub_fdts/kho_test", seen_bytes(kOutKhoTest));
    put("in/sub_fdts/kexec-metadata", seen_bytes(kInMetadata));
    put("out/sub_fdts/LUO", seen_bytes(kWarmOutLuo));
    put("out/sub_fdts/kexec-metadata", seen_bytes(kWarmOutMetadata));
  }
  KernelState read() { return read_kernel_state(folder_).take(); }
};

testing::AssertionResult noted(const KernelState& state, std::string_view words) {
  for (const std::string& note : state.notes) {
    if (note.find(words) != std::string::npos) return testing::AssertionSuccess();
  }
  auto failure = testing::AssertionFailure() << "no note says '" << words << "'; there are:";
  for (const std::string& note : state.notes) failure << "\n  " << note;
  return failure;
}

const KernelSubtree* subtree(const KernelSide& side, std::string_view name) {
  const auto found = std::ranges::find(side.subtrees, name, &KernelSubtree::name);
  return found == side.subtrees.end() ? nullptr : &*found;
}

// The first fault of the kernel: an FDT without its end.
TEST_F(State, AfterAColdBoot) {
  put_cold();
  const KernelState state = read();
  EXPECT_FALSE(state.in);
  ASSERT_TRUE(state.out);
  EXPECT_FALSE(state.out->root);
  EXPECT_TRUE(noted(state, "out/fdt: the kernel shows 233 of its 345 bytes"));
  EXPECT_EQ(state.notes.size(), 1u);
  ASSERT_EQ(state.out->subtrees.size(), 3u);
  EXPECT_EQ(parse_luo_blob(*subtree(*state.out, "LUO")->blob)->liveupdate_number, 1u);
  ASSERT_EQ(state.scratch.size(), 3u);
  EXPECT_EQ(state.scratch[2].start, Phys{0x2e800000});
  EXPECT_EQ(state.scratch[2].size, 0xc000000u);
}

// The second and the third: nothing in out/, and a page that isn't LUO's any more.
TEST_F(State, AfterAKexec) {
  put_warm();
  const KernelState state = read();
  ASSERT_TRUE(state.in && state.out);
  ASSERT_TRUE(state.in->root);
  EXPECT_EQ(state.in->root->compatible, "kho-v4");
  EXPECT_EQ(state.in->root->memory_map, Phys{0x51a000});
  ASSERT_EQ(state.in->subtrees.size(), 3u);
  const KernelSubtree* luo = subtree(*state.in, "LUO");
  EXPECT_EQ(luo->entry->data, Phys{0x1f6f000});
  EXPECT_EQ(luo->entry->size, 32u);
  EXPECT_FALSE(luo->blob);
  EXPECT_EQ(parse_luo_blob(*subtree(*state.out, "LUO")->blob)->liveupdate_number, 2u);
  EXPECT_TRUE(noted(state, "out/fdt is missing"));
  EXPECT_TRUE(noted(state, "in/sub_fdts/LUO: no version of LUO is in it"));
  EXPECT_EQ(state.notes.size(), 2u);
}

// What the freed page still shows may be true: then that is said, and how it is known.
TEST_F(State, AFreedPageThatLooksGood) {
  put_warm();
  put("in/sub_fdts/LUO", seen_bytes(kColdOutLuo));
  EXPECT_TRUE(noted(read(), "fits to the number in out/sub_fdts/LUO"));
  put("in/sub_fdts/LUO", seen_bytes(kWarmOutLuo));
  EXPECT_TRUE(noted(read(), "can't be told from something old"));
}

TEST_F(State, OneBadFileHidesNoOther) {
  put_warm();
  std::string fdt = seen_bytes(kInFdt);
  fdt.replace(fdt.find("kho-v4"), 6, "kho-v9");
  put("in/fdt", fdt);
  put("out/scratch_phys", "0x1000\nmuch\n");
  put("out/scratch_len", "0x1000\n0x1000\n");
  const KernelState state = read();
  EXPECT_TRUE(noted(state, "in/fdt: root FDT: version 'kho-v9' is not known here"));
  EXPECT_TRUE(noted(state, "out/scratch_phys: a line is no number"));
  EXPECT_TRUE(state.scratch.empty());
  EXPECT_EQ(state.in->subtrees.size(), 3u);
  EXPECT_FALSE(subtree(*state.in, "LUO")->entry);
}

TEST_F(State, SizesAreCompared) {
  put_warm();
  put("in/sub_fdts/kexec-metadata", seen_bytes(kInMetadata).substr(0, 70));
  EXPECT_TRUE(noted(read(),
                    "in/sub_fdts/kexec-metadata: the kernel shows 70 bytes; the root FDT "
                    "says 73"));
}

TEST_F(State, NoKhoThere) {
  EXPECT_EQ(read_kernel_state(folder_).error().code, ENOENT);
  EXPECT_EQ(read_kernel_state("/nowhere/kho").error().code, ENOENT);
}

TEST(KexecMetadata, OfARealKernel) {
  const std::string bytes = seen_bytes(kWarmOutMetadata);
  const auto span = std::as_bytes(std::span(bytes));
  const KexecMetadata metadata = parse_kexec_metadata(span).take();
  EXPECT_EQ(metadata.release, "7.3.4-outlive");
  EXPECT_EQ(metadata.kexec_count, 2u);
  for (size_t size = 0; size < span.size(); ++size) {
    EXPECT_EQ(parse_kexec_metadata(span.first(size)).error().code, EUCLEAN) << size;
  }
  std::string other = bytes;
  other[0] = 2;
  const Error error = parse_kexec_metadata(std::as_bytes(std::span(other))).error();
  EXPECT_EQ(error.code, EPROTO);
  EXPECT_NE(error.message.find("version 2"), std::string::npos);
  std::string endless = bytes;
  std::fill_n(endless.begin() + 4, 65, 'x');
  EXPECT_EQ(parse_kexec_metadata(std::as_bytes(std::span(endless))).error().code, EUCLEAN);
}

}  // namespace
}  // namespace outlive::kho
