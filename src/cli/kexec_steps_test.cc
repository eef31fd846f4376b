#include "cli/kexec_steps.h"

#include <gtest/gtest.h>

#include "abi/timeline.h"
#include "base/clock.h"
#include "luo/records.h"
#include "luo/timeline.h"

namespace outlive::cli {
namespace {

const wire::RequestId kOurs{{1, 2}};

// An arena with three updates, two of them of one request; the last one has no timeline.
class Image {
 public:
  Image() : file_(kho::Arena::create_file(1 << 20).take()) {
    const auto arena = kho::Arena::create(file_).take();
    kho::RootFdt fdt(*arena);
    const auto records = luo::Records::create(*arena, fdt).take();
    luo::Change change(*records);
    uint64_t number = 0;
    for (const wire::RequestId& request : {kOurs, wire::RequestId{{1, 3}}, kOurs}) {
      auto* update = change.add<abi::UpdateSlot>().take();
      update->request_id[0] = request.words[0];
      update->request_id[1] = request.words[1];
      if (++number == 3) continue;
      update->timeline = luo::Timeline::make(*arena, number).take().value;
      luo::Timeline(*arena, update->timeline).point("old", "freeze", number);
    }
    change.commit();
  }
  // As KexecImage does it, in the image itself.
  void write(const KexecSteps& steps) const {
    const auto arena = kho::Arena::attach(file_).take();
    kho::RootFdt fdt(*arena);
    steps.write_into(*luo::Records::attach(*arena, fdt).take(), kOurs);
  }
  std::vector<luo::Timeline::Entry> entries_of(uint64_t number) const {
    const auto arena = kho::Arena::attach(file_).take();
    kho::RootFdt fdt(*arena);
    const auto records = luo::Records::attach(*arena, fdt).take();
    std::vector<luo::Timeline::Entry> found;
    records->for_each<abi::UpdateSlot>([&](abi::UpdateSlot& slot) {
      const auto entries = luo::Timeline(*arena, slot.timeline).entries();
      if (!entries.empty() && entries[0].start_ns == number) found = entries;
    });
    return found;
  }

 private:
  UniqueFd file_;
};

TEST(KexecSteps, OneAfterTheOtherAndTheLastStaysOpen) {
  const Image image;
  KexecSteps steps;
  steps.end();  // of nothing
  const uint64_t before = system_clock().steady_ns();
  steps.begin("load");
  steps.begin("sync");
  steps.end();
  const uint64_t between = system_clock().steady_ns();
  steps.end();  // it has ended
  steps.begin(abi::kTimelineWrite);
  image.write(steps);
  const uint64_t after = system_clock().steady_ns();

  const auto entries = image.entries_of(1);
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].what, "freeze") << "what was there stays";
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(entries[i].who, abi::kTimelineKexec);
  EXPECT_EQ(entries[1].what, "load");
  EXPECT_EQ(entries[2].what, "sync");
  EXPECT_EQ(entries[3].what, abi::kTimelineWrite);
  EXPECT_GE(entries[1].start_ns, before);
  EXPECT_GE(entries[1].end_ns, entries[1].start_ns);
  EXPECT_GE(entries[2].start_ns, entries[1].end_ns);
  EXPECT_GE(entries[2].end_ns, entries[2].start_ns);
  EXPECT_LE(entries[2].end_ns, between);
  EXPECT_GE(entries[3].start_ns, between);
  EXPECT_LE(entries[3].start_ns, after);
  EXPECT_EQ(entries[3].end_ns, 0u) << "the next outlived ends it";
}

TEST(KexecSteps, AreOfThatRequestAlone) {
  const Image image;
  KexecSteps steps;
  steps.begin("load");
  image.write(steps);
  EXPECT_EQ(image.entries_of(1).size(), 2u);
  EXPECT_EQ(image.entries_of(2).size(), 1u);
}

}  // namespace
}  // namespace outlive::cli
