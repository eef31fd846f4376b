#include "client/state_header.h"

#include <gtest/gtest.h>
#include <string.h>

#include <string>

#include "outlive/outlive.h"

namespace outlive::client {
namespace {

constexpr std::string_view kText = "the state of a service";
std::span<const std::byte> text() {
  return std::as_bytes(std::span(kText.data(), kText.size()));
}

constexpr StateFormat kV3{"kv-table", 3, 2, 0x1234};

std::string refusal(const StateFormat& reader, uint32_t oldest, const abi::StateHeader& header,
                    std::span<const std::byte> bytes = text()) {
  const Result<uint32_t> version = check_state(reader, oldest, header, bytes);
  return version ? "read " + std::to_string(*version) : version.error().text();
}

TEST(StateHeader, SameNewerAndOlderReaders) {
  const abi::StateHeader header = *seal_state(kV3, text());
  EXPECT_EQ(refusal(kV3, 1, header), "read 3");
  EXPECT_EQ(refusal({"kv-table", 2, 1, 0x99}, 1, header), "read 3");  // the rollback
  EXPECT_EQ(refusal({"kv-table", 9, 9, 0}, 3, header), "read 3");
  EXPECT_EQ(
      refusal({"kv-table", 1, 1, 0}, 1, header),
      "state 'kv-table' has version 3, which 2 and newer can read; this program is 1 (EPROTO)");
  EXPECT_EQ(refusal({"kv-table", 9, 9, 0}, 4, header),
            "state 'kv-table' has version 3, this program (version 9) reads 4 and newer (EPROTO)");
  EXPECT_EQ(refusal({"kv-other", 3, 2, 0}, 1, header),
            "state 'kv-table' version 3, this program reads 'kv-other' version 3 (EPROTO)");
}

TEST(StateHeader, AnotherLayoutOfTheSameVersionIsRefused) {
  const abi::StateHeader header = *seal_state(kV3, text());
  EXPECT_NE(refusal({"kv-table", 3, 2, 0x5678}, 1, header).find("layout"), std::string::npos);
  EXPECT_EQ(refusal({"kv-table", 3, 2, 0}, 1, header), "read 3");
}

TEST(StateHeader, DamageIsFound) {
  const abi::StateHeader header = *seal_state(kV3, text());
  std::string changed(kText);
  changed[5] = '!';
  EXPECT_NE(refusal(kV3, 1, header, std::as_bytes(std::span(changed))).find("EUCLEAN"),
            std::string::npos);
  EXPECT_NE(refusal(kV3, 1, header, text().first(3)).find("EUCLEAN"), std::string::npos);
  abi::StateHeader other = header;
  other.magic ^= 1;
  EXPECT_NE(refusal(kV3, 1, other).find("EPROTO"), std::string::npos);
  memset(other.compatible, 'x', sizeof other.compatible);  // no end
  other.magic = header.magic;
  EXPECT_NE(refusal(kV3, 1, other).find("EPROTO"), std::string::npos);
}

TEST(StateHeader, BadFormats) {
  EXPECT_EQ(seal_state({"", 1, 1, 0}, text()).error().code, EINVAL);
  EXPECT_EQ(seal_state({std::string(48, 'x'), 1, 1, 0}, text()).error().code, EINVAL);
  EXPECT_TRUE(seal_state({std::string(47, 'x'), 1, 1, 0}, text()));
  EXPECT_EQ(seal_state({"x", 1, 2, 0}, text()).error().code, EINVAL);
}

TEST(StateHeader, TheCFunctionsNeedNoAlignment) {
  const outlive_state_format format{"kv-table", 3, 2, 0};
  char buffer[OUTLIVE_STATE_HEADER_SIZE + 1];
  void* header = buffer + 1;
  ASSERT_EQ(outlive_state_seal(&format, kText.data(), kText.size(), header), 0);
  EXPECT_EQ(outlive_state_check(&format, 1, header, kText.data(), kText.size()), 3);
  buffer[1] ^= 1;
  EXPECT_EQ(outlive_state_check(&format, 1, header, kText.data(), kText.size()), -EPROTO);
  const outlive_state_format nameless{nullptr, 3, 2, 0};
  EXPECT_EQ(outlive_state_seal(&nameless, nullptr, 0, header), -EINVAL);
}

}  // namespace
}  // namespace outlive::client
