// The size rule, tails, names and texts of bodies, with every kind of malformed one.
#include "wire/body.h"

#include <gtest/gtest.h>

namespace outlive::wire {
namespace {

struct [[gnu::packed]] Known {
  uint32_t size;
  uint32_t flags;
  uint64_t added_later;
};

std::vector<std::byte> body_of(uint32_t size, size_t length, uint8_t fill = 0) {
  std::vector<std::byte> body(length, std::byte{fill});
  if (length >= sizeof size) std::memcpy(body.data(), &size, sizeof size);
  return body;
}

int error_of(const std::vector<std::byte>& body, size_t minimum = 8) {
  const auto read = read_body<Known>(body, minimum);
  return read ? 0 : read.error().code;
}

TEST(ReadBody, NoRoomForTheSizeIsEinval) {
  EXPECT_EQ(error_of(body_of(0, 0)), EINVAL);
  EXPECT_EQ(error_of(body_of(0, 3)), EINVAL);
}
TEST(ReadBody, SmallerThanTheMinimumIsEinval) {
  EXPECT_EQ(error_of(body_of(0, 16)), EINVAL);
  EXPECT_EQ(error_of(body_of(7, 16)), EINVAL);
  EXPECT_EQ(error_of(body_of(8, 16)), 0);
  EXPECT_EQ(error_of(body_of(3, 16), 0), EINVAL);
}
TEST(ReadBody, LargerThanWhatCameIsEfault) {
  EXPECT_EQ(error_of(body_of(17, 16)), EFAULT);
  EXPECT_EQ(error_of(body_of(0xffffffff, 16)), EFAULT);
}
TEST(ReadBody, UnknownBytesMustBeZero) {
  EXPECT_EQ(error_of(body_of(24, 24)), 0);
  auto body = body_of(24, 24);
  body[23] = std::byte{1};
  EXPECT_EQ(error_of(body), E2BIG);
  body = body_of(24, 24);
  body[16] = std::byte{1};
  EXPECT_EQ(error_of(body), E2BIG);
}
TEST(ReadBody, BytesBehindTheSizeAreNotLookedAt) {
  EXPECT_EQ(error_of(body_of(16, 24, 0xff)), 0);
}
TEST(ReadBody, AnOlderPeersMissingFieldsAreZero) {
  const auto read = read_body<Known>(body_of(8, 16, 0xff), 8);
  ASSERT_TRUE(read);
  EXPECT_EQ((*read).size, 8u);
  EXPECT_EQ((*read).flags, 0xffffffffu);
  EXPECT_EQ((*read).added_later, 0u);
}

TEST(ReadTail, IsExactlyWhatWasAnnounced) {
  const auto body = body_of(8, 24, 0x11);
  EXPECT_TRUE(read_tail<uint64_t>(body, 2));
  EXPECT_EQ(read_tail<uint64_t>(body, 1).error().code, EINVAL);
  EXPECT_EQ(read_tail<uint64_t>(body, 3).error().code, EINVAL);
  // Multiplied by 8 this wraps to 16.
  EXPECT_EQ(read_tail<uint64_t>(body, (size_t{1} << 61) + 2).error().code, EINVAL);
  EXPECT_EQ(read_tail<uint64_t>(body_of(8, 8), 0)->size(), 0u);
}
TEST(ReadTail, ABadSizeHasNoTail) {
  EXPECT_TRUE(body_tail(body_of(100, 24)).empty());
  EXPECT_TRUE(body_tail(body_of(0, 2)).empty());
}

TEST(ReplyBytes, NeverMoreThanTheCallerKnows) {
  const auto known = sized<Known>();
  EXPECT_EQ(reply_bytes(known, 8).size(), 8u);
  EXPECT_EQ(reply_bytes(known, 100).size(), sizeof known);
}

TEST(Names, TheKernelsRule) {
  uint8_t field[abi::kSessionNameLength] = {};
  EXPECT_EQ(read_name(field).error().code, EINVAL);
  write_name("web", field);
  EXPECT_EQ(*read_name(field), "web");
  std::ranges::fill(field, uint8_t{'a'});
  EXPECT_EQ(read_name(field).error().code, EINVAL);
  field[63] = 0;
  EXPECT_EQ(read_name(field)->size(), 63u);
}
TEST(Names, WriteZeroesTheRest) {
  uint8_t field[abi::kSessionNameLength];
  std::ranges::fill(field, uint8_t{'x'});
  write_name("ab", field);
  EXPECT_EQ(std::ranges::count(field, 0), 62);
}

int name_error(std::string_view name) {
  const auto checked = check_name(name, "session name");
  return checked ? 0 : checked.error().code;
}
TEST(Names, OursAreUtf8OfAtMost63Bytes) {
  EXPECT_EQ(name_error("web"), 0);
  EXPECT_EQ(name_error("d\xc3\xa9j\xc3\xa0 \xf0\x9f\x90\xa7 \xe2\x82\xac"), 0);
  EXPECT_EQ(name_error(""), EINVAL);
  EXPECT_EQ(name_error(std::string(63, 'a')), 0);
  EXPECT_EQ(name_error(std::string(64, 'a')), ENAMETOOLONG);
  EXPECT_EQ(name_error("a\nb"), EINVAL);
  EXPECT_EQ(name_error("\x7f"), EINVAL);
}
TEST(Names, WhatIsNotUtf8) {
  for (const std::string_view bad :
       {"\x80", "\xc3", "\xc3(", "\xc0\xaf", "\xc1\x81", "\xe0\x80\xaf", "\xe2\x82", "\xed\xa0\x80",
        "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x28\xa1"}) {
    EXPECT_EQ(name_error(bad), EINVAL) << testing::PrintToString(bad);
  }
}

TEST(Texts, AreCutAtACharacter) {
  char field[5];
  write_text("abc\xe2\x82\xac", field);  // the euro sign would need bytes 3 to 5
  EXPECT_EQ(text_of(field), "abc");
  write_text("abcd", field);
  EXPECT_EQ(text_of(field), "abcd");
  const char full[3] = {'a', 'b', 'c'};
  EXPECT_EQ(text_of(full), "abc");
}

TEST(Errors, TextCrossesTheSocket) {
  const auto body = error_body(fail(EBUSY, "token {} is busy", 7));
  EXPECT_EQ(read_error_text(bytes_of(body)), "token 7 is busy");
  EXPECT_EQ(read_error_text({}), "");
  const auto cut = error_body(Error{EIO, std::string(1000, 'e')});
  EXPECT_EQ(read_error_text(bytes_of(cut)), std::string(251, 'e'));
}

}  // namespace
}  // namespace outlive::wire
