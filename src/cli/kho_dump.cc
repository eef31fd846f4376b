// outlive kho dump: the memory layer of a live outlived, read-only. Only in builds with
// OUTLIVE_KHO_DEBUG; everything about it is in this file.
#include <algorithm>
#include <memory>

#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace outlive::cli {
namespace {

struct DumpOptions {
  bool digest = false;
  std::string dtb;
};

Result<std::string> from_hex(const std::string& hex) {
  const auto nibble = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    const int high = nibble(hex[i]);
    const int low = nibble(hex[i + 1]);
    if (high < 0 || low < 0) return fail(EPROTO, "outlived's root FDT is no hex text");
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  if (hex.size() % 2 != 0) return fail(EPROTO, "outlived's root FDT is no hex text");
  return bytes;
}

Result<std::string> subtree_table(const Json& subtrees) {
  Table table({"SUBTREE", "ADDRESS", ">SIZE"});
  for (const Json& subtree : subtrees) {
    Fields f(subtree);
    table.row({f.text("name"), "0x" + f.text("address"), fmt::format("{}", f.number("size"))});
    TRY(f.check());
  }
  return table.empty() ? std::string("no subtrees\n") : table.text();
}

Result<std::string> folio_table(const Json& folios) {
  Table table({"FOLIO", ">ORDER", ">SIZE", "OWNER"});
  for (const Json& folio : folios) {
    Fields f(folio);
    const int64_t order = f.number("order");
    table.row({"0x" + f.text("address"), fmt::format("{}", order),
               bytes_text(int64_t{4096} << std::clamp<int64_t>(order, 0, 40)), f.text("owner")});
    TRY(f.check());
  }
  return table.empty() ? std::string("no folios\n") : table.text();
}

Result<std::string> dump_text(const Json& reply) {
  Fields f(reply);
  const Json& subtrees = f.array("subtrees");
  const Json& folios = f.array("folios");
  std::string text = fmt::format("digest       {}\n", clean(f.text("digest")));
  text += fmt::format("tracker      {} what is recomputed from the entries\n",
                      f.flag("tracker_matches") ? "equals" : "DIFFERS from");
  text += fmt::format("corrections  {}\n\n", f.number("corrections"));
  TRY(f.check());
  text += TRY(subtree_table(subtrees));
  text += "\n";
  text += TRY(folio_table(folios));
  return text;
}

Result<int> write_dtb(Cli& cli, const Json& reply, const std::string& path) {
  Fields f(reply);
  const std::string hex = f.text("root_fdt_hex");
  TRY(f.check());
  const std::string bytes = TRY(from_hex(hex));
  TRY(sys::write_file(path, bytes, 0644));
  cli.print(fmt::format("wrote {} ({}): dtc -I dtb -O dts {}\n", path,
                        bytes_text(static_cast<int64_t>(bytes.size())), path));
  return kExitOk;
}

Result<int> run_dump(Cli& cli, const DumpOptions& options) {
  const Json reply = TRY(cli.call_list("KhoDump", {{"digest_only", options.digest}}, "folios"));
  if (!options.dtb.empty()) return write_dtb(cli, reply, options.dtb);
  if (cli.json) return cli.print_json(reply);
  if (options.digest) {
    Fields f(reply);
    const std::string digest = f.text("digest");
    TRY(f.check());
    cli.print(clean(digest) + "\n");
    return kExitOk;
  }
  const std::string text = TRY(dump_text(reply));
  cli.print(text);
  return kExitOk;
}

}  // namespace

void add_kho(CLI::App& app, Cli& cli) {
  CLI::App* kho = app.add_subcommand("kho", "Look at the memory layer (Kexec HandOver)");
  kho->require_subcommand(1);
  CLI::App* verb = kho->add_subcommand("dump", "Show preserved pages, subtrees and the digest");
  auto options = std::make_shared<DumpOptions>();
  CLI::Option* digest =
      verb->add_flag("--digest", options->digest, "Only one word over all that is preserved");
  verb->add_option("--dtb", options->dtb, "Write the root FDT into this file, for dtc")
      ->type_name("FILE")
      ->excludes(digest);
  add_json_option(*verb, cli);
  verb->fallthrough();
  verb->footer(R"(
Read-only: nothing can be finalized or aborted through it. Equal digests: equal preserved memory.

Examples:
  outlive kho dump
  outlive kho dump --digest
  outlive kho dump --dtb root.dtb && dtc -I dtb -O dts root.dtb)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_dump(cli, *options); }; });
}

}  // namespace outlive::cli
