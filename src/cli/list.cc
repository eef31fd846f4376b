// outlive list [sessions|files|services|regions|updates]: what outlived keeps, as tables.
#include <memory>

#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

struct ListOptions {
  std::string what = "services";
  std::string session;
  bool names = false;
};

// A kind of list: how to ask, and how a row of it reads.
struct Listing {
  const char* method;
  const char* key;
  const char* noun;
  const char* name_field;
  std::vector<std::string> headers;
  std::vector<std::string> (*row)(Fields& f);
};

std::string dash(const std::optional<std::string>& text) {
  return text && !text->empty() ? *text : "-";
}

std::vector<std::string> service_row(Fields& f) {
  const bool ready = f.flag("ready");
  const std::string state = f.text("state");
  const int64_t pid = f.number("pid");
  std::string remark = dash(f.maybe_text("last_exit"));
  if (const auto update = f.maybe_text("update")) remark = "update " + *update;
  return {f.text("name"),
          state == "running" && !ready ? "running (not ready)" : state,
          fmt::format("{}", f.number("generation")),
          pid > 0 ? fmt::format("{}", pid) : "-",
          pid > 0 ? duration_text(f.number("uptime_us")) : "-",
          fmt::format("{}", f.number("updates")),
          fmt::format("{}", f.number("rollbacks")),
          fmt::format("{}", f.number("restarts")),
          fmt::format("{}", f.number("sessions")),
          fmt::format("{}", f.number("files")),
          fmt::format("{}", f.number("uid")),
          remark,
          command_text(f.texts("argv"))};
}

std::vector<std::string> session_row(Fields& f) {
  std::string flags = f.flag("claimed") ? "held" : "unclaimed";
  if (f.flag("linger")) flags += ",linger";
  if (f.flag("direct")) flags += ",direct";
  if (f.flag("internal")) flags += ",internal";
  if (const auto since = f.maybe_text("orphaned")) flags += " since " + *since;
  if (const auto ends = f.maybe_text("lease_ends")) flags += ", given up at " + *ends;
  return {f.text("name"),
          dash(f.maybe_text("service")),
          f.text("direction"),
          fmt::format("{}", f.number("files")),
          fmt::format("{}", f.number("uid")),
          flags,
          f.text("created")};
}

std::vector<std::string> file_row(Fields& f) {
  std::string flags = f.flag("retrieved") ? "retrieved" : "-";
  if (const int64_t failed = f.number("failed"); failed != 0) {
    flags = "failed " + errno_name(static_cast<int>(failed));
  }
  return {f.text("session"),  "0x" + f.text("token"),       f.text("kind"),
          f.text("survival"), bytes_text(f.number("size")), flags,
          f.text("detail")};
}

std::vector<std::string> region_row(Fields& f) {
  return {f.text("name"), "0x" + f.text("start"), bytes_text(f.number("size"))};
}

std::vector<std::string> update_row(Fields& f) {
  const auto blackout = f.maybe_number("blackout_us");
  const auto from = f.maybe_text("from_version");
  return {f.text("update"),
          f.text("service"),
          from ? fmt::format("{} -> {}", *from, dash(f.maybe_text("to_version")))
               : fmt::format("{} -> {}", f.number("from_generation"), f.number("to_generation")),
          f.text("result"),
          f.text("step"),
          blackout ? duration_text(*blackout) : "-",
          f.text("started"),
          dash(f.maybe_text("reason"))};
}

const Listing* find_listing(const std::string& what) {
  static const Listing kListings[] = {
      {"ListServices",
       "services",
       "service",
       "name",
       {"NAME", "STATE", ">VERSION", ">PID", ">UPTIME", ">UPDATES", ">ROLLBACKS", ">RESTARTS",
        ">SESSIONS", ">FILES", ">UID", "REMARK", "COMMAND"},
       service_row},
      {"ListSessions",
       "sessions",
       "session",
       "name",
       {"NAME", "SERVICE", "DIRECTION", ">FILES", ">UID", "HOLDER", "CREATED"},
       session_row},
      {"ListFiles",
       "files",
       "file",
       "token",
       {"SESSION", "TOKEN", "KIND", "SURVIVES", ">SIZE", "STATE", "DETAIL"},
       file_row},
      {"ListRegions", "regions", "region", "name", {"NAME", "START", ">SIZE"}, region_row},
      {"ListUpdates",
       "updates",
       "update",
       "update",
       {"UPDATE", "SERVICE", "VERSION", "RESULT", "STEP", ">BLACKOUT", "STARTED", "REASON"},
       update_row},
  };
  for (const Listing& listing : kListings) {
    if (what == listing.key) return &listing;
  }
  return nullptr;
}

Result<std::string> list_text(const Listing& listing, const Json& elements, bool names) {
  Table table(listing.headers);
  std::string name_lines;
  for (const Json& element : elements) {
    Fields f(element);
    if (names) {
      name_lines += clean(f.text(listing.name_field)) + "\n";
    } else {
      table.row(listing.row(f));
    }
    TRY(f.check());
  }
  if (names) return name_lines;
  if (table.empty()) return fmt::format("no {}s\n", listing.noun);
  return table.text();
}

Result<int> run_list(Cli& cli, const ListOptions& options) {
  const Listing* listing = find_listing(options.what);
  if (listing == nullptr) {
    return cli.usage(fmt::format(
        "'{}' can't be listed: sessions, files, services, regions or updates", options.what));
  }
  Json parameters = Json::object();
  if (!options.session.empty()) {
    if (options.what != "files") return cli.usage("--session goes with `list files`");
    parameters["session"] = options.session;
  }
  const Json reply = TRY(cli.call_list(listing->method, parameters, listing->key));
  const std::string text = TRY(list_text(*listing, reply[listing->key], options.names));
  if (cli.json) return cli.print_json(reply);
  cli.print(text);
  return kExitOk;
}

}  // namespace

void add_list(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("list", "List services, sessions, files, regions or updates");
  auto options = std::make_shared<ListOptions>();
  verb->add_option("what", options->what, "services (default), sessions, files, regions, updates");
  verb->add_option("--session", options->session, "Only the files of this session")
      ->type_name("NAME");
  verb->add_flag("--names", options->names, "Only the names, one a line, for scripts");
  add_json_option(*verb, cli);
  verb->footer(R"(
You see what is yours; root sees everything.

Examples:
  outlive list
  outlive list sessions
  outlive list files --session web.state
  outlive list services --json | jq -r '.services[] | select(.state != "running").name')");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_list(cli, *options); }; });
}

}  // namespace outlive::cli
