#include "commands.h"

#include <signal.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdio>

namespace kv {
namespace {

constexpr char kSyntax[] = "ERR syntax error";
constexpr char kNotNumber[] = "ERR value is not an integer or out of range";
constexpr char kNoMemory[] = "OOM command not allowed: the memory is full";
constexpr int64_t kLongestMs = int64_t{1} << 52;  // no sum of two overflows

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

void reply_value(Call& call, std::string_view key) {
  std::string digits;
  std::string_view value;
  if (call.store.table().get(key, call.now_ms, &digits, &value)) {
    reply_bulk(call.out, value);
  } else {
    reply_null(call.out);
  }
}

void ping(Call& call) {
  if (call.arguments.size() == 1) return reply_simple(call.out, "PONG");
  reply_bulk(call.out, call.arguments[1]);
}

void echo(Call& call) {
  reply_bulk(call.out, call.arguments[1]);
}

void get(Call& call) {
  reply_value(call, call.arguments[1]);
}

void mget(Call& call) {
  reply_array(call.out, call.arguments.size() - 1);
  for (size_t i = 1; i < call.arguments.size(); ++i) reply_value(call, call.arguments[i]);
}

struct SetOptions {
  bool only_new = false;
  bool only_existing = false;
  uint64_t expires_ms = 0;
};

// EX seconds, PX milliseconds, NX, XX in any order. nullptr, or the error.
const char* parse_set_options(const Call& call, SetOptions* options) {
  const Arguments& words = call.arguments;
  for (size_t i = 3; i < words.size(); ++i) {
    const bool seconds = same(words[i], "EX");
    if (same(words[i], "NX")) {
      options->only_new = true;
    } else if (same(words[i], "XX")) {
      options->only_existing = true;
    } else if ((seconds || same(words[i], "PX")) && i + 1 < words.size() &&
               options->expires_ms == 0) {
      int64_t span = 0;
      if (!parse_integer(words[++i], &span)) return kNotNumber;
      if (span <= 0 || span > kLongestMs / 1000) return "ERR invalid expire time in 'set' command";
      options->expires_ms = call.now_ms + static_cast<uint64_t>(seconds ? span * 1000 : span);
    } else {
      return kSyntax;
    }
  }
  return options->only_new && options->only_existing ? kSyntax : nullptr;
}

void set(Call& call) {
  SetOptions options;
  const char* error = parse_set_options(call, &options);
  if (error != nullptr) return reply_error(call.out, error);
  Table& table = call.store.table();
  if (options.only_new || options.only_existing) {
    if (table.exists(call.arguments[1], call.now_ms) == options.only_new) {
      return reply_null(call.out);
    }
  }
  if (!table.set(call.arguments[1], call.arguments[2], options.expires_ms)) {
    return reply_error(call.out, kNoMemory);
  }
  reply_simple(call.out, "OK");
}

void mset(Call& call) {
  const Arguments& words = call.arguments;
  if (words.size() % 2 == 0) {
    return reply_error(call.out, "ERR wrong number of arguments for 'mset' command");
  }
  for (size_t i = 1; i < words.size(); i += 2) {
    if (!call.store.table().set(words[i], words[i + 1], 0)) {
      return reply_error(call.out, kNoMemory);
    }
  }
  reply_simple(call.out, "OK");
}

void del(Call& call) {
  int64_t removed = 0;
  for (size_t i = 1; i < call.arguments.size(); ++i) {
    removed += call.store.table().erase(call.arguments[i], call.now_ms) ? 1 : 0;
  }
  reply_integer(call.out, removed);
}

void exists(Call& call) {
  int64_t found = 0;
  for (size_t i = 1; i < call.arguments.size(); ++i) {
    found += call.store.table().exists(call.arguments[i], call.now_ms) ? 1 : 0;
  }
  reply_integer(call.out, found);
}

void incr(Call& call) {
  int64_t result = 0;
  switch (call.store.table().add(call.arguments[1], 1, call.now_ms, &result)) {
    case Table::Added::kOk:
      return reply_integer(call.out, result);
    case Table::Added::kNotNumber:
      return reply_error(call.out, kNotNumber);
    case Table::Added::kOverflow:
      return reply_error(call.out, "ERR increment or decrement would overflow");
    case Table::Added::kNoMemory:
      return reply_error(call.out, kNoMemory);
  }
}

void expire(Call& call) {
  int64_t seconds = 0;
  if (!parse_integer(call.arguments[2], &seconds)) return reply_error(call.out, kNotNumber);
  if (seconds > kLongestMs / 1000) {
    return reply_error(call.out, "ERR invalid expire time in 'expire' command");
  }
  Table& table = call.store.table();
  const std::string_view key = call.arguments[1];
  const bool found =
      seconds <= 0
          ? table.erase(key, call.now_ms)  // a time that has passed
          : table.expire(key, call.now_ms + static_cast<uint64_t>(seconds) * 1000, call.now_ms);
  reply_integer(call.out, found ? 1 : 0);
}

void ttl(Call& call) {
  uint64_t when = 0;
  if (!call.store.table().expiry(call.arguments[1], call.now_ms, &when)) {
    return reply_integer(call.out, -2);
  }
  if (when == 0) return reply_integer(call.out, -1);
  reply_integer(call.out, static_cast<int64_t>((when - call.now_ms + 500) / 1000));
}

void dbsize(Call& call) {
  reply_integer(call.out, static_cast<int64_t>(call.store.table().size()));
}

void flushall(Call& call) {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) < 0) seed = call.now_ms;
  if (!call.store.flush(seed)) return reply_error(call.out, kNoMemory);
  reply_simple(call.out, "OK");
}

// DIGEST [PREFIX]: for tests; equal contents have equal digests.
void digest(Call& call) {
  const std::string_view prefix = call.arguments.size() > 1 ? call.arguments[1] : "";
  char hex[17];
  snprintf(hex, sizeof hex, "%016llx",
           static_cast<unsigned long long>(call.store.table().digest(prefix, call.now_ms)));
  reply_bulk(call.out, hex);
}

void info(Call& call) {
  reply_bulk(call.out, call.server_info());
}

// redis-benchmark asks for two settings; "" is a sensible answer for both (nothing is on a disk).
void config(Call& call) {
  if (call.arguments.size() != 3 || !same(call.arguments[1], "GET")) {
    return reply_error(call.out, "ERR only CONFIG GET is known");
  }
  const std::string_view name = call.arguments[2];
  const bool append = same(name, "appendonly");
  reply_array(call.out, append || same(name, "save") ? 2 : 0);
  if (!append && !same(name, "save")) return;
  reply_bulk(call.out, name);
  reply_bulk(call.out, append ? "no" : "");
}

void command(Call& call) {
  reply_array(call.out, 0);
}  // redis-cli does without the help texts

void ok(Call& call) {
  reply_simple(call.out, "OK");
}  // CLIENT SETNAME and SETINFO

void select(Call& call) {
  if (call.arguments[1] == "0") return reply_simple(call.out, "OK");
  reply_error(call.out, "ERR DB index is out of range");
}

// DEBUG CRASH, for tests: SIGKILL in the middle of a change. The next one has to repair.
void debug(Call& call) {
  if (!same(call.arguments[1], "CRASH"))
    return reply_error(call.out, "ERR only DEBUG CRASH is known");
  const Change change(call.store.heap());
  kill(getpid(), SIGKILL);
}

void quit(Call& call) {
  call.quit = true;
  reply_simple(call.out, "OK");
}

#if KV_VERSION >= 2
void strlen(Call& call) {
  std::string digits;
  std::string_view value;
  call.store.table().get(call.arguments[1], call.now_ms, &digits, &value);
  reply_integer(call.out, static_cast<int64_t>(value.size()));
}
#endif

struct Command {
  std::string_view name;
  size_t least, most;  // arguments, with the name
  void (*run)(Call& call);
};
constexpr size_t kAny = kMaxArguments;
constexpr Command kCommands[] = {
    {"GET", 2, 2, get},           {"SET", 3, 8, set},
    {"INCR", 2, 2, incr},         {"DEL", 2, kAny, del},
    {"EXISTS", 2, kAny, exists},  {"MGET", 2, kAny, mget},
    {"MSET", 3, kAny, mset},      {"EXPIRE", 3, 3, expire},
    {"TTL", 2, 2, ttl},           {"DBSIZE", 1, 1, dbsize},
    {"FLUSHALL", 1, 2, flushall}, {"PING", 1, 2, ping},
    {"ECHO", 2, 2, echo},         {"INFO", 1, kAny, info},
    {"DIGEST", 1, 2, digest},     {"COMMAND", 1, kAny, command},
    {"CONFIG", 2, kAny, config},  {"CLIENT", 2, kAny, ok},
    {"SELECT", 2, 2, select},     {"DEBUG", 2, 2, debug},
    {"QUIT", 1, 1, quit},
#if KV_VERSION >= 2
    {"STRLEN", 2, 2, strlen},  // new in version 2
#endif
};

std::string printable(std::string_view text) {
  std::string result(text.substr(0, 64));
  for (char& c : result) c = c < ' ' || c > '~' ? '?' : c;
  return result;
}

}  // namespace

void execute(Call& call) {
  for (const Command& known : kCommands) {
    if (!same(known.name, call.arguments[0])) continue;
    if (call.arguments.size() >= known.least && call.arguments.size() <= known.most) {
      return known.run(call);
    }
    return reply_error(call.out, "ERR wrong number of arguments for '" +
                                     printable(call.arguments[0]) + "' command");
  }
  reply_error(call.out, "ERR unknown command '" + printable(call.arguments[0]) + "'");
}

}  // namespace kv
