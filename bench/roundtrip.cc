// PRESERVE_FD, RETRIEVE_FD and their many-at-once forms beside a bare SEQPACKET round trip.
//
// Ours and the bare one take turns in batches of some hundred, so that both see the same machine.
#include <signal.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "abi/wire.h"
#include "bare_peer.h"
#include "wire.h"

namespace outlive::bench {
namespace {

constexpr size_t kFiles = abi::kMaxFds;  // a batch
constexpr size_t kManyABatch = 4;

struct Batch {
  std::vector<UniqueFd> files;
  std::vector<BorrowedFd> borrowed;
  std::vector<int> numbers;  // as the C API takes them
  std::vector<uint64_t> tokens;

  static Result<Batch> make() {
    Batch batch;
    for (size_t i = 0; i < kFiles; ++i) {
      UniqueFd file = TRY(make_file());
      batch.files.push_back(std::move(file));
      batch.borrowed.push_back(batch.files.back());
      batch.numbers.push_back(batch.files.back().get());
      batch.tokens.push_back(i + 1);
    }
    return batch;
  }
};

class RoundTrip {
 public:
  RoundTrip(Samples& samples, Session& session, BarePeer& bare, const Batch& batch)
      : timer_{samples}, session_(session), bare_(bare), batch_(batch) {}

  Status preserve() {
    for (size_t i = 0; i < kFiles; ++i) {
      TRY(timer_.time("preserve", [&] {
        return check(outlive_preserve(session_.get(), batch_.tokens[i], batch_.numbers[i]));
      }));
    }
    TRY(unpreserve());
    for (size_t i = 0; i < kFiles; ++i) {
      TRY(timer_.time("preserve_bare",
                      [&] { return bare_.send(std::span(batch_.borrowed).subspan(i, 1)); }));
    }
    return bare_.release();
  }

  Status preserve_all() {
    return check(outlive_preserve_many(session_.get(), batch_.tokens.data(), batch_.numbers.data(),
                                       kFiles, nullptr));
  }

  Status preserve_many() {
    for (size_t i = 0; i < kManyABatch; ++i) {
      TRY(timer_.time("preserve_many", [&] { return preserve_all(); }));
      TRY(timer_.time("unpreserve_many", [&] { return unpreserve(); }));
    }
    for (size_t i = 0; i < kManyABatch; ++i) {
      TRY(timer_.time("preserve_many_bare", [&] { return bare_.send(batch_.borrowed); }));
      TRY(bare_.release());
    }
    return {};
  }

  Status retrieve() {
    for (const uint64_t token : batch_.tokens) {
      UniqueFd got;
      TRY(timer_.time("retrieve", [&] {
        got = UniqueFd(outlive_retrieve(session_.get(), token));
        return check(got.get());
      }));
    }
    for (size_t i = 0; i < kFiles; ++i) {
      std::array<UniqueFd, 1> got;
      TRY(timer_.time("retrieve_bare", [&] { return bare_.receive(got); }));
    }
    return {};
  }

  Status retrieve_many() {
    for (size_t i = 0; i < kManyABatch; ++i) {
      std::array<int, kFiles> numbers{};
      TRY(timer_.time("retrieve_many", [&] {
        return check(outlive_retrieve_many(session_.get(), batch_.tokens.data(), numbers.data(),
                                           kFiles, nullptr));
      }));
      for (const int number : numbers) UniqueFd(number).reset();
    }
    for (size_t i = 0; i < kManyABatch; ++i) {
      std::array<UniqueFd, kFiles> got;
      TRY(timer_.time("retrieve_many_bare", [&] { return bare_.receive(got); }));
    }
    return {};
  }

 private:
  Status unpreserve() {
    return check(outlive_unpreserve_many(session_.get(), batch_.tokens.data(), kFiles, nullptr));
  }

  Timer timer_;
  Session& session_;
  BarePeer& bare_;
  const Batch& batch_;
};

constexpr char kInherited[] = "bench-in";

// The first one: preserves, serves, dies. outlived starts the next.
Status die_for_the_next(const Client& client, const Batch& batch) {
  const Session session = TRY(create_session(client, kInherited));
  TRY(check(outlive_preserve_many(session.get(), batch.tokens.data(), batch.numbers.data(), kFiles,
                                  nullptr)));
  TRY(check(outlive_ready(client.get())));
  return sys::kill(getpid(), SIGKILL);
}

}  // namespace

Status preserve(Samples& samples, size_t rounds, int bare_cpu) {
  BarePeer bare = TRY(BarePeer::start(bare_cpu));
  const Client client = TRY(connect_client());
  const Batch batch = TRY(Batch::make());
  Session session = TRY(create_session(client, "bench-out"));
  RoundTrip out(samples, session, bare, batch);
  for (size_t i = 0; i < rounds; ++i) {
    TRY(out.preserve());
    TRY(out.preserve_many());
  }
  return {};
}

Status retrieve(Samples& samples, size_t rounds, int bare_cpu) {
  const Client client = TRY(connect_client());
  const Batch batch = TRY(Batch::make());
  outlive_participant participant{};
  participant.size = sizeof participant;
  const int role = outlive_participate(client.get(), &participant);
  TRY(check(role).context("participate"));
  if (role == OUTLIVE_ROLE_FRESH) return die_for_the_next(client, batch);
  BarePeer bare = TRY(BarePeer::start(bare_cpu));
  outlive_session* inherited = nullptr;
  TRY(check(outlive_session_retrieve(client.get(), kInherited, &inherited)));
  Session session(inherited, outlive_session_close);
  RoundTrip in(samples, session, bare, batch);
  for (size_t i = 0; i < rounds; ++i) {
    TRY(in.retrieve());
    TRY(in.retrieve_many());
  }
  TRY(check(outlive_finish_all(client.get())).context("finish"));
  return check(outlive_ready(client.get()));
}

}  // namespace outlive::bench
