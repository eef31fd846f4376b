#include "cli/kexec_plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "abi/kernel_carry.h"
#include "cli/format.h"
#include "cli/table.h"
#include "files/classify.h"
#include "files/survival.h"
#include "machine/kernel/foreign_fd.h"

namespace outlive::cli {

KexecPlan read_kexec_plan(const KexecImage& image, const std::unordered_set<uint64_t>& known) {
  luo::Records& records = image.records();
  KexecPlan plan;
  plan.image_bytes = image.bytes();
  std::vector<std::pair<uint64_t, KexecFile>> files;  // by order
  records.for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    if (known.contains(slot.header.id)) return;
    const auto* session = records.find<abi::SessionSlot>(slot.session);
    if (session == nullptr || slot.fd < 0) return;
    KexecFile file;
    file.id = slot.header.id;
    file.session = session->header.id;
    file.session_name = session->name;
    file.token = slot.token;
    file.number = static_cast<int>(slot.fd);
    files.emplace_back(slot.order, std::move(file));
  });
  records.for_each<abi::SessionSlot>([&](const abi::SessionSlot& slot) {
    if (slot.flags & abi::kSessionHandedOver) plan.direct.emplace_back(slot.name);
  });
  std::ranges::sort(files, {}, [](const auto& one) { return one.first; });
  for (auto& [order, file] : files) plan.files.push_back(std::move(file));
  return plan;
}

Status open_files(KexecPlan& plan, pid_t pid) {
  for (KexecFile& file : plan.files) {
    file.fd = TRY(machine::foreign_fd(pid, file.number)
                      .context("session '{}' token {:#x}", file.session_name, file.token));
    const luo::FileFacts facts = TRY(files::classify(file.fd));
    const files::Crossing crossing = files::crossing(facts, luo::Scope::kKernel);
    file.kind = files::survival_row(facts.kind).name;
    file.how = crossing.text;
    file.lost = crossing.lost;
  }
  return {};
}

size_t kernel_sessions(const KexecPlan& plan) {
  const auto files = static_cast<size_t>(
      std::ranges::count_if(plan.files, [](const auto& one) { return !one.lost; }));
  return (files + abi::kCarryGroup - 1) / abi::kCarryGroup + 1;  // and the arena's
}

std::string kexec_loss_text(const KexecPlan& plan) {
  std::set<uint64_t> sessions;
  for (const KexecFile& file : plan.files) sessions.insert(file.session);
  return fmt::format("{} in {}", count_text(static_cast<int64_t>(plan.files.size()), "file"),
                     count_text(static_cast<int64_t>(sessions.size()), "session"));
}

std::string kexec_plan_text(const KexecPlan& plan) {
  Table table({"SESSION", "TOKEN", "KIND", "CROSSES"});
  for (const KexecFile& file : plan.files) {
    table.row({file.session_name, fmt::format("{:#x}", file.token), file.kind,
               (file.lost ? "no: " : "yes: ") + file.how});
  }
  for (const std::string& name : plan.direct) {
    table.row({name, "-", "direct session",
               plan.way.unit.empty() ? "yes: by the kernel, if the client has preserved it"
                                     : "no: systemd stops the client first (--via reboot)"});
  }
  std::string text = table.empty() ? std::string("no files\n") : table.text();
  text += plan.way.unit.empty()
              ? fmt::format("by reboot(2): {}\n", plan.way.why)
              : fmt::format("by systemctl kexec, {} in the fd store of {}\n",
                            count_text(static_cast<int64_t>(kernel_sessions(plan)), "session"),
                            plan.way.unit);
  if (plan.target) {
    const KernelImage& image = plan.target->image;
    text += clean(fmt::format("into {} ({}), which takes over {}", plan.target->path, image.version,
                              image.unreadable.empty()
                                  ? fmt::format("{}", fmt::join(image.formats, ", "))
                                  : "what can't be told")) +
            "\n";
  }
  return text;
}

static Json target_json(const std::optional<KexecTarget>& target) {
  if (!target) return {};
  const KernelImage& image = target->image;
  return {{"kernel", target->path},
          {"version", image.version},
          {"formats", image.formats},
          {"unreadable", image.unreadable.empty() ? Json() : Json(image.unreadable)},
          {"doubt", target->doubt.empty() ? Json() : Json(target->doubt)}};
}

Json kexec_plan_json(const KexecPlan& plan) {
  Json files = Json::array();
  for (const KexecFile& file : plan.files) {
    files.push_back({{"session", file.session_name},
                     {"token", wire::hex_text(file.token)},
                     {"kind", file.kind},
                     {"crosses", !file.lost},
                     {"note", file.how}});
  }
  const auto lost = std::ranges::count_if(plan.files, [](const auto& one) { return one.lost; });
  return {{"files", std::move(files)},
          {"direct_sessions", plan.direct},
          {"lost", lost},
          {"arena_bytes", plan.image_bytes},
          {"via", plan.way.unit.empty() ? "reboot" : "systemd"},
          {"via_unit", plan.way.unit.empty() ? Json() : Json(plan.way.unit)},
          {"via_reason", plan.way.why.empty() ? Json() : Json(plan.way.why)},
          {"target", target_json(plan.target)}};
}

}  // namespace outlive::cli
