#include "cli/kernel_image.h"

#include <gtest/gtest.h>

#include "cli/kernel_image_test.h"

namespace outlive::cli {
namespace {

using test::bzimage;
using test::file_of;
using test::kernel_with;
using test::kGoodStrings;

using Names = std::vector<std::string>;
const Names kGood{"kho-v4", "luo-v5", "memfd-v2"};
const std::string kVersion = "7.3.4 (builder@host) #1 SMP";

KernelImage look(const std::string& bytes) {
  Result<KernelImage> image = read_kernel_image(file_of(bytes));
  EXPECT_TRUE(image) << image.error().text();
  return image ? image.take() : KernelImage();
}

Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

struct Packer {
  const char* name;
  std::string (*pack)(const std::string&);
  bool has_sum;  // of the content, as the kernel's build makes them
};
const Packer kPackers[] = {{"lz4", &test::lz4, false},
                           {"gzip", &test::gzip, true},
                           {"xz", &test::xz, true},
                           {"zstd", &test::zstd, false}};

TEST(KernelImage, PackedInEveryWay) {
  for (const Packer& packer : kPackers) {
    // Over one block of LZ4: the strings are in the second.
    for (const size_t filler : {size_t{0}, size_t{9 << 20}}) {
      const KernelImage image =
          look(bzimage(packer.pack(kernel_with(kGoodStrings, filler)), kVersion));
      EXPECT_EQ(image.unreadable, "") << packer.name;
      EXPECT_EQ(image.version, kVersion) << packer.name;
      EXPECT_EQ(image.formats, kGood) << packer.name;
    }
  }
  EXPECT_EQ(look(bzimage(kernel_with(kGoodStrings), kVersion)).formats, kGood) << "not packed";
}

TEST(KernelImage, OthersThanABzimage) {
  EXPECT_EQ(look(kernel_with(kGoodStrings)).formats, kGood) << "vmlinux";
  std::string image(0x1000, '\0');
  image.replace(0x38, 4, "ARM\x64");
  EXPECT_EQ(look(image + kGoodStrings + '\0').formats, kGood);
  for (const std::string& none : {std::string(), std::string("MZ"), std::string(0x1000, 'x')}) {
    EXPECT_NE(look(none).unreadable, "");
  }
}

TEST(KernelImage, OnlyWholeStringsAreFormats) {
  for (const char* other : {"luo-v", "luo-v5x", "luo-v-5", "xluo-v5", "bad luo-v5", "test-memfd-v2",
                            "kho-test-v1", "luo-v123456"}) {
    const std::string kernel = kernel_with(other);
    EXPECT_EQ(formats_in(bytes_of(kernel)), Names()) << other;
  }
  const std::string cut = "luo-v5";  // no end
  EXPECT_EQ(formats_in(bytes_of(cut)), Names());
  const std::string twice("luo-v5\0luo-v12\0luo-v5", 22);
  EXPECT_EQ(formats_in(bytes_of(twice)), (Names{"luo-v12", "luo-v5"}));
}

TEST(KernelImage, TheConfigurationInIt) {
  const auto missing = [](const std::string& config) {
    const std::string kernel = kernel_with("IKCFG_ST\nIKCFG_ST" + test::gzip(config) + "IKCFG_ED");
    return missing_in(bytes_of(kernel));
  };
  EXPECT_EQ(missing("CONFIG_LIVEUPDATE=y\nCONFIG_X=y\nCONFIG_KEXEC_HANDOVER=y\n"), Names());
  EXPECT_EQ(missing("# CONFIG_LIVEUPDATE is not set\nCONFIG_KEXEC_HANDOVER=y\n"),
            Names{"CONFIG_LIVEUPDATE"});
  EXPECT_EQ(missing("CONFIG_LIVEUPDATE=m\nCONFIG_LIVEUPDATE_MEMFD=y\n"),
            (Names{"CONFIG_KEXEC_HANDOVER", "CONFIG_LIVEUPDATE"}));
  const std::string none = kernel_with("no configuration");
  EXPECT_EQ(missing_in(bytes_of(none)), Names());
  // Says nothing, rather than something wrong.
  const std::string damaged = kernel_with(std::string("IKCFG_ST\x1f\x8b") + "damaged");
  EXPECT_EQ(missing_in(bytes_of(damaged)), Names());
  EXPECT_EQ(missing(std::string(5 << 20, '\n')), Names()) << "a bomb";
}

TEST(KernelImage, CutAnywhere) {
  for (const Packer& packer : kPackers) {
    const std::string whole = bzimage(packer.pack(kernel_with(kGoodStrings, 3000)), kVersion);
    for (size_t size = 0; size < whole.size() - 300; ++size) {
      ASSERT_NE(look(whole.substr(0, size)).unreadable, "") << packer.name << " cut at " << size;
    }
  }
}

TEST(KernelImage, DamagedAnywhere) {
  for (const Packer& packer : kPackers) {
    const std::string payload = packer.pack(kernel_with(kGoodStrings, 3000));
    size_t refused = 0;
    for (size_t at = 0; at < payload.size(); ++at) {
      std::string other = payload;
      other[at] = static_cast<char>(other[at] ^ 0x41);
      const KernelImage image = look(bzimage(other, kVersion));
      refused += image.unreadable.empty() ? 0 : 1;
      if (packer.has_sum && image.unreadable.empty()) {
        EXPECT_EQ(image.formats, kGood) << packer.name << " at " << at;
      }
    }
    EXPECT_GT(refused, 0u) << packer.name;
  }
}

TEST(KernelImage, AHeaderThatLies) {
  const std::string good = bzimage(test::gzip(kernel_with(kGoodStrings)), kVersion);
  for (const uint32_t value : {0u, 1u, 7u, 0x7fffffffu, 0xffffffffu}) {
    for (const size_t at : {abi::kPayloadOffsetAt, abi::kPayloadLengthAt}) {
      std::string bad = good;
      test::put(bad, at, value);
      EXPECT_NE(look(bad).unreadable, "") << at << " " << value;
    }
  }
  std::string old = good;
  test::put(old, abi::kBootProtocolAt, uint16_t{0x207});
  EXPECT_NE(look(old).unreadable.find("too old"), std::string::npos);
  std::string unknown = good;
  unknown.replace(unknown.find("\x1f\x8b"), 4, "BZh9");
  EXPECT_NE(look(unknown).unreadable.find("isn't known here"), std::string::npos);
}

TEST(KernelImage, ABombIsNotUnpacked) {
  const std::string kernel = kernel_with(kGoodStrings);
  for (const Packer& packer : kPackers) {
    std::string payload = packer.pack(kernel);
    for (const size_t size : {kernel.size() - 1, kernel.size() + 1, size_t{1}, size_t{0},
                              size_t{512 << 20}, size_t{0xffffffff}}) {
      payload.replace(payload.size() - 4, 4, test::le32(size));
      EXPECT_NE(look(bzimage(payload, kVersion)).unreadable, "") << packer.name << " " << size;
    }
  }
}

TEST(KernelImage, Versions) {
  const auto version = [](std::string_view magic, uint16_t where, const std::string& text) {
    std::string bytes = bzimage("", text);
    bytes.replace(abi::kBootMagicAt, magic.size(), magic);
    test::put(bytes, abi::kBootVersionAt, where);
    return look(bytes).version;
  };
  EXPECT_EQ(version("HdrS", 0x100, kVersion), kVersion);
  EXPECT_EQ(version("none", 0x100, kVersion), "");
  EXPECT_EQ(version("HdrS", 0, kVersion), "");
  EXPECT_EQ(version("HdrS", 0xffff, kVersion), "") << "beyond its end";
  EXPECT_EQ(version("HdrS", 0x100, std::string(4096, 'x')).size(), 512u);
}

TEST(KernelImage, TheMostOfItsCommandLine) {
  std::string bytes = bzimage("", kVersion);
  EXPECT_EQ(look(bytes).cmdline_size, 0u);
  test::put(bytes, abi::kCommandLineSizeAt, uint32_t{2047});
  EXPECT_EQ(look(bytes).cmdline_size, 2047u);
  EXPECT_EQ(look("none" + bytes.substr(4)).cmdline_size, 2047u);
  bytes.resize(abi::kCommandLineSizeAt + 2);
  EXPECT_EQ(look(bytes).cmdline_size, 0u);
}

}  // namespace
}  // namespace outlive::cli
