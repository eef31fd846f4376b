#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <random>
#include <string_view>
#include <vector>

namespace outlive {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(Crc32c, KnownValues) {  // RFC 3720, B.4
  EXPECT_EQ(crc32c(bytes_of("")), 0u);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  const std::vector<std::byte> zeros(32, std::byte{0});
  const std::vector<std::byte> ones(32, std::byte{0xff});
  EXPECT_EQ(crc32c(zeros), 0x8a9136aau);
  EXPECT_EQ(crc32c(ones), 0x62a8ab43u);
  EXPECT_EQ(crc32c_by_table(zeros), 0x8a9136aau);
}

TEST(Crc32c, TableAndInstructionAgreeAtEveryLengthAndSplit) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(300);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  for (size_t length = 0; length <= bytes.size(); ++length) {
    const std::span<const std::byte> all(bytes.data(), length);
    const uint32_t expected = crc32c_by_table(all);
    ASSERT_EQ(crc32c(all), expected) << length;
    const size_t cut = length / 3;
    ASSERT_EQ(crc32c(all.subspan(cut), crc32c(all.first(cut))), expected) << length;
  }
}

}  // namespace
}  // namespace outlive
