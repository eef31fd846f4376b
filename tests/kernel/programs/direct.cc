// A client with a direct session: what the kernel preserves for it, by its own ioctls. The first
// argument is outlived's folder.
//   hold NAME TEXT  a memfd with that text is preserved in NAME's kernel session, which can't be a
//                   file of a session; says so, and stays
//   twice NAME      the kernel's session ends with the client's fd: what it had can be preserved
//                   anew
//   fill            as many sessions as it may have, and how many these were
//   keep            one whose kernel session is kept counts, two may be had, until it is closed
//   find NAME TEXT  after the kexec: it is all there, once, and is finished
//   as UID NAME     somebody else retrieves it: the errno
// What isn't as it should be is said in one line, and the exit code is 1.
#include <errno.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "abi/liveupdate.h"
#include "outlive/outlive.hpp"

namespace {

using namespace outlive;

constexpr uint64_t kToken = 7;

[[noreturn]] void refuse(const std::string& why) {
  printf("%s\n", why.c_str());
  std::exit(EXIT_FAILURE);
}

template <typename T>
int request(const UniqueFd& session, uint16_t number, T& argument) {
  argument.size = sizeof argument;
  const auto command = static_cast<unsigned long>(_IO(abi::kLiveUpdateIoctlType, number));
  return ioctl(session.get(), command, &argument) == 0 ? 0 : errno;
}

int preserve(const UniqueFd& session, const UniqueFd& file) {
  abi::FdRequest wanted{.size = 0, .fd = file.get(), .token = kToken};
  return request(session, abi::kIoctlPreserveFd, wanted);
}

UniqueFd file_with(const std::string& text) {
  UniqueFd file(memfd_create("guest", MFD_CLOEXEC));
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    refuse("can't write the memfd");
  }
  return file;
}

void hold(Client& client, const std::string& name, const std::string& text) {
  Session session = client.create_direct_session(name).expect("create");
  const UniqueFd kernel = session.kernel_session().expect("kernel_session");
  const UniqueFd file = file_with(text);
  if (const int code = preserve(kernel, file)) refuse(std::string("preserve: ") + strerror(code));
  if (session.preserve(1, file)) refuse("outlived took a file into a direct session");
  Session plain = client.create_session(name + ".plain").expect("create a plain one");
  const auto kept = plain.preserve(1, kernel);
  if (kept || kept.error().code() != ENOENT) refuse("outlived took the kernel's session as a file");
  plain = Session();
  printf("preserved\n");
  while (true) pause();
}

void twice(Client& client, const std::string& name) {
  const UniqueFd file = file_with("twice");
  Session one = client.create_direct_session(name + ".1").expect("create");
  Session other = client.create_direct_session(name + ".2").expect("create");
  UniqueFd kernel = one.kernel_session().expect("kernel_session");
  const auto again = one.kernel_session();
  if (again || again.error().code() != EINVAL) refuse("it was handed over twice");
  const UniqueFd second = other.kernel_session().expect("kernel_session");
  if (preserve(kernel, file) != 0) refuse("preserve");
  if (const int code = preserve(second, file); code != EBUSY) {
    refuse(std::string("preserved twice: ") + strerror(code));
  }
  kernel.reset();
  int code = 0;
  for (int tries = 0; tries < 6000; ++tries) {  // outlived's copy goes after its reply
    code = preserve(second, file);
    if (code != EBUSY) break;
    poll(nullptr, 0, 10);
  }
  if (code != 0) refuse(std::string("the kernel's session lives on: ") + strerror(code));
}

void fill(Client& client) {
  std::vector<Session> sessions;
  while (true) {
    auto made = client.create_direct_session("fill." + std::to_string(sessions.size()));
    if (!made) {
      printf("%zu, then %s\n", sessions.size(), strerror(made.error().code()));
      return;
    }
    sessions.push_back(std::move(*made));
  }
}

void keep(Client& client) {
  Session kept = client.create_direct_session("kept").expect("create");
  UniqueFd kernel = kept.kernel_session().expect("kernel_session");
  kept = Session();
  const Session other = client.create_direct_session("other").expect("create");
  const auto third = client.create_direct_session("third");
  if (third || third.error().code() != EDQUOT) refuse("the kept one isn't in the quota");
  kernel.reset();
  for (int tries = 0; tries < 6000; ++tries) {
    if (client.create_direct_session("third")) return;
    poll(nullptr, 0, 10);
  }
  refuse("the kept one is in the quota for ever");
}

void find(Client& client, const std::string& name, const std::string& text) {
  Session session = client.retrieve_session(name).expect("retrieve_session");
  const auto wrong = session.retrieve(abi::kIoctlRetrieveFd);
  if (wrong || wrong.error().code() != EINVAL) refuse("a direct session gave a file");
  const UniqueFd kernel = session.kernel_session().expect("kernel_session");
  const auto again = session.kernel_session();
  if (again || again.error().code() != EINVAL) refuse("it was handed over twice");
  abi::FdRequest wanted{.size = 0, .fd = -1, .token = kToken};
  if (const int code = request(kernel, abi::kIoctlRetrieveFd, wanted)) {
    refuse(std::string("RETRIEVE_FD: ") + strerror(code));
  }
  const UniqueFd file(wanted.fd);
  std::string found(text.size() + 1, '\0');
  const ssize_t got = pread(file.get(), found.data(), found.size(), 0);
  found.resize(got < 0 ? 0 : static_cast<size_t>(got));
  if (found != text) refuse("the memfd has '" + found + "'");
  abi::FinishRequest finish{};
  if (const int code = request(kernel, abi::kIoctlFinish, finish)) {
    refuse(std::string("FINISH: ") + strerror(code));
  }
}

void as(Client& client, const std::string& name) {
  const auto found = client.retrieve_session(name);
  printf("%s\n", found ? "found" : strerror(found.error().code()));
}

}  // namespace

int main(int argc, char** argv) {
  setlinebuf(stdout);
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 2) refuse("usage: kernel-direct RUNTIME hold|twice|fill|keep|find|as ...");
  const std::string& verb = words[1];
  if (verb == "as" && setuid(static_cast<uid_t>(std::stoul(words.at(2)))) != 0) refuse("setuid");
  Client client = Client::connect(words[0].c_str()).expect("connect");
  if (verb == "hold") hold(client, words.at(2), words.at(3));
  if (verb == "twice") twice(client, words.at(2));
  if (verb == "fill") fill(client);
  if (verb == "keep") keep(client);
  if (verb == "find") find(client, words.at(2), words.at(3));
  if (verb == "as") as(client, words.at(3));
  return EXIT_SUCCESS;
}
