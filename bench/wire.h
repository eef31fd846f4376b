// What bench-wire can do, one function a subcommand (wire.cc), and the client's handles as owners.
#pragma once

#include <outlive/outlive.h>

#include <functional>
#include <memory>
#include <string>

#include "base/sys.h"
#include "samples.h"

namespace outlive::bench {

using Client = std::unique_ptr<outlive_client, decltype(&outlive_disconnect)>;
using Session = std::unique_ptr<outlive_session, decltype(&outlive_session_close)>;

// The library's last error, when `result` is one.
Status check(long result);
// $OUTLIVE_RUNTIME_DIR says where outlived is.
Result<Client> connect_client();
Result<Session> create_session(const Client& client, const std::string& name, unsigned flags = 0);
Result<UniqueFd> make_file();

struct Timer {
  Samples& samples;
  // Runs it; its time goes under `name`, unless it fails.
  Status time(const std::string& name, const std::function<Status()>& what) {
    const uint64_t start = now_ns();
    Status done = what();
    const uint64_t end = now_ns();
    if (done) samples.add(name, end - start);
    return done;
  }
};

// Each single operation beside the bare one: `rounds` batches, in turns.
Status preserve(Samples& samples, size_t rounds, int bare_cpu);
// The same, as a service: the first one dies, the next one retrieves what it inherits.
Status retrieve(Samples& samples, size_t rounds, int bare_cpu);
// Preserves files until `most`, or until something is full; every time is kept, in order.
Status many_files(Samples& samples, size_t most);
// A line of standard input is the pid of outlived's worker: kills it, and times the next answer.
Status worker_kills(Samples& samples, size_t files);

}  // namespace outlive::bench
