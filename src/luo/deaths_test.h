// Deaths: while work is done, the worker dies before each of its stores, and after the last one.
//
// A death is simulated inside the store hook, where the arena is what a process that is killed
// there leaves, plain writes included: the next worker attaches to the same file through a mapping
// of its own, is looked at, and what it stored is undone, last store first. Then the work goes on
// as if nothing had happened. Now and then the next worker dies too, before each store of its
// attach: whoever comes after must find the same.
//
// The undo knows of the stores that go through kho/store.h and of the redo list, which an attach
// writes plainly; that nothing else was written is checked byte by byte at every 64th death.
#pragma once

#include "luo/luo_test.h"

namespace outlive::luo {

class Deaths {
 public:
  // What the next worker finds.
  struct Found {
    kho::Arena& arena;
    Core& core;
    const std::vector<int>& released;  // fds that it gave back by itself
  };
  // As text; what must not be throws nothing but is noted with broken().
  using Look = std::function<std::string(const Found&)>;
  // The same text, again and again.
  struct Seen {
    std::string text;
    uint64_t times;
  };

  Deaths(LuoWorld& world, Look look) : world_(world), look_(std::move(look)) {}
  ~Deaths() { kho::set_store_hook({}); }

  // Does the work. `before_store` is called before each of its stores, before the death there.
  void during(const std::function<void()>& work, const std::function<void()>& before_store = {}) {
    seen_.clear();
    const uint64_t stores = stores_;
    kho::set_store_hook([&](std::byte* to, size_t n) {
      if (depth_ == 0) {
        ++stores_;
        if (before_store) before_store();
        die();
        return;
      }
      if (depth_ == 1 && deaths_ % kAgain == 1) die();
      levels_[depth_ - 1].keep(to, n);
    });
    work();
    // The end of the work is a place to die at as well.
    if (stores_ != stores) die();
    kho::set_store_hook({});
  }
  // What was found, in the order of the deaths.
  const std::vector<Seen>& seen() const { return seen_; }
  void broken(std::string what) {
    if (trouble_.empty()) trouble_ = fmt::format("death {}: {}", deaths_, what);
  }
  const std::string& trouble() const { return trouble_; }
  // Injected failures are not for whoever attaches.
  bool dying() const { return depth_ > 0; }
  uint64_t stores() const { return stores_; }      // of the work, before each of which was a death
  uint64_t deaths() const { return deaths_; }      // with the ones after a last store
  uint64_t again() const { return again_; }        // deaths of the next worker in its attach
  uint64_t compared() const { return compared_; }  // byte by byte after the undo

 private:
  static constexpr uint64_t kAgain = 128;
  static constexpr uint64_t kCompare = 64;
  static constexpr size_t kRedoEntries = 256;  // of an attach: it alters little

  // One attach: what was there before its stores.
  struct Level {
    struct Old {
      std::byte* at;
      size_t size;
    };
    std::vector<Old> stores;
    std::vector<std::byte> bytes;
    std::vector<abi::RedoEntry> redo;
    uint64_t committed = 0;
    std::vector<std::byte> whole;
    std::vector<int> released;

    void keep(const std::byte* at, size_t size) {
      stores.push_back({const_cast<std::byte*>(at), size});
      bytes.insert(bytes.end(), at, at + size);
    }
    void undo() {
      for (; !stores.empty(); stores.pop_back()) {
        const Old& old = stores.back();
        std::memcpy(old.at, bytes.data() + bytes.size() - old.size, old.size);
        bytes.resize(bytes.size() - old.size);
      }
    }
  };

  void die() {
    ++(depth_ == 0 ? deaths_ : again_);
    if (!trouble_.empty()) return;
    Level& level = levels_[depth_++];
    const kho::View view = world_.arena->view();
    const abi::RecordsRoot& root = world_.core->records().root();
    const auto* redo = world_.arena->object<abi::RedoEntry>(kho::Phys{root.redo_list});
    level.redo.assign(redo, redo + kRedoEntries);
    level.committed = root.committed;
    const bool compare = depth_ == 1 && deaths_ % kCompare == 1;
    if (compare) level.whole.assign(view.base(), view.base() + view.size());
    attach(level);
    --depth_;
    if (!compare) return;
    ++compared_;
    if (std::memcmp(level.whole.data(), view.base(), view.size()) != 0) {
      broken("an attach writes where nobody knows of");
    }
  }

  void attach(Level& level) {
    level.released.clear();
    Result<std::unique_ptr<kho::Arena>> arena = kho::Arena::attach(world_.file);
    if (!arena) return broken(arena.error().text());
    Context context = world_.context();
    context.release = [&level](BorrowedFd fd) { level.released.push_back(fd.get()); };
    Result<std::unique_ptr<Core>> core = Core::attach(**arena, context, nobody_);
    if (!core) return broken(core.error().text());
    note(look_({**arena, **core, level.released}));
    abi::RecordsRoot& root = (*core)->records().root();
    if (root.committed != level.committed) {
      if (root.redo_count > kRedoEntries) broken("an attach alters more than expected");
      auto* redo = (*arena)->object<abi::RedoEntry>(kho::Phys{root.redo_list});
      std::copy(level.redo.begin(), level.redo.end(), redo);
    }
    core->reset();
    level.undo();
  }

  void note(std::string text) {
    if (depth_ == 2) {
      if (!before_again_.empty() && before_again_ != text) {
        broken("a second death changes what is found:\n" + before_again_ + "--\n" + text);
      }
      before_again_ = std::move(text);
      return;
    }
    if (!before_again_.empty() && before_again_ != text) {
      broken("a second death changed what is found:\n" + before_again_ + "--\n" + text);
    }
    before_again_.clear();
    if (seen_.empty() || seen_.back().text != text) {
      seen_.push_back({std::move(text), 1});
    } else {
      ++seen_.back().times;
    }
  }

  LuoWorld& world_;
  Look look_;
  NoUpdates nobody_;
  Level levels_[2];
  unsigned depth_ = 0;
  std::vector<Seen> seen_;
  std::string before_again_;
  std::string trouble_;
  uint64_t stores_ = 0, deaths_ = 0, again_ = 0, compared_ = 0;
};

}  // namespace outlive::luo
