// hello: the smallest service that survives its own update. It counts the hellos that it answers.
//   outlive run hello -- hello 7070      nc 127.0.0.1 7070      outlive update hello
#include "line_server.h"
#include "outlive/outlive.hpp"

using namespace outlive;
constexpr Token kListener = 1, kMemory = 2, kConnections = 100;  // names of what is preserved

struct Hello : Participant, LineServer {
  Client client = Client::connect().expect("hello");
  Session session;
  Memory memory;               // its root is the counter
  void start(uint16_t port) {  // the first one: makes everything, and says what is to survive
    session = client.create_session("hello").expect("session");
    memory = Memory::create(session, kMemory, "hello").expect("memory");
    memory.set_root(memory.make<uint64_t>(0u).expect("counter"));
    listen_on(port);
    session.preserve(kListener, listener).expect("listener");
  }
  // A connection is preserved from its start: it outlives even a SIGKILL of this process.
  void opened(uint64_t number, int fd) override {
    session.preserve(kConnections + number, fd).expect("connection");
  }
  void closed(uint64_t number, UniqueFd fd) override {
    session.drop(kConnections + number, std::move(fd)).expect("connection");
  }
  std::string answer(const std::string& line) override {
    if (line != "hello") return "say hello";
    return "hello " + std::to_string(++*memory.root<uint64_t>()) + " from version " HELLO_VERSION +
           " pid " + std::to_string(getpid());
  }
  // The old one: stops, and then either goes on (the update was cancelled) or leaves.
  int freeze(const Event&) override { return serving = false; }
  void cancel(const Event&) override { serving = true; }
  void retire(const Event&) override { std::exit(0); }
  // The next one: finds everything and writes nothing. If it dies here, the old one goes on.
  int adopt(const Event&) override {
    session = client.retrieve_session("hello").expect("session");
    memory = Memory::open(session, kMemory).expect("memory");
    listener = session.retrieve(kListener).expect("listener");
    for (Token t : session.tokens().expect("tokens"))
      if (t >= kConnections) connections[t - kConnections] = session.retrieve(t).expect("retrieve");
    return 0;
  }
  void committed(const Event&) override {  // now all of it is its own: it serves
    memory.writable().expect("memory");
    client.adopt_all().expect("adopt");
    serving = true;
  }
};

int main(int argc, char** argv) {
  Hello hello;
  const Role role = hello.client.participate(hello).expect("participate");
  if (role == Role::kFresh) hello.start(argc > 1 ? uint16_t(std::atoi(argv[1])) : uint16_t(7070));
  hello.client.ready().expect("ready");
  for (;;)
    if (hello.turn(hello.client.fd())) hello.client.dispatch().expect("outlived");
}
