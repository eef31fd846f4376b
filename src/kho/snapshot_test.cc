#include "kho/snapshot.h"

#include <gtest/gtest.h>
#include <string.h>

#include "base/sys.h"
#include "kho/arena.h"

namespace outlive::kho {
namespace {

TEST(Snapshot, IsTheArenaOfThatMoment) {
  const UniqueFd file = Arena::create_file(64 << 20).take();
  const auto arena = Arena::create(file).take();
  const Phys folio = arena->alloc_preserve(3 * abi::kPageSize, abi::kOwnerFirstUser).take();
  memcpy(arena->at(folio, 4), "old", 4);
  const UniqueFd copy = snapshot(file).take();
  memcpy(arena->at(folio, 4), "new", 4);
  const auto other = Arena::attach(copy).take();
  EXPECT_STREQ(reinterpret_cast<const char*>(other->at(folio, 4)), "old");
  EXPECT_STREQ(reinterpret_cast<const char*>(arena->at(folio, 4)), "new");
  EXPECT_TRUE(other->is_live(folio, abi::kOwnerFirstUser, 3 * abi::kPageSize));
  EXPECT_EQ(other->size(), arena->size());
}

TEST(Snapshot, StaysSparse) {
  const UniqueFd file = Arena::create_file(1 << 30).take();
  const auto arena = Arena::create(file).take();
  const UniqueFd copy = snapshot(file).take();
  const struct stat facts = sys::fstat(copy).take();
  EXPECT_LT(facts.st_blocks * 512, 32 << 20);
}

}  // namespace
}  // namespace outlive::kho
