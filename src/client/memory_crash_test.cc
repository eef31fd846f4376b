// SIGKILL at any instruction: what is found afterwards is whole, or says that it isn't.
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/memory_test_util.h"

namespace outlive::client {
namespace {

// A list of blocks in the region, kept by the child under the epoch.
struct Node {
  uint64_t next;
  uint64_t bytes;
  uint64_t number;
};

Node* node_at(const Memory& memory, uint64_t offset) {
  return reinterpret_cast<Node*>(memory.base() + offset);
}

void add_node(Memory& memory, uint64_t bytes, uint64_t number) {
  memory.enter();
  const Result<uint64_t> offset = memory.allocate(sizeof(Node) + bytes);
  if (!offset) _exit(3);
  *node_at(memory, *offset) = {memory.root(), bytes, number};
  fill(memory.base() + *offset + sizeof(Node), bytes, number);
  if (!memory.set_root(*offset)) _exit(4);
  memory.leave();
}

void drop_node(Memory& memory) {
  memory.enter();
  const uint64_t offset = memory.root();
  if (!memory.set_root(node_at(memory, offset)->next)) _exit(5);
  if (!memory.free(offset)) _exit(6);
  memory.leave();
}

[[noreturn]] void churn(Memory& memory, uint64_t seed, int started) {
  std::mt19937_64 random(seed);
  uint64_t live = memory.blocks();
  if (write(started, "", 1) != 1) _exit(2);
  volatile uint64_t outside = 0;
  for (uint64_t i = 0;; ++i) {
    if (live < 2000 && (live == 0 || random() % 2 == 0)) {
      const uint64_t dice = random() % 100;
      add_node(memory, random() % (dice < 90 ? 500 : dice < 98 ? 70'000 : 3'000'000), i);
      ++live;
    } else {
      drop_node(memory);
      --live;
    }
    // Time outside of a change, so that both kinds of death are seen.
    for (uint64_t rest = random() % 20'000; rest > 0; --rest) outside = outside + 1;
  }
}

// False: a node's bytes are wrong, or the list has not as many nodes as there are blocks.
bool list_is_whole(const Memory& memory) {
  uint64_t nodes = 0;
  for (uint64_t at = memory.root(); at != 0; at = node_at(memory, at)->next) {
    const Node& node = *node_at(memory, at);
    if (++nodes > memory.blocks()) return false;
    if (!is_filled(memory.base() + at + sizeof(Node), node.bytes, node.number)) return false;
  }
  return nodes == memory.blocks();
}

// A child works on the region until it is killed, at a random moment of its first two milliseconds.
void kill_in_the_middle(Memory& memory, std::mt19937_64& random) {
  const uint64_t seed = random();
  Result<sys::Pipe> pipe = sys::pipe();
  ASSERT_TRUE(pipe);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) churn(memory, seed, pipe->write.get());
  char byte;
  ASSERT_EQ(read(pipe->read.get(), &byte, 1), 1);
  const timespec moment{0, static_cast<long>(random() % 2'000'000)};
  nanosleep(&moment, nullptr);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child left by itself: " << WEXITSTATUS(status);
}

TEST(MemoryCrash, KilledThreeHundredTimes) {
  std::mt19937_64 random(test_seed());
  std::unique_ptr<Memory> memory = make_memory(0, uint64_t{256} << 20);
  int whole = 0;
  int odd = 0;
  for (int i = 0; i < 300 && !HasFatalFailure(); ++i) {
    kill_in_the_middle(*memory, random);
    std::unique_ptr<Memory> found = attach_again(*memory);
    ASSERT_TRUE(found);
    const std::string text = check_text(*found);
    ASSERT_TRUE(found->make_writable());
    if (found->consistent()) {
      ++whole;
      ASSERT_EQ(text, "");
      ASSERT_TRUE(list_is_whole(*found));
      memory = std::move(found);
      continue;
    }
    ++odd;
    ASSERT_EQ(found->allocate(16).error().code, EUCLEAN);
    ASSERT_EQ(static_cast<bool>(found->repaired()), text.empty());
    ASSERT_EQ(found->consistent(), text.empty());
    memory = make_memory(0, uint64_t{256} << 20);
  }
  printf("%d whole, %d in the middle of a change\n", whole, odd);
  EXPECT_GT(whole, 0);
  EXPECT_GT(odd, 0);
}

}  // namespace
}  // namespace outlive::client
