#include "kho/flight_recorder.h"

#include <vector>

#include "kho/arena_test.h"

namespace outlive::kho {
namespace {

struct Region {
  explicit Region(size_t bytes_wanted) : words((bytes_wanted + 7) / 8), size(bytes_wanted) {}
  std::span<std::byte> bytes() { return {reinterpret_cast<std::byte*>(words.data()), size}; }
  std::vector<uint64_t> words;
  size_t size;
};

TEST(FlightRecorder, LastLinesOldestFirst) {
  Region region(64 + 30);
  FlightRecorder recorder = FlightRecorder::open(region.bytes()).take();
  EXPECT_EQ(recorder.read(), "");
  recorder.append("first\n");
  recorder.append("second\n");
  EXPECT_EQ(recorder.read(), "first\nsecond\n");
  for (int i = 0; i < 100; ++i) recorder.append(fmt::format("line {:03}\n", i));
  EXPECT_EQ(recorder.read(), "line 097\nline 098\nline 099\n");
  recorder.append(std::string(1000, 'x') + "end\n");
  EXPECT_EQ(recorder.read().size(), 30u);
  recorder.clear();
  EXPECT_EQ(recorder.read(), "");
}

TEST(FlightRecorder, FoundAgain) {
  Region region(64 + 100);
  ASSERT_TRUE(FlightRecorder::open(region.bytes()));
  FlightRecorder::open(region.bytes())->append("kept\n");
  EXPECT_EQ(FlightRecorder::open(region.bytes())->read(), "kept\n");
  EXPECT_EQ(read_recorder(region.bytes()).take(), "kept\n");
}

TEST(FlightRecorder, BadRegions) {
  Region region(64 + 100);
  EXPECT_EQ(FlightRecorder::open(region.bytes().first(64)).error().code, EINVAL);
  EXPECT_EQ(FlightRecorder::open(region.bytes().subspan(1)).error().code, EINVAL);
  ASSERT_TRUE(FlightRecorder::open(region.bytes()));
  EXPECT_EQ(FlightRecorder::open(region.bytes().first(100)).error().code, EUCLEAN);
  region.words[5] = 7;  // written, more than was begun
  EXPECT_EQ(read_recorder(region.bytes()).error().code, EUCLEAN);
  region.words[6] = ~uint64_t{0};
  EXPECT_EQ(read_recorder(region.bytes()).error().code, EUCLEAN);
  region.bytes()[0] = std::byte{'X'};
  const Error error = FlightRecorder::open(region.bytes()).error();
  EXPECT_EQ(error.code, EPROTO);
  EXPECT_NE(error.message.find("Xutlive-recorder-v1"), std::string::npos);
}

// A crash before any store, with any part of the bytes there: old lines are whole, none is half.
TEST(FlightRecorder, CrashAnywhere) {
  Region region(64 + 40);
  FlightRecorder recorder = FlightRecorder::open(region.bytes()).take();
  std::vector<Region> crashed;
  set_store_hook([&](std::byte*, size_t) { crashed.push_back(region); });
  for (int i = 0; i < 30; ++i) recorder.append(fmt::format("line {:03}\n", i));
  set_store_hook({});
  ASSERT_GT(crashed.size(), 90u);
  for (size_t i = 0; i < crashed.size(); ++i) {
    for (int tear = 0; tear < 9; ++tear) {
      Region left = crashed[i];
      // A store of bytes may be half done: take the first ones from the state after it.
      const Region& after = i + 1 < crashed.size() ? crashed[i + 1] : region;
      if (left.words[5] == after.words[5]) {
        for (int b = 0, copied = 0; b < 40 && copied < tear; ++b) {
          std::byte& to = left.bytes()[64 + static_cast<size_t>(b)];
          const std::byte from = const_cast<Region&>(after).bytes()[64 + static_cast<size_t>(b)];
          if (to != from) to = from, ++copied;
        }
      }
      FlightRecorder next = FlightRecorder::open(left.bytes()).take();
      next.append("new\n");
      const std::string text = next.read();
      ASSERT_TRUE(text.ends_with("new\n"));
      std::string line;
      for (const char c : text) {
        if (c != '\n') {
          line += c;
          continue;
        }
        const bool blank = line.find_first_not_of(' ') == line.npos;
        EXPECT_TRUE(blank || line == "new" || (line.size() == 8 && line.starts_with("line ")))
            << line;
        line.clear();
      }
    }
  }
}

}  // namespace
}  // namespace outlive::kho
