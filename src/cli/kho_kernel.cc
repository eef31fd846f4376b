#include "cli/kho_kernel.h"

#include "base/crc32c.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/kho_blob.h"
#include "cli/table.h"
#include "kho/fdt.h"
#include "kho/kernel_state.h"

namespace outlive::cli {
namespace {

// A subtree whose format isn't ours to know is shown by its version, if it has one. That isn't an
// error: any part of a kernel may have a subtree.
Json unknown_json(std::span<const std::byte> bytes, const Error& why) {
  Json json{{"kind", "not decoded"}, {"why", why.text()}};
  if (kho::check_fdt(bytes)) {
    json["compatible"] = kho::fdt_string(bytes.data(), 0, abi::kPropCompatible);
  }
  return json;
}

Json one_subtree(const kho::KernelSubtree& subtree) {
  Json json{{"kind", "not shown"}, {"size", Json()}};
  if (subtree.blob) {
    Result<Json> decoded = subtree_json(subtree.name, *subtree.blob);
    json = decoded ? decoded.take() : unknown_json(*subtree.blob, decoded.error());
    json["size"] = subtree.blob->size();
    json["crc32c"] = fmt::format("{:08x}", crc32c(*subtree.blob));
  } else if (subtree.entry && subtree.entry->size != 0) {
    json["size"] = subtree.entry->size;
  }
  json["name"] = subtree.name;
  json["address"] = subtree.entry ? Json(wire::hex_text(subtree.entry->data.value)) : Json();
  return json;
}

Json side_json(const std::optional<kho::KernelSide>& side) {
  if (!side) return {};
  Json json{{"compatible", Json()}, {"memory_map", Json()}, {"subtrees", Json::array()}};
  if (side->root) {
    json["compatible"] = side->root->compatible;
    json["memory_map"] = wire::hex_text(side->root->memory_map.value);
  }
  for (const kho::KernelSubtree& one : side->subtrees) {
    json["subtrees"].push_back(one_subtree(one));
  }
  return json;
}

// "luo-v5, liveupdate_number 2, ...": what a row of the table has no column for.
std::string facts(const Json& subtree) {
  std::string text;
  for (const auto& [name, value] : subtree.items()) {
    if (value.is_null() || name == "name" || name == "address" || name == "size" ||
        name == "kind" || name == "crc32c") {
      continue;
    }
    if (!text.empty()) text += ", ";
    if (name != "compatible" && name != "why") text += name + " ";
    text += value.is_string() ? value.get<std::string>() : value.dump();
  }
  return clean(text);
}

Result<std::string> side_text(const char* title, const Json& side) {
  if (side.is_null()) return fmt::format("{}: nothing\n\n", title);
  Fields f(side);
  const auto compatible = f.maybe_text("compatible");
  const auto map = f.maybe_text("memory_map");
  Table table({"SUBTREE", "ADDRESS", ">SIZE", "KIND", "WHAT"});
  for (const Json& subtree : f.array("subtrees")) {
    Fields s(subtree);
    const auto address = s.maybe_text("address");
    const auto size = s.maybe_number("size");
    table.row({s.text("name"), address ? "0x" + *address : "?",
               size ? fmt::format("{}", *size) : "?", s.text("kind"), facts(subtree)});
    TRY(s.check());
  }
  TRY(f.check());
  const std::string root =
      compatible ? fmt::format("root FDT {}, memory map 0x{}", *compatible, map.value_or("?"))
                 : std::string("no root FDT");
  return fmt::format("{}: {}\n{}\n", title, clean(root),
                     table.empty() ? "no subtrees\n" : table.text());
}

}  // namespace

Result<Json> kernel_json(const std::string& debugfs) {
  const std::string folder = debugfs + "/kho";
  const auto read = kho::read_kernel_state(folder);
  if (!read && read.error().code == ENOENT) {
    return fail(ENOENT,
                "{}: nothing is there: debugfs isn't mounted, or the kernel has no KHO or doesn't "
                "show it (CONFIG_KEXEC_HANDOVER_DEBUGFS, kho=on)",
                folder);
  }
  const kho::KernelState state = TRY(read);
  Json scratch = Json::array();
  for (const kho::KernelScratch& one : state.scratch) {
    scratch.push_back({{"start", wire::hex_text(one.start.value)}, {"size", one.size}});
  }
  return Json{{"kind", "kernel"},
              {"in", side_json(state.in)},
              {"out", side_json(state.out)},
              {"scratch", std::move(scratch)},
              {"notes", state.notes}};
}

Result<std::string> kernel_text(const Json& kernel) {
  std::string text = TRY(side_text("in (from the kernel before)", kernel["in"]));
  text += TRY(side_text("out (for the next kernel)", kernel["out"]));
  Table table({"SCRATCH", ">SIZE"});
  Fields f(kernel);
  for (const Json& one : f.array("scratch")) {
    Fields s(one);
    table.row({"0x" + s.text("start"), bytes_text(s.number("size"))});
    TRY(s.check());
  }
  const std::vector<std::string> notes = f.texts("notes");
  TRY(f.check());
  if (!table.empty()) text += table.text();
  for (const std::string& note : notes) text += fmt::format("note: {}\n", clean(note));
  return text;
}

}  // namespace outlive::cli
