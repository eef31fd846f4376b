// A successor that looks ahead: it is told when the old one has answered prepare.
#include "luo/update.h"
#include "luo/update_host_test.h"

namespace outlive::luo {
namespace {

using abi::Step;
using abi::UpdateStep;

struct PreviewWorld : UpdateWorld {
  PreviewWorld() {
    begin();
    launched();
    fake.state.connections.at(kNew).previews = true;
    EXPECT_TRUE(answer(kNew, 2, Step::kStart));
    fake.take();
  }
};

TEST(UpdatePreview, IsAskedBehindPrepareAndBeforeFreeze) {
  PreviewWorld w;
  w.clock.now += 1000;
  EXPECT_FALSE(w.answer(PreviewWorld::kNew, 2, Step::kPreview)) << "nobody asked yet";
  w.old_answers(Step::kPrepare);
  EXPECT_EQ(w.fake.take(), (Journal{"preview to 2"}));
  EXPECT_EQ(w.step(), UpdateStep::kPrepare);
  EXPECT_EQ(w.state(), State::kPrepared) << "the old one serves";
  EXPECT_EQ(w.updates().waiting_for(w.update()), "the successor (preview)");
  EXPECT_EQ(w.fake.last_deadline, w.clock.now + w.updates().times.prepare);
  EXPECT_EQ(w.updates().access(w.service(), 2), Updates::Access::kNotOffered);
  EXPECT_FALSE(w.answer(PreviewWorld::kOld, 1, Step::kPrepare)) << "it has answered";
  w.clock.now += 1000;
  w.successor_answers(Step::kPreview);
  EXPECT_EQ(w.fake.take(), (Journal{"freeze to 1"}));
  w.old_answers(Step::kFreeze);
  w.successor_answers(Step::kAdopt);
  EXPECT_EQ(w.step(), UpdateStep::kCommit);
  EXPECT_EQ(w.update().blackout_ns, 0u) << "the preview is no part of it";
  std::vector<std::string> seen;
  for (const auto& entry : w.updates().timeline(w.update()).entries()) {
    seen.push_back(entry.who + " " + entry.what);
    if (entry.what != "preview") continue;
    EXPECT_EQ(entry.end_ns - entry.start_ns, 1000u);
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), "successor preview"), 1);
}

TEST(UpdatePreview, VetoDeathAndSilenceCancel) {
  using Event = std::function<void(PreviewWorld&)>;
  const std::pair<Event, int> events[] = {
      {[](PreviewWorld& w) {
         ASSERT_TRUE(w.updates().veto(w.service(), PreviewWorld::kNew, 2, Step::kPreview,
                                      w.update().header.id, "no"));
         EXPECT_TRUE(w.dies(200));
       },
       ECANCELED},
      {[](PreviewWorld& w) { EXPECT_TRUE(w.dies(200)); }, ECHILD},
      {[](PreviewWorld& w) {
         w.updates().tick(w.fake.last_deadline);
         EXPECT_TRUE(w.dies(200));
       },
       ETIMEDOUT},
  };
  for (const auto& [event, code] : events) {
    PreviewWorld w;
    w.old_answers(Step::kPrepare);
    event(w);
    expect_rolled_back(w, code);
  }
}

TEST(UpdatePreview, BegunAnewItIsAskedAnew) {
  PreviewWorld w;
  w.old_answers(Step::kPrepare);
  ASSERT_TRUE(w.reattach());
  w.updates().resume();
  w.dies(200);  // the successor of the first try
  w.fake.take();
  w.fake.state.connections.erase(PreviewWorld::kNew);
  w.launched();
  w.fake.state.connections.at(PreviewWorld::kNew).previews = true;
  ASSERT_TRUE(w.answer(PreviewWorld::kNew, 2, Step::kStart));
  EXPECT_EQ(w.fake.take(), (Journal{"prepare to 1"}));
  w.old_answers(Step::kPrepare);
  EXPECT_EQ(w.fake.take(), (Journal{"preview to 2"}));
}

}  // namespace
}  // namespace outlive::luo
