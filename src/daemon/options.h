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
  std::string rehearse;  // hidden: said by the keeper of an outlived that this one may replace
  bool check_config = false;
  bool no_keeper = false;
};

// An exit code when the process shall end at once (--help, --version, a usage error).
std::optional<int> parse_options(int argc, char** argv, Options& options);
// The file that is read, whether it is there or not.
std::string config_path(const Options& options);
// The file, overridden by the options, and checked as a whole.
Result<Config> load_config(const Options& options);

// What the keeper goes by; `words` are the command line's, which the next binary gets.
machine::KeeperOptions keeper_options(const Options& options, const Config& config,
                                      std::vector<std::string> words);

}  // namespace outlive::daemon
