// What every fuzz target is made of. A target is one file with the three functions below; it is
// linked with libFuzzer (`make fuzz`, clang, ASan and UBSan) or with replay.cc, which runs the kept
// corpus in every `make test` and writes the seeds that a corpus begins with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace outlive::fuzz {

using Input = std::span<const std::byte>;
using Keep = std::function<void(const std::string& name, std::string_view bytes)>;

// One input. What must not happen ends the process: a sanitizer's finding, a failed CHECK, abort().
void run(Input input);
// Real messages and images, as inputs.
void make_seeds(const Keep& keep);

// Takes what it is asked for off an input; zeros at its end.
class Reader {
 public:
  explicit Reader(Input input) : rest_(input) {}
  bool empty() const { return rest_.empty(); }
  template <typename T>
  T take() {
    T value{};
    const Input bytes = take_bytes(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  Input take_bytes(size_t size) {
    const Input bytes = rest_.first(size < rest_.size() ? size : rest_.size());
    rest_ = rest_.subspan(bytes.size());
    return bytes;
  }
  Input rest() const { return rest_; }

 private:
  Input rest_;
};

inline std::string_view text_of(Input input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}
inline std::string_view text_of(const std::vector<std::byte>& bytes) {
  return text_of(Input(bytes));
}

// A change of a structure that mostly stays sound: fuzzing all of an image's bytes would never get
// behind its first check. `where` counts words of its metadata.
struct [[gnu::packed]] Patch {
  uint8_t kind;  // PatchKind, modulo
  uint32_t where;
  uint64_t value;
};
enum PatchKind : uint8_t { kStore = 0, kXor = 1, kCopy = 2, kAdd = 3, kPatchKinds = 4 };

// `words`: addresses of the metadata's words, as numbers of words from `base`.
inline void apply_patches(Reader reader, std::byte* base, const std::vector<uint32_t>& words) {
  for (int i = 0; i < 64 && !reader.empty(); ++i) {
    const Patch patch = reader.take<Patch>();
    const auto at = [&](uint64_t number) {
      return reinterpret_cast<uint64_t*>(base) + words[number % words.size()];
    };
    uint64_t& word = *at(patch.where);
    switch (patch.kind % kPatchKinds) {
      case kStore:
        word = patch.value;
        break;
      case kXor:
        word ^= patch.value;
        break;
      case kCopy:
        word = *at(patch.value);
        break;
      default:
        word += patch.value;
    }
  }
}

inline std::string patch_text(std::initializer_list<Patch> patches) {
  std::string text;
  for (const Patch& one : patches) text.append(reinterpret_cast<const char*>(&one), sizeof one);
  return text;
}

}  // namespace outlive::fuzz
