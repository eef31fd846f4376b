// bench-wire: times the requests of the socket protocol, through liboutlive. bench.py drives it.
//
//   bench-wire [--cpu N] preserve [--rounds N] [--bare-cpu N]
//   bench-wire [--cpu N] retrieve ... --output FILE    run by outlived: on-failure, it kills itself
//   bench-wire [--cpu N] files --most N
//   bench-wire [--cpu N] kills [--files N]       a worker's pid a line on standard input
#include "wire.h"

#include <CLI/CLI.hpp>

namespace outlive::bench {

Status check(long result) {
  if (result >= 0) return {};
  return fail(static_cast<int>(-result), "{}", outlive_error());
}

Result<Client> connect_client() {
  outlive_client* client = nullptr;
  TRY(check(outlive_connect(nullptr, 0, &client)));
  return Client(client, outlive_disconnect);
}

Result<Session> create_session(const Client& client, const std::string& name, unsigned flags) {
  outlive_session* session = nullptr;
  TRY(check(outlive_session_create(client.get(), name.c_str(), flags, &session)));
  return Session(session, outlive_session_close);
}

Result<UniqueFd> make_file() {
  return sys::memfd_create("bench", MFD_CLOEXEC);
}

}  // namespace outlive::bench

int main(int argc, char** argv) {
  using namespace outlive::bench;
  CLI::App app("Times outlived's socket protocol.", "bench-wire");
  int cpu = -1, bare_cpu = -1;
  size_t rounds = 10, files = 0, most = 0;
  app.add_option("--cpu", cpu, "Where to run");
  app.require_subcommand(1);
  std::string output;
  CLI::App* out = app.add_subcommand("preserve", "Beside a bare round trip");
  CLI::App* in = app.add_subcommand("retrieve", "Beside a bare round trip, as a service");
  for (CLI::App* trip : {out, in}) {
    trip->add_option("--rounds", rounds);
    trip->add_option("--bare-cpu", bare_cpu, "Where the bare peer runs");
  }
  in->add_option("--output", output)->required();
  CLI::App* many = app.add_subcommand("files", "Preserve many");
  many->add_option("--most", most)->required();
  CLI::App* kills = app.add_subcommand("kills", "Kill outlived's worker");
  kills->add_option("--files", files, "Preserved before");
  CLI11_PARSE(app, argc, argv);

  Samples samples;
  outlive::Status status = pin_to_cpu(cpu);
  if (status && *out) status = preserve(samples, rounds, bare_cpu);
  if (status && *in) status = retrieve(samples, rounds, bare_cpu);
  if (status && *many) status = many_files(samples, most);
  if (status && *kills) status = worker_kills(samples, files);
  if (!status) {
    fmt::print(stderr, "bench-wire: {}\n", status.error().text());
    return 1;
  }
  if (status && !output.empty()) status = outlive::sys::write_file(output, samples.json());
  if (output.empty()) samples.print();
  return status ? 0 : 1;
}
