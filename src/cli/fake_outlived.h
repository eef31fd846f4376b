// For tests: a control socket in a folder of its own, with canned answers, and a run of the command
// against it whose output is kept.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "abi/orchestrator_varlink.h"
#include "base/sys.h"
#include "cli/cli.h"
#include "wire/varlink.h"
#include "wire/varlink_interface.h"

namespace outlive::cli {

class FakeOutlived {
 public:
  // What a method answers: finished messages, sent as they are. An empty text closes the
  // connection.
  using Answer = std::function<std::string(const wire::VarlinkCall&)>;

  FakeOutlived() {
    char folder[] = "/tmp/outlive-cli-XXXXXX";
    EXPECT_NE(::mkdtemp(folder), nullptr);
    dir_ = folder;
    listener_ = *sys::socket(AF_UNIX, SOCK_STREAM);
    const sys::UnixAddress address = *sys::unix_address(dir_ + "/control.sock");
    EXPECT_TRUE(
        sys::bind(listener_, reinterpret_cast<const sockaddr*>(&address.address), address.length));
    EXPECT_TRUE(sys::listen(listener_, 8));
    thread_ = std::jthread([this] { serve(); });
  }
  ~FakeOutlived() {
    // accept() on a listener that is shut down fails, which ends the thread.
    EXPECT_TRUE(sys::shutdown(listener_, SHUT_RDWR));
    thread_.join();
    std::filesystem::remove_all(dir_);
  }

  // `method` without the interface.
  void on(const std::string& method, Answer answer) {
    const std::lock_guard lock(mutex_);
    answers_[std::string(abi::kOrchestratorInterface) + "." + method] = std::move(answer);
  }
  // Checked against the interface, so that what these tests read is what outlived sends.
  void reply(const std::string& method, const Json& parameters) {
    const auto interface = *wire::VarlinkInterface::parse(abi::kOrchestratorVarlink);
    const auto checked = interface.check_reply(method, parameters);
    EXPECT_TRUE(checked) << method << ": " << checked.error().text();
    malformed_reply(method, parameters);
  }
  void malformed_reply(const std::string& method, const Json& parameters) {
    on(method, [parameters](const wire::VarlinkCall&) { return wire::reply_text(parameters); });
  }
  void error(const std::string& method, std::string_view name, const Error& error) {
    on(method, [text = wire::error_text(name, error)](const wire::VarlinkCall&) { return text; });
  }
  std::vector<wire::VarlinkCall> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  const std::string& dir() const { return dir_; }

 private:
  void serve() {
    for (;;) {
      Result<UniqueFd> peer = sys::accept(listener_, SOCK_CLOEXEC);
      if (!peer) return;
      converse(*peer);
    }
  }
  void converse(const UniqueFd& peer) {
    wire::VarlinkFramer framer;
    for (;;) {
      char buffer[8192];
      const auto got = sys::recv(peer, std::as_writable_bytes(std::span(buffer)), 0);
      if (!got || *got == 0) return;
      framer.append({buffer, *got});
      for (auto message = framer.next(); message && *message; message = framer.next()) {
        const std::string text = answer(**message);
        if (text.empty() || !send_all(peer, text)) return;
        if (text.back() != '\0') return;  // half a message, and gone
      }
    }
  }
  // No SIGPIPE: the command may have left by now.
  static bool send_all(const UniqueFd& peer, std::string_view text) {
    while (!text.empty()) {
      const auto sent = sys::send(peer, std::as_bytes(std::span(text)), MSG_NOSIGNAL);
      if (!sent) return false;
      text.remove_prefix(*sent);
    }
    return true;
  }
  std::string answer(const std::string& message) {
    static const wire::VarlinkInterface kInterface =
        *wire::VarlinkInterface::parse(abi::kOrchestratorVarlink);
    const Result<wire::VarlinkCall> call = wire::parse_call(message);
    EXPECT_TRUE(call) << message;
    const std::string prefix = kInterface.name() + ".";
    if (call->method.starts_with(prefix)) {
      const auto checked =
          kInterface.check_call(call->method.substr(prefix.size()), call->parameters);
      EXPECT_TRUE(checked) << message << ": " << checked.error().text();
    }
    Answer found;
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(*call);
      const auto at = answers_.find(call->method);
      if (at == answers_.end()) return wire::method_not_found_text(call->method);
      found = at->second;
    }
    return found(*call);
  }

  std::string dir_;
  UniqueFd listener_;
  std::mutex mutex_;
  std::map<std::string, Answer> answers_;
  std::vector<wire::VarlinkCall> calls_;
  std::jthread thread_;
};

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

// A tmpfile's text.
inline std::string text_of(std::FILE* file) {
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

inline Ran run_words(std::vector<std::string> words, bool terminal = false,
                     BorrowedFd interrupt = BorrowedFd()) {
  std::FILE* out = std::tmpfile();
  std::FILE* err = std::tmpfile();
  Ran ran;
  ran.code = run_cli(std::move(words),
                     {.out = out, .err = err, .terminal = terminal, .interrupt = interrupt});
  ran.out = text_of(out);
  ran.err = text_of(err);
  return ran;
}

// Every test of a verb: a fake outlived, and run() of the command against it.
class CliTest : public testing::Test {
 protected:
  Ran run(std::vector<std::string> words) {
    words.insert(words.begin(), {"--runtime-dir", fake_.dir()});
    return run_words(std::move(words), terminal_, interrupt_);
  }
  // The only call, which must be of this method.
  Json only_call(const std::string& method) {
    const std::vector<wire::VarlinkCall> calls = fake_.calls();
    EXPECT_EQ(calls.size(), 1u);
    if (calls.empty()) return {};
    EXPECT_EQ(calls[0].method, std::string(abi::kOrchestratorInterface) + "." + method);
    return calls[0].parameters;
  }

  FakeOutlived fake_;
  bool terminal_ = false;
  BorrowedFd interrupt_;
};

}  // namespace outlive::cli
