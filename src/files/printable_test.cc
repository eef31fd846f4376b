#include "files/printable.h"

#include <gtest/gtest.h>

namespace outlive::files {
namespace {

TEST(PrintableTest, PlainAndUtf8AreKept) {
  EXPECT_EQ(printable("/run/a b"), "/run/a b");
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
}

TEST(PrintableTest, WhatIsNoTextIsEscaped) {
  EXPECT_EQ(printable("a\nb\x7f"), "a\\x0ab\\x7f");
  EXPECT_EQ(printable(std::string_view("\0x", 2)), "\\x00x");
  EXPECT_EQ(printable("\xc3"), "\\xc3");                             // cut off
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");                    // overlong
  EXPECT_EQ(printable("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // surrogate
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");                    // C1 control
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond the last
}

TEST(PrintableTest, LongTextIsCut) {
  EXPECT_EQ(printable("aaaaaa", 4), "aaaa...");
}

}  // namespace
}  // namespace outlive::files
