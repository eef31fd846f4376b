#include "cli/update_outlived.h"

#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/launch_options.h"
#include "cli/progress.h"

namespace outlive::cli {
namespace {

struct Outcome {
  std::string line;
  int code = kExitOk;
};

Result<Outcome> outcome_of(const Json& reply) {
  Fields f(reply);
  const std::string result = f.text("result");
  const auto pause = f.maybe_number("pause_us");
  Outcome outcome;
  if (result == "updated") {
    outcome.line =
        fmt::format("updated outlived: {} -> {}, pause {}, {} in all\n",
                    clean(f.text("from_version")), clean(f.text("to_version")),
                    pause ? duration_text(*pause) : "unknown", duration_text(f.number("total_us")));
  } else {
    outcome.line = fmt::format("rolled back outlived: {}\n",
                               clean(f.maybe_text("reason").value_or("no reason given")));
    outcome.code = kExitRolledBack;
  }
  TRY(f.check());
  if (result != "updated" && result != "rolled back") {
    return fail(EPROTO, "outlived's reply can't be used (result '{}'): is it another version?",
                clean(result));
  }
  return outcome;
}

}  // namespace

Result<int> update_outlived(Cli& cli, const std::string& binary, bool force) {
  const std::string id = TRY(new_request_id());
  const std::string folder = TRY(working_directory());
  Json parameters{{"request_id", id}, {"force", force}};
  if (!binary.empty()) {
    parameters["binary"] = binary.starts_with('/') ? binary : folder + "/" + binary;
  }
  Progress progress(cli.around().err, progress_mode(cli), "outlived");
  const auto each = [&](const Json& reply) {
    Fields f(reply);
    progress.step(f.maybe_text("step").value_or(""), "", f.maybe_number("elapsed_us").value_or(0));
  };
  Result<Json> reply = cli.watch("UpdateOutlived", parameters, each, [&] { progress.tick(); });
  progress.clear();
  if (!reply && reply.error().code == ECANCELED) {
    return fail(ECANCELED, "interrupted; the update of outlived goes on: `outlive status` tells");
  }
  const Json last = TRY(std::move(reply));
  const Outcome outcome = TRY(outcome_of(last));
  if (cli.json) {
    cli.print_json(last);
  } else {
    cli.print(outcome.line);
  }
  return outcome.code;
}

}  // namespace outlive::cli
