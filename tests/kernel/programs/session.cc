// A client of outlived that isn't there all the time. `save NAME TEXT`: leaves a memfd with that
// text in a session that lingers. `check NAME TEXT`: finds it, and leaves it as it was. `serve NAME
// TEXT`: a service; the first one saves, every later one checks, says which, and then it is only
// there. What isn't as it was is said in one line, and the exit code is 1.
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "outlive/outlive.hpp"

namespace {

using namespace outlive;

constexpr Token kToken = 1;

[[noreturn]] void refuse(const std::string& why) {
  dprintf(STDERR_FILENO, "%s\n", why.c_str());
  std::exit(EXIT_FAILURE);
}

Session save(Client& client, const std::string& name, const std::string& text) {
  Session session = client.create_session(name, true).expect("create_session");
  const UniqueFd file(memfd_create("kept", MFD_CLOEXEC));
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    refuse("can't write the memfd");
  }
  session.preserve(kToken, file).expect("preserve");
  return session;
}

Session find(Client& client, const std::string& name, const std::string& text) {
  Session session = client.retrieve_session(name).expect("retrieve_session");
  const UniqueFd file = session.retrieve(kToken).expect("retrieve");
  std::string found(text.size() + 1, '\0');
  const ssize_t got = pread(file.get(), found.data(), found.size(), 0);
  found.resize(got < 0 ? 0 : static_cast<size_t>(got));
  if (found != text) refuse("the memfd has '" + found + "'");
  return session;
}

struct Service : Participant {
  Client client;
  std::string name, text;
  Session session;

  Service(Client its, std::string its_name, std::string its_text)
      : client(std::move(its)), name(std::move(its_name)), text(std::move(its_text)) {}

  void retire(const Event&) override { std::exit(EXIT_SUCCESS); }
  int adopt(const Event&) override {
    session = find(client, name, text);
    return 0;
  }
  void committed(const Event&) override { client.adopt_all().expect("adopt_all"); }

  [[noreturn]] void serve() {
    const Role role = client.participate(*this).expect("participate");
    if (role == Role::kFresh) session = save(client, name, text);
    dprintf(STDOUT_FILENO, "%s\n", role == Role::kFresh ? "saved" : "found");
    client.ready().expect("ready");
    while (true) {
      pollfd wait{client.fd(), POLLIN, 0};
      poll(&wait, 1, -1);
      client.dispatch().expect("outlived");
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) refuse("usage: kernel-session save|check|serve NAME TEXT");
  const std::string verb = argv[1];
  Client client = Client::connect().expect("connect");
  if (verb == "save") {
    save(client, argv[2], argv[3]);
  } else if (verb == "check") {
    find(client, argv[2], argv[3]).adopt().expect("adopt");
  } else if (verb == "serve") {
    Service(std::move(client), argv[2], argv[3]).serve();
  } else {
    refuse("unknown verb '" + verb + "'");
  }
  return EXIT_SUCCESS;
}
