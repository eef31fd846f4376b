#include "daemon/config.h"

#include <charconv>

#define TOML_EXCEPTIONS 0
// Its assertions abort for texts that it refuses a line further down ("[;a]"); with NDEBUG it would
// assume that they don't come.
#define TOML_ASSERT(condition) static_cast<void>(0)
#ifdef NDEBUG
#error "toml++ assumes what it doesn't check"
#endif
#include <toml++/toml.h>

#include "daemon/metrics_address.h"

namespace outlive::daemon {
namespace {

constexpr int64_t kNoId = UINT32_MAX;                  // (uid_t)-1
constexpr uint64_t kLongestLeaseMs = 315'360'000'000;  // ten years

// Reads one table and knows which of its keys nobody asked for.
class Table {
 public:
  Table(const toml::table& table, std::string prefix, const std::string& path)
      : table_(table), prefix_(std::move(prefix)), path_(path) {}

  Error wrong(const toml::node& node, std::string_view key, std::string_view why) const {
    return fail(EINVAL, "{}:{}: {}{}: {}", path_, node.source().begin.line, prefix_, key, why);
  }
  template <typename T>
  Status scalar(std::string_view key, T& into, std::string_view kind) {
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return {};
    const auto value = node->value_exact<T>();
    if (!value) return wrong(*node, key, fmt::format("{} is expected", kind));
    into = *value;
    return {};
  }
  Status text(std::string_view key, std::string& into) {
    return scalar<std::string>(key, into, "a string");
  }
  Status flag(std::string_view key, bool& into) { return scalar<bool>(key, into, "true or false"); }
  Status number(std::string_view key, uint64_t& into, uint64_t most) {
    int64_t value = static_cast<int64_t>(into);
    TRY(scalar<int64_t>(key, value, "a number"));
    if (value < 0 || static_cast<uint64_t>(value) > most) {
      return wrong(*table_.get(key), key, fmt::format("{} is not between 0 and {}", value, most));
    }
    into = static_cast<uint64_t>(value);
    return {};
  }
  Status milliseconds(std::string_view key, uint64_t& into_ns) {
    uint64_t value = into_ns / 1'000'000;
    TRY(number(key, value, 86'400'000));
    into_ns = value * 1'000'000;
    return {};
  }
  Status size(std::string_view key, uint64_t& into) {
    std::string written;
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return {};
    if (const auto number = node->value_exact<int64_t>(); number && *number >= 0) {
      into = static_cast<uint64_t>(*number);
      return {};
    }
    if (!node->is_string()) return wrong(*node, key, "a size is expected (\"64M\")");
    const Result<uint64_t> parsed = parse_size(node->value_or(std::string()));
    if (!parsed) return wrong(*node, key, parsed.error().message);
    into = *parsed;
    return {};
  }
  Status texts(std::string_view key, std::vector<std::string>& into) {
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return {};
    const toml::array* list = node->as_array();
    if (list == nullptr) return wrong(*node, key, "a list of strings is expected");
    for (const toml::node& one : *list) {
      const auto value = one.value_exact<std::string>();
      if (!value) return wrong(one, key, "a list of strings is expected");
      into.push_back(*value);
    }
    return {};
  }
  Status ids(std::string_view key, std::vector<uint64_t>& into) {
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return {};
    const toml::array* list = node->as_array();
    if (list == nullptr) return wrong(*node, key, "a list of ids (numbers) is expected");
    for (const toml::node& one : *list) {
      const auto id = one.value_exact<int64_t>();
      if (!id || *id < 0 || *id >= kNoId) return wrong(one, key, "an id (a number) is expected");
      into.push_back(static_cast<uint64_t>(*id));
    }
    return {};
  }
  Status done() const {
    for (const auto& [key, node] : table_) {
      bool found = false;
      for (const std::string& one : known_) found = found || key.str() == one;
      if (!found) return wrong(node, key.str(), "unknown key");
    }
    return {};
  }
  const toml::node* get(std::string_view key) {
    known_.emplace_back(key);
    return table_.get(key);
  }

 private:
  const toml::table& table_;
  std::string prefix_;
  const std::string& path_;
  std::vector<std::string> known_;
};

Status read_outlived(Table& table, Config& config) {
  std::string text;
  TRY(table.text("runtime-dir", text));
  if (!text.empty()) config.runtime_dir = text;
  text.clear();
  TRY(table.text("state-dir", text));
  if (!text.empty()) config.state_dir = text;
  text = "info";
  TRY(table.text("log-level", text));
  if (!parse_log_level(text, &config.log_level)) {
    return table.wrong(*table.get("log-level"), "log-level",
                       "error, warning, notice, info or debug is expected");
  }
  return table.done();
}

Result<RegionConfig> parse_region(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (words.size() != 3) return fail(EINVAL, "'{}' is not \"NAME SIZE ALIGN\"", text);
  RegionConfig region;
  region.name = words[0];
  region.size = TRY(parse_size(words[1]));
  region.align = TRY(parse_size(words[2]));
  return region;
}

Status read_kho(Table& table, Config& config) {
  TRY(table.flag("enabled", config.kho_enabled));
  TRY(table.size("arena-max", config.arena_max));
  std::string format = "compatible";
  TRY(table.text("format", format));
  if (format != "compatible" && format != "newest") {
    return table.wrong(*table.get("format"), "format", "compatible or newest is expected");
  }
  config.newest_format = format == "newest";
  std::vector<std::string> regions;
  TRY(table.texts("reserve-mem", regions));
  for (const std::string& text : regions) {
    Result<RegionConfig> region = parse_region(text);
    if (!region) {
      return table.wrong(*table.get("reserve-mem"), "reserve-mem", region.error().message);
    }
    config.regions.push_back(*region);
  }
  return table.done();
}

Status read_machine(Table& table, Config& config) {
  TRY(table.text("fd-store", config.fd_store));
  if (config.fd_store != "auto" && config.fd_store != "on" && config.fd_store != "off") {
    return table.wrong(*table.get("fd-store"), "fd-store", "auto, on or off is expected");
  }
  return table.done();
}

Status read_liveupdate(Table& table, Config& config) {
  TRY(table.flag("enabled", config.liveupdate_enabled));
  uint64_t lease_ms = config.lease_ns / 1'000'000;
  TRY(table.number("lease-ms", lease_ms, kLongestLeaseMs));
  config.lease_ns = lease_ms * 1'000'000;
  TRY(table.text("on-incoming-failure", config.on_incoming_failure));
  TRY(table.text("on-finish-failure", config.on_finish_failure));
  TRY(table.texts("reboot-command", config.reboot_command));
  TRY(table.milliseconds("reboot-timeout-ms", config.reboot_timeout_ns));
  const std::string& policy = config.on_incoming_failure;
  if (policy != "hold" && policy != "fresh" && policy != "reboot") {
    return table.wrong(*table.get("on-incoming-failure"), "on-incoming-failure",
                       "hold, fresh or reboot is expected");
  }
  const std::string& of_finish = config.on_finish_failure;
  if (of_finish != "hold" && of_finish != "reboot") {
    return table.wrong(*table.get("on-finish-failure"), "on-finish-failure",
                       "hold or reboot is expected");
  }
  for (const auto& [key, wanted] :
       {std::pair("on-incoming-failure", policy), std::pair("on-finish-failure", of_finish)}) {
    if (wanted != "reboot" || !config.reboot_command.empty()) continue;
    return table.wrong(*table.get(key), key, "reboot needs a reboot-command");
  }
  return table.done();
}

Status read_limits(Table& table, Config& config) {
  TRY(table.number("fds", config.fds, 1 << 30));
  TRY(table.number("worker-deaths", config.worker_deaths, 1'000'000));
  TRY(table.milliseconds("worker-timeout-ms", config.worker_timeout));
  TRY(table.number("sessions-per-uid", config.limits.sessions, 10'000'000));
  TRY(table.number("files-per-uid", config.limits.files, 10'000'000));
  TRY(table.number("connections-per-uid", config.limits.connections, 1'000'000));
  TRY(table.number("subtrees-per-uid", config.limits.subtrees, 1'000'000));
  TRY(table.size("subtree-bytes-per-uid", config.limits.subtree_bytes));
  TRY(table.number("services-per-uid", config.limits.services, 100'000));
  TRY(table.number("worker-share-per-uid", config.worker_share, 100));
  return table.done();
}

Status read_worker(Table& table, Config& config) {
  TRY(table.flag("confine", config.confine));
  return table.done();
}

Status read_update(Table& table, Config& config) {
  TRY(table.milliseconds("prepare-timeout-ms", config.times.prepare));
  TRY(table.milliseconds("freeze-timeout-ms", config.times.freeze));
  TRY(table.milliseconds("adopt-timeout-ms", config.times.adopt));
  TRY(table.milliseconds("ready-timeout-ms", config.times.ready));
  TRY(table.milliseconds("finish-timeout-ms", config.times.finish));
  TRY(table.milliseconds("retire-timeout-ms", config.times.retire));
  TRY(table.number("attempts", config.times.attempts, 100));
  return table.done();
}

Status read_takeover(Table& table, Config& config) {
  TRY(table.milliseconds("rehearsal-timeout-ms", config.takeover.rehearsal_timeout_ns));
  TRY(table.milliseconds("stop-timeout-ms", config.takeover.stop_timeout_ns));
  TRY(table.milliseconds("ready-timeout-ms", config.takeover.ready_timeout_ns));
  TRY(table.milliseconds("probation-ms", config.takeover.probation_ns));
  TRY(table.number("tries", config.takeover_tries, 1000));
  return table.done();
}

// [quota.UID]: what isn't there is as in [limits].
Status read_quota(Table& table, luo::Limits& limits) {
  TRY(table.number("sessions", limits.sessions, 10'000'000));
  TRY(table.number("files", limits.files, 10'000'000));
  TRY(table.number("connections", limits.connections, 1'000'000));
  TRY(table.number("subtrees", limits.subtrees, 1'000'000));
  TRY(table.size("subtree-bytes", limits.subtree_bytes));
  TRY(table.number("services", limits.services, 100'000));
  return table.done();
}

Status read_quotas(Table& top, const std::string& path, Config& config) {
  const toml::node* node = top.get("quota");
  if (node == nullptr) return {};
  if (!node->is_table()) return top.wrong(*node, "quota", "a table is expected");
  for (const auto& [name, value] : *node->as_table()) {
    const std::string prefix = fmt::format("[quota.{}] ", name.str());
    uint32_t uid = 0;
    const char* end = name.str().data() + name.str().size();
    const auto parsed = std::from_chars(name.str().data(), end, uid);
    if (parsed.ec != std::errc{} || parsed.ptr != end || !value.is_table()) {
      return top.wrong(value, prefix, "a table of a user id (a number) is expected");
    }
    Table section(*value.as_table(), prefix, path);
    TRY(read_quota(section, config.quotas.emplace(uid, config.limits).first->second));
  }
  return {};
}

Status read_metrics(Table& table, Config& config) {
  TRY(table.text("listen", config.metrics_listen));
  if (config.metrics_listen.empty()) return table.done();
  if (const auto address = parse_metrics_address(config.metrics_listen); !address) {
    return table.wrong(*table.get("listen"), "listen", address.error().message);
  }
  return table.done();
}

Status read_grant(Table& table, luo::Grant& grant) {
  TRY(table.number("owner", grant.owner, kNoId - 1));
  TRY(table.ids("uids", grant.uids));
  TRY(table.ids("gids", grant.gids));
  return table.done();
}

// [grant.NAME], [grant."PREFIX*"]
Status read_grants(Table& top, const std::string& path, Config& config) {
  const toml::node* node = top.get("grant");
  if (node == nullptr) return {};
  if (!node->is_table()) return top.wrong(*node, "grant", "a table is expected");
  for (const auto& [name, value] : *node->as_table()) {
    const std::string prefix = fmt::format("[grant.{}] ", name.str());
    if (!value.is_table()) return top.wrong(value, prefix, "a table is expected");
    luo::Grant grant;
    if (const Status good = luo::parse_granted_name(name.str(), grant); !good) {
      return top.wrong(value, prefix, good.error().message);
    }
    Table section(*value.as_table(), prefix, path);
    if (section.get("owner") == nullptr) {
      return section.wrong(value, "owner", "is missing: the user id whose sessions these are");
    }
    TRY(read_grant(section, grant));
    if (grant.uids.empty() && grant.gids.empty()) {
      return section.wrong(value, "uids", "is missing, and so is gids: it is granted to nobody");
    }
    config.grants.push_back(std::move(grant));
  }
  return {};
}

Status read_service(Table& table, ServiceSpec& spec) {
  if (table.get("lease-ms") != nullptr) {
    uint64_t lease_ms = 0;
    TRY(table.number("lease-ms", lease_ms, kLongestLeaseMs));
    spec.lease_ms = lease_ms;
  }
  TRY(table.texts("command", spec.argv));
  TRY(table.texts("listen", spec.listen));
  TRY(table.text("restart", spec.restart));
  TRY(table.texts("environment", spec.env));
  TRY(table.text("working-directory", spec.cwd));
  TRY(table.flag("notify", spec.notify));
  TRY(table.text("policy", spec.policy));
  TRY(table.number("ready-timeout-ms", spec.ready_timeout_ms, 86'400'000));
  TRY(table.number("stop-timeout-ms", spec.stop_timeout_ms, 86'400'000));
  return table.done();
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view suffix(parsed.ptr,
                                static_cast<size_t>(text.data() + text.size() - parsed.ptr));
  unsigned shift = 0;
  if (suffix == "K") shift = 10;
  if (suffix == "M") shift = 20;
  if (suffix == "G") shift = 30;
  if (suffix == "T") shift = 40;
  const bool bad = parsed.ec != std::errc{} || (!suffix.empty() && shift == 0);
  if (bad || value > (UINT64_MAX >> shift)) {
    return fail(EINVAL, "'{}' is not a size: bytes, or with K, M, G or T", text);
  }
  return value << shift;
}

Result<Config> parse_config(std::string_view text, const std::string& path) {
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) {
    return fail(EINVAL, "{}:{}: {}", path, parsed.error().source().begin.line,
                parsed.error().description());
  }
  Config config;
  Table top(parsed.table(), "", path);
  using Reader = Status (*)(Table&, Config&);
  const std::pair<const char*, Reader> sections[] = {
      {"outlived", read_outlived}, {"kho", read_kho},           {"liveupdate", read_liveupdate},
      {"limits", read_limits},     {"worker", read_worker},     {"machine", read_machine},
      {"update", read_update},     {"takeover", read_takeover}, {"metrics", read_metrics}};
  for (const auto& [name, read] : sections) {
    const toml::node* node = top.get(name);
    if (node == nullptr) continue;
    if (!node->is_table()) return top.wrong(*node, name, "a table is expected");
    Table section(*node->as_table(), fmt::format("[{}] ", name), path);
    TRY(read(section, config));
  }
  TRY(read_quotas(top, path, config));
  TRY(read_grants(top, path, config));
  if (const toml::node* node = top.get("services"); node != nullptr) {
    if (!node->is_table()) return top.wrong(*node, "services", "a table is expected");
    for (const auto& [name, value] : *node->as_table()) {
      const std::string prefix = fmt::format("[services.{}] ", name.str());
      if (!value.is_table()) return top.wrong(value, prefix, "a table is expected");
      Table section(*value.as_table(), prefix, path);
      ServiceConfig service{std::string(name.str()), {}};
      TRY(read_service(section, service.spec));
      if (Status good = check_service_name(service.name); !good) {
        return section.wrong(value, "", good.error().message);
      }
      if (Status good = check_spec(service.spec); !good) {
        return section.wrong(value, "", good.error().message);
      }
      config.services.push_back(std::move(service));
    }
  }
  TRY(top.done());
  TRY(check_config(config).context("{}", path));
  return config;
}

Status check_config(const Config& config) {
  if (config.liveupdate_enabled && !config.kho_enabled) {
    return fail(EINVAL,
                "[kho] enabled = false needs [liveupdate] enabled = false: sessions live in KHO's "
                "memory (also --kho=off --liveupdate=off)");
  }
  if (config.arena_max < (1 << 20) || config.arena_max > (uint64_t{1} << 42)) {
    return fail(EINVAL, "[kho] arena-max = {} is not between 1M and 4T", config.arena_max);
  }
  if (config.worker_timeout < 2'000'000'000) {
    return fail(EINVAL,
                "[limits] worker-timeout-ms = {} is below 2000: its loop turns every 500 ms",
                config.worker_timeout / 1'000'000);
  }
  if (config.worker_share == 0) {
    return fail(EINVAL, "[limits] worker-share-per-uid = 0 serves nobody: 1 to 100 are expected");
  }
  return {};
}

}  // namespace outlive::daemon
