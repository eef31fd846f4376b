#include "client/preview.h"

#include <algorithm>
#include <iterator>

namespace outlive::client {

Result<std::unique_ptr<Preview>> Preview::open(Client& client, std::string_view name) {
  TRY(wire::check_name(name, "session name"));
  std::unique_ptr<Preview> preview(new Preview(std::string(name)));
  TRY(preview->refresh(client));
  return preview;
}

abi::PreviewRequest Preview::request() const {
  auto request = wire::sized<abi::PreviewRequest>();
  wire::write_name(name_, request.name);
  return request;
}

Status Preview::refresh(Client& client) {
  const Reply reply = TRY(client.call(abi::Request::kPreviewList, request()));
  auto now = TRY(list_rest(client, reply));
  return take(client, std::move(now));
}

// Both are posted before either is collected: the blackout pays one round trip for the two.
Result<std::unique_ptr<Session>> Preview::retrieve(Client& client) {
  auto wanted = wire::sized<abi::SessionRequest>();
  wire::write_name(name_, wanted.name);
  const uint64_t claim = TRY(client.post(abi::Request::kRetrieveSession, wanted));
  const auto list = client.post(abi::Request::kPreviewList, request());
  Result<Reply> claimed = client.collect(claim, 1);
  const Reply listed = TRY(list ? client.collect(*list, 0) : Result<Reply>(list.error()));
  if (!claimed) return claimed.take_error();
  auto now = TRY(list_rest(client, listed));
  TRY(take(client, std::move(now)));
  return Session::from_reply(*claimed, client);
}

Result<std::vector<abi::PreviewEntry>> Preview::list_rest(Client& client,
                                                          const Reply& first) const {
  std::vector<abi::PreviewEntry> all;
  auto next = request();
  Reply more;
  for (const Reply* reply = &first;; reply = &more) {
    const auto list = TRY(wire::read_body<abi::ListReply>(reply->body).context("PREVIEW_LIST"));
    const auto part =
        TRY(wire::read_tail<abi::PreviewEntry>(reply->body, list.count).context("PREVIEW_LIST"));
    for (const abi::PreviewEntry& entry : part) {
      if (!all.empty() && entry.order <= all.back().order) {
        return fail(EPROTO, "PREVIEW_LIST: order {} after {}", uint64_t{entry.order},
                    uint64_t{all.back().order});
      }
      all.push_back(entry);
    }
    if (list.next == 0) return all;
    if (part.empty() || list.next <= next.after) return fail(EPROTO, "PREVIEW_LIST: no end");
    next.after = list.next;
    more = TRY(client.call(abi::Request::kPreviewList, next));
  }
}

// Fetches what is new, and only then remembers anything.
Status Preview::take(Client& client, std::vector<abi::PreviewEntry> now) {
  const auto by_order = [](const auto& a, const auto& b) { return a.order < b.order; };
  std::vector<abi::PreviewEntry> fresh;
  std::vector<abi::PreviewEntry> left;
  std::ranges::set_difference(now, known_, std::back_inserter(fresh), by_order);
  std::ranges::set_difference(known_, now, std::back_inserter(left), by_order);
  std::vector<uint64_t> tokens;
  for (const auto& entry : fresh) tokens.push_back(entry.token);
  std::vector<UniqueFd> fds = TRY(fetch(client, tokens));
  for (const auto& entry : left) {
    // What was added and has gone before anybody took it never was.
    const size_t before = added_.size();
    std::erase_if(added_, [&](const File& file) { return file.token == entry.token; });
    if (added_.size() == before) gone_.push_back(entry.token);
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (fds[i].valid()) {
      added_.push_back({tokens[i], std::move(fds[i])});
    } else {
      std::erase_if(now, [&](const auto& entry) { return entry.order == fresh[i].order; });
    }
  }
  known_ = std::move(now);
  return {};
}

Result<std::vector<UniqueFd>> Preview::fetch_part(Client& client,
                                                  std::span<const uint64_t> tokens) const {
  auto body = request();
  body.count = static_cast<uint32_t>(tokens.size());
  Reply reply = TRY(client.call(abi::Request::kPreviewMany, body,
                                {.tail = std::as_bytes(tokens), .reply_fds = tokens.size()}));
  return std::move(reply.fds);
}

// While the old one serves, what was listed may be gone before it is asked for: then one by one,
// and the rest of that part is had all the same.
Result<std::vector<UniqueFd>> Preview::fetch(Client& client,
                                             std::span<const uint64_t> tokens) const {
  std::vector<UniqueFd> fds;
  fds.reserve(tokens.size());
  while (fds.size() < tokens.size()) {
    const auto part =
        tokens.subspan(fds.size(), std::min(tokens.size() - fds.size(), abi::kMaxFds));
    Result<std::vector<UniqueFd>> got = fetch_part(client, part);
    if (got) {
      std::ranges::move(*got, std::back_inserter(fds));
      continue;
    }
    if (got.error().code != ENOENT) return got.take_error();
    for (const uint64_t& token : part) {
      Result<std::vector<UniqueFd>> one = fetch_part(client, std::span(&token, 1));
      if (!one && one.error().code != ENOENT) return one.take_error();
      fds.push_back(one ? std::move((*one)[0]) : UniqueFd());
    }
  }
  return fds;
}

}  // namespace outlive::client
