#include "kho/kernel_state.h"

#include <dirent.h>
#include <libfdt.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "abi/kho.h"
#include "base/sys.h"
#include "kho/kernel_blobs.h"

namespace outlive::kho {

namespace {

using Bytes = std::vector<std::byte>;

constexpr size_t kMostSubtrees = 1024;

// Sorted; an error also for a folder that isn't there.
Result<std::vector<std::string>> names_in(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), &::closedir);
  if (!directory) return fail_errno(folder);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    if (names.size() > kMostSubtrees) return fail(E2BIG, "{}: too many files", folder);
    errno = 0;
  }
  if (errno != 0) return fail_errno(folder);
  std::ranges::sort(names);
  return names;
}

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

class Reader {
 public:
  explicit Reader(const std::string& folder) : folder_(folder) {}

  Result<KernelState> read() {
    const std::vector<std::string> names = TRY(names_in(folder_));
    if (has(names, "in")) state_.in = side("in");
    if (has(names, "out")) state_.out = side("out");
    if (!state_.in && !state_.out) {
      return fail(ENOENT, "{}: neither 'in' nor 'out' is there", folder_);
    }
    if (state_.in && state_.out && !state_.out->root && !out_fdt_shown_) {
      note(
          "out/fdt is missing: after a boot with KHO this kernel doesn't show it; what 'out' has "
          "is known from out/sub_fdts alone");
    }
    if (state_.in) judge_incoming_luo();
    if (state_.out) scratch();
    return std::move(state_);
  }

 private:
  void note(std::string text) { state_.notes.push_back(std::move(text)); }

  std::optional<Bytes> file(const std::string& path) {
    Result<std::string> text = sys::read_file(folder_ + "/" + path);
    if (!text) {
      note(fmt::format("{}: {}", path, text.error().text()));
      return std::nullopt;
    }
    const auto bytes = std::as_bytes(std::span(*text));
    return Bytes(bytes.begin(), bytes.end());
  }

  KernelSide side(const std::string& name) {
    KernelSide side;
    const auto files = names_in(folder_ + "/" + name);
    if (!files) {
      note(fmt::format("{}: {}", name, files.error().text()));
      return side;
    }
    if (has(*files, "fdt")) {
      if (name == "out") out_fdt_shown_ = true;
      side.root = root(name + "/fdt");
    }
    if (has(*files, "sub_fdts")) blobs(name + "/sub_fdts", side);
    if (side.root) entries(name, side);
    std::ranges::sort(side.subtrees, {}, &KernelSubtree::name);
    return side;
  }

  std::optional<RootFdtContents> root(const std::string& path) {
    const auto bytes = file(path);
    if (!bytes) return std::nullopt;
    if (bytes->size() >= FDT_V17_SIZE && fdt_magic(bytes->data()) == FDT_MAGIC &&
        fdt_totalsize(bytes->data()) > bytes->size()) {
      note(fmt::format(
          "{}: the kernel shows {} of its {} bytes; an FDT without its end can't be "
          "decoded, and its subtrees are known from {}/sub_fdts alone",
          path, bytes->size(), fdt_totalsize(bytes->data()), path.substr(0, path.find('/'))));
      return std::nullopt;
    }
    Result<RootFdtContents> root = parse_kernel_root_fdt(*bytes);
    if (root) return root.take();
    note(fmt::format("{}: {}", path, root.error().text()));
    return std::nullopt;
  }

  void blobs(const std::string& path, KernelSide& side) {
    const auto names = names_in(folder_ + "/" + path);
    if (!names) return note(fmt::format("{}: {}", path, names.error().text()));
    for (const std::string& name : *names) {
      side.subtrees.push_back({.name = name, .entry = {}, .blob = file(path + "/" + name)});
    }
  }

  void entries(const std::string& name, KernelSide& side) {
    for (const Subtree& entry : side.root->subtrees) {
      auto subtree = std::ranges::find(side.subtrees, entry.name, &KernelSubtree::name);
      if (subtree == side.subtrees.end()) {
        side.subtrees.push_back({.name = entry.name, .entry = entry, .blob = {}});
        continue;
      }
      subtree->entry = entry;
      if (entry.size != 0 && subtree->blob && subtree->blob->size() != entry.size) {
        note(fmt::format("{}/sub_fdts/{}: the kernel shows {} bytes; the root FDT says {}", name,
                         entry.name, subtree->blob->size(), entry.size));
      }
    }
  }

  static std::optional<LuoBlob> luo(const std::optional<KernelSide>& side) {
    if (!side) return std::nullopt;
    const auto found = std::ranges::find(side->subtrees, abi::kSubtreeLuo, &KernelSubtree::name);
    if (found == side->subtrees.end() || !found->blob) return std::nullopt;
    Result<LuoBlob> blob = parse_luo_blob(*found->blob);
    return blob ? std::optional(blob.take()) : std::nullopt;
  }

  // The kernel frees that page when it has read it: what stands there may be anybody's.
  void judge_incoming_luo() {
    const auto found =
        std::ranges::find(state_.in->subtrees, abi::kSubtreeLuo, &KernelSubtree::name);
    if (found == state_.in->subtrees.end() || !found->blob) return;
    const auto in = luo(state_.in);
    if (!in) {
      note(
          "in/sub_fdts/LUO: no version of LUO is in it: the kernel has freed that page, and shows "
          "what stands there now");
      found->blob.reset();
      return;
    }
    const auto out = luo(state_.out);
    const bool follows = out && in->liveupdate_number && out->liveupdate_number &&
                         *in->liveupdate_number + 1 == *out->liveupdate_number;
    note(fmt::format(
        "in/sub_fdts/LUO: the kernel frees that page early; what stands there {}",
        follows ? "fits to the number in out/sub_fdts/LUO" : "can't be told from something old"));
  }

  std::vector<uint64_t> numbers(const std::string& path) {
    const auto bytes = file(path);
    std::vector<uint64_t> values;
    if (!bytes) return values;
    std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      uint64_t value = 0;
      const char* last = line.data() + line.size();
      if (!line.starts_with("0x") ||
          std::from_chars(line.data() + 2, last, value, 16).ptr != last || line.size() == 2) {
        note(fmt::format("{}: a line is no number", path));
        return {};
      }
      values.push_back(value);
    }
    return values;
  }

  void scratch() {
    const auto files = names_in(folder_ + "/out");
    if (!files || !has(*files, "scratch_phys") || !has(*files, "scratch_len")) return;
    const std::vector<uint64_t> starts = numbers("out/scratch_phys");
    const std::vector<uint64_t> sizes = numbers("out/scratch_len");
    if (starts.size() != sizes.size()) {
      return note(fmt::format("out/scratch_phys has {} regions, out/scratch_len {}", starts.size(),
                              sizes.size()));
    }
    for (size_t i = 0; i < starts.size(); ++i) state_.scratch.push_back({{starts[i]}, sizes[i]});
  }

  std::string folder_;
  KernelState state_;
  bool out_fdt_shown_ = false;
};

}  // namespace

Result<KernelState> read_kernel_state(const std::string& folder) {
  return Reader(folder).read();
}

}  // namespace outlive::kho
