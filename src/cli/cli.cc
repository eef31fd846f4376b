#include "cli/cli.h"

#include <string.h>
#include <sys/random.h>

#include "abi/orchestrator_varlink.h"
#include "cli/connect.h"
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"

namespace outlive::cli {
namespace {

constexpr int kAttempts = 4;  // of a call whose connection broke
constexpr int kTickMs = 100;

// False, with errno, when not all of it was taken.
bool write(std::FILE* file, std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
}

std::string qualified(const char* method) {
  return fmt::format("{}.{}", abi::kOrchestratorInterface, method);
}

}  // namespace

Result<wire::VarlinkClient*> Cli::client() {
  if (!client_) {
    client_ = TRY(connect_control(runtime_dir));
    if (around_.interrupt.valid()) client_->set_interrupt(around_.interrupt);
  }
  return &*client_;
}

Result<Json> Cli::call(const char* method, const Json& parameters) {
  return call_qualified(qualified(method), parameters);
}

Result<Json> Cli::call_qualified(const std::string& method, const Json& parameters) {
  for (int attempt = 1;; ++attempt) {
    wire::VarlinkClient* connection = TRY(client());
    Result<Json> reply = connection->call(method, parameters);
    failure_ = connection->failure();
    repeated_ = attempt > 1;
    if (reply || failure_) return reply;
    client_.reset();
    if (reply.error().code != ECONNRESET || attempt == kAttempts) return reply;
  }
}

Result<Json> Cli::call_list(const char* method, Json parameters, const char* key) {
  Json all = Json::array();
  for (;;) {
    Json part = TRY(call(method, parameters));
    Fields fields(part);
    const Json& elements = fields.array(key);
    const std::optional<std::string> next = fields.maybe_text("next");
    TRY(fields.check());
    all.insert(all.end(), elements.begin(), elements.end());
    // An empty part with a `next` would never end.
    if (!next || elements.empty()) {
      part[key] = std::move(all);
      part.erase("next");
      return part;
    }
    parameters["after"] = *next;
  }
}

Result<Json> Cli::watch(const char* method, const Json& parameters,
                        const std::function<void(const Json&)>& each,
                        const std::function<void()>& tick) {
  for (int attempt = 1;; ++attempt) {
    bool heard = false;
    Result<Json> reply = watch_once(qualified(method), parameters, each, tick, &heard);
    if (reply || failure_) return reply;
    client_.reset();
    if (heard) attempt = 1;
    if (reply.error().code != ECONNRESET || attempt == kAttempts) return reply;
  }
}

Result<Json> Cli::watch_once(const std::string& method, const Json& parameters,
                             const std::function<void(const Json&)>& each,
                             const std::function<void()>& tick, bool* heard) {
  failure_.reset();
  wire::VarlinkClient* connection = TRY(client());
  TRY(connection->send({.method = method, .parameters = parameters, .more = true}));
  for (;;) {
    std::optional<wire::VarlinkReply> reply = TRY(connection->receive(kTickMs));
    if (!reply) {
      tick();
      continue;
    }
    *heard = true;
    const bool last = !reply->continues || !reply->error.empty();
    if (last) {
      Result<Json> result = connection->check(*std::move(reply));
      if (!result) failure_ = connection->failure();
      return result;
    }
    each(reply->parameters);
  }
}

void Cli::print(std::string_view text) {
  if (!write(around_.out, text) && output_error_ == 0) output_error_ = errno;
}

int Cli::finish(int code) {
  if (output_error_ == 0) return code;
  warn(fmt::format("standard output: {}: not all was printed", strerrordesc_np(output_error_)));
  return code == kExitOk ? kExitFailed : code;
}

void Cli::warn(std::string_view line) {
  write(around_.err, fmt::format("outlive: {}\n", clean(line)));
}

int Cli::print_json(const Json& reply) {
  print(wire::json_text(reply, 2) + "\n");
  return kExitOk;
}

int Cli::usage(std::string_view what) {
  warn(fmt::format("{} (see --help)", what));
  return kExitUsage;
}

int Cli::report(const Error& error) {
  warn(error.message);
  if (failure_) {
    const auto lines = wire::param<std::vector<std::string>>(failure_->parameters, "log");
    if (lines) {
      for (const std::string& line : *lines) {
        write(around_.err, fmt::format("  | {}\n", clean(line)));
      }
    }
  }
  return exit_code(error, failure_ ? failure_->error : "");
}

Result<std::string> new_request_id() {
  uint64_t words[2] = {0, 0};
  if (::getrandom(words, sizeof words, 0) != sizeof words) return fail_errno("getrandom");
  return fmt::format("{:016x}{:016x}", words[0], words[1]);
}

}  // namespace outlive::cli
