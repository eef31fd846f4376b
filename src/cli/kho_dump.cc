// outlive kho dump: the memory layer, read-only: of a live outlived, of a saved arena, or of what a
// kernel shows of its own in debugfs. Only in builds with OUTLIVE_KHO_DEBUG, as
// everything that begins with kho_ here.
#include <algorithm>
#include <memory>

#include "abi/kho.h"
#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/kho_blob.h"
#include "cli/kho_diff.h"
#include "cli/kho_kernel.h"
#include "cli/kho_save.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "kho/dump.h"

namespace outlive::cli {
namespace {

struct DumpOptions {
  bool digest = false;
  bool kernel = false;
  std::string dtb;
  std::string image;
  std::string debugfs = "/sys/kernel/debug";
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

// Clients' own small blobs; "" of an image, where only the memory layer is read.
Result<std::string> note_table(const Json& reply) {
  if (!reply.contains("notes") || reply["notes"].empty()) return std::string();
  Fields all(reply);
  Table table({"NOTE", ">UID", "ADDRESS", ">SIZE"});
  for (const Json& note : all.array("notes")) {
    Fields f(note);
    table.row({f.text("name"), fmt::format("{}", f.number("uid")), "0x" + f.text("address"),
               fmt::format("{}", f.number("size"))});
    TRY(f.check());
  }
  TRY(all.check());
  return table.text() + "\n";
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
  if (const auto corrections = f.maybe_number("corrections")) {
    text += fmt::format("corrections  {}\n", *corrections);
  }
  if (const auto begun = f.maybe_number("begun_folios")) {
    text += fmt::format("begun        {} folios that the next attach gives back\n", *begun);
  }
  text += "\n";
  TRY(f.check());
  text += TRY(subtree_table(subtrees));
  text += "\n";
  text += TRY(note_table(reply));
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

// ---- a file: told by its first bytes

// The fields of KhoDump's reply, and what only an image has.
Result<Json> arena_json(BorrowedFd file) {
  const kho::ArenaDump dump = TRY(kho::dump_file(file, true));
  std::string hex;
  for (const std::byte one : dump.root_fdt) hex += fmt::format("{:02x}", static_cast<int>(one));
  Json folios = Json::array();
  for (const kho::Folio& folio : dump.folios) {
    folios.push_back({{"address", wire::hex_text(folio.head.value)},
                      {"order", folio.order},
                      {"owner", kho::owner_name(folio.owner)}});
  }
  return Json{{"kind", "arena"},
              {"compatible", dump.compatible},
              {"root_compatible", dump.root_compatible},
              {"size", dump.size},
              {"epoch", dump.epoch},
              {"digest", dump.digest},
              {"root_fdt_hex", std::move(hex)},
              {"subtrees", subtrees_json(dump.subtrees)},
              {"folios", std::move(folios)},
              {"tracker_matches", dump.tracker_difference == 0},
              {"begun_folios", dump.begun_folios}};
}

Result<Json> image_json(const std::string& path) {
  const UniqueFd file = TRY(sys::open(path, O_RDONLY));
  // By reading: what debugfs shows has no size and can't be mapped.
  std::string start(sizeof(abi::ArenaHeader::compatible), '\0');
  const size_t got =
      TRY(sys::read(file, std::as_writable_bytes(std::span(start))).context("{}", path));
  start.resize(got);
  if (start.starts_with("outlive-arena-")) return arena_json(file).context("{}", path);
  const std::string blob = TRY(sys::read_file(path));
  return blob_json(std::as_bytes(std::span(blob))).context("{}", path);
}

Result<std::string> image_text(const Json& image) {
  const std::string facts = blob_text(image);
  if (image["kind"] == "arena") return dump_text(image);
  if (image["kind"] == "root FDT") {
    const std::string table = TRY(subtree_table(image["subtrees"]));
    return facts + "\n" + table;
  }
  if (image["kind"] != "memblock") return facts;
  Table table({"REGION", "START", ">SIZE"});
  for (const Json& region : image["regions"]) {
    Fields f(region);
    table.row({f.text("name"), "0x" + f.text("start"), fmt::format("{}", f.number("size"))});
    TRY(f.check());
  }
  return facts + "\n" + (table.empty() ? "no regions\n" : table.text());
}

Result<int> run_kernel(Cli& cli, const std::string& debugfs) {
  const Json kernel = TRY(kernel_json(debugfs));
  if (cli.json) return cli.print_json(kernel);
  const std::string text = TRY(kernel_text(kernel));
  cli.print(text);
  return kExitOk;
}

Result<int> run_dump(Cli& cli, const DumpOptions& options) {
  if (options.kernel) return run_kernel(cli, options.debugfs);
  const bool live = options.image.empty();
  Result<Json> read = live ? cli.call_list("KhoDump", {{"digest_only", options.digest}}, "folios")
                           : image_json(options.image);
  const Json reply = TRY(std::move(read));
  if (!live && reply["kind"] != "arena" && (options.digest || !options.dtb.empty())) {
    return fail(EINVAL, "{}: only an arena has a digest and a root FDT to write; this is a {}",
                options.image, reply["kind"].get<std::string>());
  }
  if (!options.dtb.empty()) return write_dtb(cli, reply, options.dtb);
  if (options.digest) {
    Fields f(reply);
    const std::string digest = f.text("digest");
    TRY(f.check());
    if (cli.json) return cli.print_json({{"digest", digest}});
    cli.print(clean(digest) + "\n");
    return kExitOk;
  }
  if (cli.json) return cli.print_json(reply);
  const std::string text = TRY(live ? dump_text(reply) : image_text(reply));
  cli.print(text);
  return kExitOk;
}

}  // namespace

static void add_save(CLI::App& kho, Cli& cli) {
  CLI::App* verb = kho.add_subcommand("save", "Save the arena as a file, for post-mortems");
  auto path = std::make_shared<std::string>();
  verb->add_option("FILE", *path, "A new file; only its owner can read it")->required();
  add_json_option(*verb, cli);
  verb->fallthrough();
  verb->footer(R"(
A copy as it is between two requests, sparse; services go on. It has everybody's state in it, but no
descriptor and no memory that clients have preserved as files.

Examples:
  outlive kho save saved.arena && outlive fsck --image saved.arena
  outlive kho dump --image saved.arena)");
  verb->callback([&cli, path] { cli.verb = [&cli, path] { return run_save(cli, *path); }; });
}

static void add_diff(CLI::App& kho, Cli& cli) {
  CLI::App* verb = kho.add_subcommand("diff", "Show what differs between two dumps");
  auto files = std::make_shared<std::pair<std::string, std::string>>();
  verb->add_option("BEFORE", files->first, "What `outlive kho dump --json` wrote")->required();
  verb->add_option("AFTER", files->second, "The same, later")->required();
  add_json_option(*verb, cli);
  verb->fallthrough();
  verb->footer(R"(
A line a field: "-" with what it was, "+" with what it is. Exit code 0: nothing differs, 1:
something does.

Examples:
  outlive kho dump --kernel --json > before
  outlive kho dump --kernel --json > after; outlive kho diff before after)");
  verb->callback([&cli, files] {
    cli.verb = [&cli, files] { return run_diff(cli, files->first, files->second); };
  });
}

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
  verb->add_option("--image", options->image,
                   "Not of a live outlived, but of this file: a saved arena, or a blob of a kernel")
      ->type_name("FILE");
  CLI::Option* kernel = verb->add_flag("--kernel", options->kernel,
                                       "Not of outlived, but what the running kernel hands over");
  verb->add_option("--debugfs", options->debugfs,
                   "Where the kernel shows it (default /sys/kernel/debug)")
      ->type_name("DIR")
      ->needs(kernel);
  for (const char* other : {"--digest", "--dtb", "--image"}) kernel->excludes(other);
  add_json_option(*verb, cli);
  verb->fallthrough();
  add_save(*kho, cli);
  add_diff(*kho, cli);
  kho->footer("");
  verb->footer(R"(
Read-only: nothing can be finalized or aborted through it. Equal digests: equal preserved memory; of
an outlived what its clients have, of a saved arena all that is in it.

FILE is told by what is in it: an arena (outlive-arena-v1), a root FDT (kho-v1 to kho-v4), the
subtree LUO (luo-v1 to luo-v5) or memblock (memblock-v1), as a kernel shows them in debugfs below
kho/out and kho/in. Another version is named in the error.

--kernel shows all of that at once, of both sides, and says in notes what a kernel is known to show
wrong: an FDT without its end, none at all, a page that it has freed. Only root can read debugfs.

Examples:
  outlive kho dump
  outlive kho dump --digest
  outlive kho dump --dtb root.dtb && dtc -I dtb -O dts root.dtb
  outlive kho dump --image saved.arena --json
  outlive kho dump --image /sys/kernel/debug/kho/out/sub_fdts/LUO
  outlive kho dump --kernel)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_dump(cli, *options); }; });
}

}  // namespace outlive::cli
