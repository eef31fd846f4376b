// Runs the inputs of files and folders through a target, or writes its seeds:
//   replay_TARGET PATH...
//   replay_TARGET --seeds FOLDER
#include <stdio.h>

#include <filesystem>

#include "base/log.h"
#include "base/sys.h"
#include "fuzz.h"

namespace outlive::fuzz {
namespace {

Status replay(const std::string& path, size_t& count) {
  const std::string bytes = TRY(sys::read_file(path));
  run(std::as_bytes(std::span(bytes)));
  ++count;
  return {};
}

Status replay_all(const std::string& path, size_t& count) {
  if (!std::filesystem::is_directory(path)) return replay(path, count);
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    TRY(replay(entry.path().string(), count));
  }
  return {};
}

Status write_seeds(const std::string& folder) {
  Status written;
  make_seeds([&](const std::string& name, std::string_view bytes) {
    if (written) written = sys::write_file(folder + "/" + name, bytes, 0644);
  });
  return written;
}

Status work(const std::vector<std::string>& words) {
  if (words.size() == 2 && words[0] == "--seeds") return write_seeds(words[1]);
  size_t count = 0;
  for (const std::string& path : words) TRY(replay_all(path, count));
  if (count == 0) return fail(ENOENT, "no inputs");
  printf("%zu inputs\n", count);
  return {};
}

}  // namespace
}  // namespace outlive::fuzz

int main(int argc, char** argv) {
  outlive::set_log_level(outlive::LogLevel::kError);
  const outlive::Status done = outlive::fuzz::work({argv + 1, argv + argc});
  if (!done) fprintf(stderr, "replay: %s\n", done.error().message.c_str());
  return done ? 0 : 1;
}
