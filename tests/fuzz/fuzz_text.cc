// Text of operators and of records: the configuration, addresses to listen at, sizes, launch
// specifications, interface descriptions. The first byte chooses the reader.
#include "abi/orchestrator_varlink.h"
#include "base/check.h"
#include "daemon/config.h"
#include "daemon/listen_address.h"
#include "daemon/service_spec.h"
#include "fuzz.h"
#include "wire/varlink_interface.h"

namespace outlive::fuzz {

void run(Input input) {
  Reader reader(input);
  const auto number = reader.take<uint8_t>();
  const std::string text(text_of(reader.rest()));
  switch (number % 5) {
    case 0: {
      const auto config = daemon::parse_config(text, "outlive.toml");
      if (config) static_cast<void>(daemon::check_config(*config));
      break;
    }
    case 1: {
      const auto address = daemon::parse_listen_address(text);
      CHECK(!address || address->length <= sizeof address->address);
      break;
    }
    case 2:
      static_cast<void>(daemon::parse_size(text));
      break;
    case 3: {
      const auto spec = daemon::parse_spec(text);
      if (spec) static_cast<void>(daemon::check_spec(*spec));
      break;
    }
    default:
      static_cast<void>(wire::VarlinkInterface::parse(text));
  }
}

void make_seeds(const Keep& keep) {
  const auto with = [&](const std::string& name, char reader, std::string_view text) {
    keep(name, std::string(1, reader) + std::string(text));
  };
  with("config", 0,
       "[outlived]\nlog-level = \"debug\"\n[kho]\narena-max = \"64M\"\n"
       "reserve-mem = [ { name = \"log\", size = \"64K\" } ]\n[limits]\nsessions = 10\n"
       "[services.web]\ncommand = [\"/bin/web\"]\nlisten = [\"tcp:127.0.0.1:80\"]\n");
  with("header", 0, "[;a]\n");
  with("letter", 0, "a = [ 1 } \u0424\n");
  with("tcp", 1, "http=tcp:127.0.0.1:8080");
  with("tcp6", 1, "tcp:[::1]:8080");
  with("unix", 1, "unix:/run/web.sock");
  with("size", 2, "64M");
  daemon::ServiceSpec spec;
  spec.argv = {"/bin/web", "8080"};
  spec.env = {"A=B"};
  spec.listen = {"tcp:127.0.0.1:8080"};
  with("spec", 3, daemon::spec_text(spec));
  with("interface", 4, abi::kOrchestratorVarlink);
}

}  // namespace outlive::fuzz
