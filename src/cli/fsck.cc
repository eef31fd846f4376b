// outlive fsck: are records, pages and descriptors consistent? Of a live outlived, or of a saved
// arena, which may be repaired. Exit 1 when something was found that is still there.
#include <memory>

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/verbs.h"
#include "files/registry_defaults.h"
#include "luo/fsck_image.h"

namespace outlive::cli {
namespace {

struct FsckOptions {
  std::string image;
  bool repair = false;
};

Result<std::string> ledger_text(const Json& ledger) {
  Fields f(ledger);
  std::string text;
  const auto add = [&](const char* field, const char* one) {
    const int64_t count = f.number(field);
    if (count == 0) return;
    text += (text.empty() ? "" : ", ") + count_text(count, one);
  };
  add("folios", "half made folio");
  add("pages", "leaked page");
  add("tracker", "tracker entry");
  add("records", "half made record");
  add("changes", "unapplied change");
  add("fds", "orphaned descriptor");
  TRY(f.check());
  return "leak ledger: the worker's attach corrected " +
         (text.empty() ? std::string("nothing") : text) + "\n";
}

Result<int> check_live(Cli& cli) {
  const Json reply = TRY(cli.call("Fsck"));
  Fields f(reply);
  const bool clean_state = f.flag("clean");
  std::string text;
  for (const std::string& finding : f.texts("findings")) text += clean(finding) + "\n";
  text += fmt::format(
      "{}: {}, {}, {}, {} checked; {} corrected since the start\n",
      clean_state ? "clean" : "NOT CLEAN", count_text(f.number("sessions"), "session"),
      count_text(f.number("files"), "file"), count_text(f.number("fds"), "descriptor"),
      count_text(f.number("pages"), "page"), count_text(f.number("leaked_corrected"), "leak"));
  TRY(f.check());
  text += TRY(ledger_text(reply.contains("ledger") ? reply["ledger"] : Json::object()));
  if (cli.json) {
    cli.print_json(reply);
  } else {
    cli.print(text);
  }
  return clean_state ? kExitOk : kExitFailed;
}

// ---- a saved arena

const char* outcome_of(const luo::Finding& finding, const FsckOptions& options, bool repaired) {
  if (!finding.derived) return options.repair ? "not repaired" : "can't be repaired";
  return repaired ? "repaired" : "--repair puts it right";
}

void print_image(Cli& cli, const FsckOptions& options, const luo::ImageFsck& looked,
                 const std::string& saved, bool good) {
  const luo::Findings& findings = looked.findings;
  if (cli.json) {
    Json lines = Json::array();
    for (const luo::Finding& one : findings.lines) {
      lines.push_back({{"text", one.text}, {"derived", one.derived}});
    }
    cli.print_json({{"clean", findings.clean()},
                    {"refused", looked.refused},
                    {"findings", std::move(lines)},
                    {"pages", findings.pages},
                    {"files", findings.files},
                    {"sessions", findings.sessions},
                    {"saved", saved.empty() ? Json() : Json(saved)}});
    return;
  }
  std::string text;
  for (const luo::Finding& one : findings.lines) {
    text += fmt::format("{} [{}]\n", clean(one.text), outcome_of(one, options, !saved.empty()));
  }
  const char* word = findings.clean() ? "clean" : good ? "repaired" : "NOT CLEAN";
  text += fmt::format("{}: {}, {}, {} checked\n", word,
                      count_text(static_cast<int64_t>(findings.sessions), "session"),
                      count_text(static_cast<int64_t>(findings.files), "file"),
                      count_text(static_cast<int64_t>(findings.pages), "page"));
  if (!saved.empty()) text += fmt::format("the image as it was: {}\n", saved);
  cli.print(text);
}

Result<int> check_image(Cli& cli, const FsckOptions& options) {
  std::vector<std::unique_ptr<luo::FileHandler>> handlers;
  files::register_default_handlers(handlers);
  luo::Context context;
  context.handlers = &handlers;
  context.clock = &system_clock();
  set_log_level(LogLevel::kError);  // what a repair does is told once, as findings
  luo::Repair repair;
  if (options.repair) {
    repair = TRY(luo::repair_image(options.image, context));
  } else {
    const UniqueFd file = TRY(sys::open(options.image, O_RDONLY));
    repair.before = TRY(luo::fsck_image(file, context).context("{}", options.image));
  }
  const bool good = repair.before.findings.lines.size() == repair.repaired;
  print_image(cli, options, repair.before, repair.saved, good);
  return good ? kExitOk : kExitFailed;
}

Result<int> run_fsck(Cli& cli, const FsckOptions& options) {
  return options.image.empty() ? check_live(cli) : check_image(cli, options);
}

}  // namespace

void add_fsck(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("fsck", "Check everything that outlived keeps");
  auto options = std::make_shared<FsckOptions>();
  CLI::Option* image = verb->add_option("--image", options->image,
                                        "Not a live outlived, but this file: a saved arena");
  image->type_name("FILE");
  verb->add_flag("--repair", options->repair,
                 "Put right in the image what can be derived; what was is kept beside it")
      ->needs(image);
  add_json_option(*verb, cli);
  verb->footer(R"(
Compares every record, page and descriptor with the others, both ways. Changes nothing; services go
on. Exit code 0: clean, or repaired; 1: the findings were printed.

An image (outlive kho save) is only read, and needs no outlived. --repair saves it as
FILE.before-repair and then replaces it: it does what outlived itself does with every image that it
takes over, to what is derived from the records; the rest is listed as not repaired. A live outlived
needs no repair: a worker that starts has done the same.

Examples:
  outlive fsck
  outlive fsck --json | jq .findings
  outlive fsck --image saved.arena
  outlive fsck --image saved.arena --repair)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_fsck(cli, *options); }; });
}

}  // namespace outlive::cli
