#include "cli/watch_update.h"

#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/progress.h"

namespace outlive::cli {
namespace {

struct Outcome {
  std::string line;
  int code = kExitOk;
};

Result<Outcome> outcome_of(const std::string& name, const Json& reply) {
  Fields f(reply);
  const std::string result = f.text("result");
  const std::string update = f.text("update");
  Outcome outcome;
  if (result == "finish failed") {
    outcome.line = fmt::format(
        "updated {}, but its finish failed: {}: it takes no further update (update {})\n",
        clean(name), clean(f.maybe_text("reason").value_or("no reason given")), clean(update));
    outcome.code = kExitFailed;
  } else if (result == "updated") {
    outcome.line =
        fmt::format("updated {}: version {} -> {}, blackout {}, {}, {} (update {})\n", clean(name),
                    f.number("from_generation"), f.number("to_generation"),
                    duration_text(f.number("blackout_us")), count_text(f.number("files"), "file"),
                    count_text(f.number("sessions"), "session"), clean(update));
  } else {
    outcome.line =
        fmt::format("rolled back {}: {} (update {})\n", clean(name),
                    clean(f.maybe_text("reason").value_or("no reason given")), clean(update));
    outcome.code = kExitRolledBack;
  }
  TRY(f.check());
  if (result != "updated" && result != "rolled back" && result != "finish failed") {
    return fail(EPROTO, "outlived's reply can't be used (result '{}'): is it another version?",
                clean(result));
  }
  return outcome;
}

}  // namespace

Result<int> watch_update(Cli& cli, const char* method, const std::string& name, Json parameters) {
  parameters["name"] = name;
  parameters["request_id"] = TRY(new_request_id());
  std::string update;
  Progress progress(cli.around().err, progress_mode(cli), name);
  const auto each = [&](const Json& reply) {
    Fields f(reply);
    update = f.text("update");
    progress.step(f.maybe_text("step").value_or(""), f.maybe_text("waiting_for").value_or(""),
                  f.maybe_number("elapsed_us").value_or(0));
  };
  Result<Json> reply = cli.watch(method, parameters, each, [&] { progress.tick(); });
  progress.clear();
  if (!reply && reply.error().code == ECANCELED) {
    return fail(ECANCELED,
                "interrupted; the update {}of {} goes on: `outlive timeline {}` shows it",
                update.empty() ? "" : update + " ", name, update);
  }
  const Json last = TRY(std::move(reply));
  const Outcome outcome = TRY(outcome_of(name, last));
  if (cli.json) {
    cli.print_json(last);
  } else {
    cli.print(outcome.line);
  }
  return outcome.code;
}

}  // namespace outlive::cli
