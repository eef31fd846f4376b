#include "cli/format.h"

#include <gtest/gtest.h>

#include "cli/table.h"

namespace outlive::cli {
namespace {

TEST(Format, Durations) {
  EXPECT_EQ(duration_text(0), "0 us");
  EXPECT_EQ(duration_text(412), "412 us");
  EXPECT_EQ(duration_text(1'240), "1.24 ms");
  EXPECT_EQ(duration_text(3'100'000), "3.1 s");
  EXPECT_EQ(duration_text(125'000'000), "2m 05s");
  EXPECT_EQ(duration_text(int64_t{11'520} * 1'000'000), "3h 12m");
  EXPECT_EQ(duration_text(int64_t{356'400} * 1'000'000), "4d 3h");
  EXPECT_EQ(duration_text(-5), "-5 us");
}

TEST(Format, Numbers) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1'000), "1,000");
  EXPECT_EQ(grouped(-1'234'567), "-1,234,567");
  EXPECT_EQ(bytes_text(812), "812 B");
  EXPECT_EQ(bytes_text(4096), "4.0 KiB");
  EXPECT_EQ(bytes_text(int64_t{3} << 29), "1.5 GiB");
  EXPECT_EQ(count_text(1, "file"), "1 file");
  EXPECT_EQ(count_text(0, "file"), "0 files");
}

TEST(Format, ControlCharactersDontReachTheTerminal) {
  EXPECT_EQ(clean("a\x1b[2Jb\nc\x7f"), "a?[2Jb?c?");
  EXPECT_EQ(clean("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(clean("a\xc2\x9b"
                  "b"),
            "a?b");
}

TEST(Format, DurationsAreRead) {
  EXPECT_EQ(*parse_duration_ms("500ms"), 500);
  EXPECT_EQ(*parse_duration_ms("30s"), 30'000);
  EXPECT_EQ(*parse_duration_ms("30"), 30'000);
  EXPECT_EQ(*parse_duration_ms("2m"), 120'000);
  for (const char* text : {"", "s", "-1s", "1h", "1.5s", "99999999999999999999"}) {
    EXPECT_FALSE(parse_duration_ms(text)) << text;
  }
}

TEST(Format, CommandsAreQuoted) {
  EXPECT_EQ(command_text({"/bin/web", "--port", "80"}), "/bin/web --port 80");
  EXPECT_EQ(command_text({"a b", ""}), "'a b' ''");
}

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"NAME", ">N", "X"});
  EXPECT_TRUE(table.empty());
  table.row({"caf\xc3\xa9-longer", "7", "y"});
  table.row({"b\x1b", "1234", ""});
  EXPECT_EQ(table.text(),
            "NAME            N  X\n"
            "caf\xc3\xa9-longer     7  y\n"
            "b?           1234\n");
}

}  // namespace
}  // namespace outlive::cli
