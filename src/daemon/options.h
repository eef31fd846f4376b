// The command line of outlived.
#pragma once

#include <optional>
#include <string>

#include "daemon/config.h"

namespace outlive::daemon {

struct Options {
  std::string config;  // "": the default place
  std::string runtime_dir;
  std::string state_dir;
  std::string log_level;
  std::string kho;         // "", "on", "off"
  std::string liveupdate;  // "", "on", "off"
  std::string check_image;
  std::string rehearse;   // hidden: said by the keeper of an outlived that this one may replace
  std::string report_to;  // hidden, all three: a worker's report (fleet_report.h)
  uint64_t report_for_ms = 0;
  uint64_t report_try_ms = 0;
  bool check_config = false;
  bool no_keeper = false;
};

// An exit code when the process shall end at once (--help, --version, a usage error).
std::optional<int> parse_options(int argc, char** argv, Options& options);
// The file that is read, whether it is there or not.
std::string config_path(const Options& options);
// The file as it is: "" when it is absent at the default place.
struct ConfigText {
  std::string path;
  std::string text;
};
Result<ConfigText> read_config_text(const Options& options);
// What it says, overridden by the options, and checked as a whole. EINVAL: file, line and key.
Result<Config> config_of(const Options& options, const ConfigText& text);

struct LoadedConfig {
  ConfigText text;
  Config config;
};
// What this process starts with: the text that is in force already (of a binary that takes over),
// else the file.
Result<LoadedConfig> load_config(const Options& options, std::optional<std::string> in_force);

// What the keeper goes by; `words` are the command line's, which the next binary gets.
machine::KeeperOptions keeper_options(const Options& options, const Config& config,
                                      std::vector<std::string> words);

}  // namespace outlive::daemon
