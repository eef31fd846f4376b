// What every verb of `outlive` works with: where output goes, the connection to outlived, calls.
//
// A verb is one file with one add_VERB(app, cli) (cli/verbs.h): it declares its options and leaves
// a function in Cli::verb, which run_cli() runs after parsing. The function prints its result and
// returns the exit code, or an Error, which becomes one line on stderr and a code of exit_codes.h.
#pragma once

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "wire/varlink_client.h"

namespace outlive::cli {

using wire::Json;

// The world around a run of the command; tests hand in their own.
struct Surroundings {
  std::FILE* out = stdout;
  std::FILE* err = stderr;
  bool terminal = false;  // err is one: progress may rewrite a line
  BorrowedFd interrupt;   // readable: Ctrl-C
};

class Cli {
 public:
  explicit Cli(const Surroundings& around) : around_(around) {}

  // Filled by the parser.
  std::string runtime_dir;                          // --runtime-dir, empty: the default places
  bool json = false;                                // --json of the verb
  bool progress = false;                            // --progress of the verb
  std::optional<std::vector<std::string>> command;  // the words behind "--"
  std::function<Result<int>()> verb;

  // Calls org.outlive.Orchestrator.METHOD. When outlived's worker dies in the middle the call is
  // made again: calls that change something carry a request_id, so it is done once.
  Result<Json> call(const char* method, const Json& parameters = Json::object());
  bool repeated() const { return repeated_; }  // the last call was made again
  // As call(), with every part of a list in one array under `key`. The rest is of the last part.
  Result<Json> call_list(const char* method, Json parameters, const char* key);
  // With "more": `each` gets the replies before the last, `tick` runs about ten times a second.
  Result<Json> watch(const char* method, const Json& parameters,
                     const std::function<void(const Json&)>& each,
                     const std::function<void()>& tick);
  // The same for another interface; `method` is qualified.
  Result<Json> call_qualified(const std::string& method, const Json& parameters);

  void print(std::string_view text);
  void warn(std::string_view line);  // "outlive: LINE" on stderr
  int print_json(const Json& json);  // returns kExitOk
  int usage(std::string_view what);  // says it, returns kExitUsage
  // The code, or kExitFailed with a line when standard output didn't take all that was printed.
  int finish(int code);
  // Says it, with the last lines of a service's log if outlived sent some; returns the exit code.
  int report(const Error& error);

  const Surroundings& around() const { return around_; }

 private:
  Result<wire::VarlinkClient*> client();
  Result<Json> watch_once(const std::string& method, const Json& parameters,
                          const std::function<void(const Json&)>& each,
                          const std::function<void()>& tick, bool* heard);

  Surroundings around_;
  std::optional<wire::VarlinkClient> client_;
  std::optional<wire::VarlinkReply> failure_;
  bool repeated_ = false;
  int output_error_ = 0;  // errno of the first print that failed
};

// 32 random hex digits.
Result<std::string> new_request_id();

// Parses the words (without the program's name), runs the verb, returns the exit code.
int run_cli(std::vector<std::string> words, const Surroundings& around);

}  // namespace outlive::cli
