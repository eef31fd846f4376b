#include "luo/file_set.h"

#include <string.h>

#include <algorithm>
#include <unordered_set>

#include "base/fault.h"
#include "base/log.h"
#include "base/mutant.h"
#include "luo/arena_quota.h"
#include "luo/format.h"

namespace outlive::luo {

FileState Files::state_of(const abi::FileSlot& slot) {
  return {BorrowedFd(static_cast<int>(slot.fd)), slot.token, slot.data, slot.size};
}

FileHandler* Files::handler_of(const abi::FileSlot& slot) const {
  for (const auto& handler : *context_.handlers) {
    if (strncmp(handler->compatible(), slot.compatible, sizeof slot.compatible) == 0) {
      return handler.get();
    }
  }
  return nullptr;
}

namespace {

// For tests: a handler that says no where none of this version ever does, armed by its name:
// OUTLIVE_FAULTS="luo.can_preserve.outlive-opaque-v1:0=ENOENT" (base/fault.h).
int fault_of(const char* verb, const FileHandler& handler) {
  if (!faults_armed) [[likely]]
    return 0;
  return fault(fmt::format("luo.{}.{}", verb, handler.compatible()).c_str());
}

}  // namespace

Status Files::load() {
  std::vector<abi::FileSlot*> lost;
  Status status;
  identities_.reserve(context_.records->count(abi::PoolKind::kFile));
  context_.records->for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    const Session* session = sessions_.at(slot.session);
    if (session == nullptr) {
      lost.push_back(&slot);
      return;
    }
    FileHandler* handler = handler_of(slot);
    if (handler == nullptr) {
      const std::string_view wanted(slot.compatible,
                                    strnlen(slot.compatible, sizeof slot.compatible));
      status = fail(EPROTO, "session '{}' file {:#x}: no handler for '{}'", session->name,
                    slot.token, wanted);
      return;
    }
    if (slot.flb != 0 && !flbs_.belongs(slot.flb, handler->flb())) {
      status = fail(EUCLEAN, "session '{}' file {:#x}: its global state is not its handler's",
                    session->name, slot.token);
      return;
    }
    if (slot.device != 0 || slot.inode != 0) {
      identities_[{slot.device, slot.inode}] = context_.records->address_of(&slot);
    }
    ++by_uid_[session->uid];
    next_order_ = std::max(next_order_, slot.order + 1);
  });
  if (!status) return status;
  // A session of many files is removed first, its files in changes that follow.
  while (!lost.empty()) {
    Change change(*context_.records);
    for (; !lost.empty() && change.room() > 8; lost.pop_back()) {
      FileHandler* handler = handler_of(*lost.back());
      if (handler != nullptr && handler->flb() != nullptr && lost.back()->flb != 0) {
        flbs_.release(change, *handler->flb(), lost.back()->flb);
      }
      change.remove(*lost.back());
    }
    change.commit();
  }
  return {};
}

Status Files::verify() {
  Status status;
  context_.records->for_each<abi::FileSlot>([&](abi::FileSlot& slot) {
    if (!status) return;
    const auto wrong = [&](std::string_view why) {
      status = fail(EUCLEAN, "session '{}' file {:#x}: fd {} {}", sessions_.at(slot.session)->name,
                    slot.token, slot.fd, why);
    };
    if (slot.fd < 0 && slot.failed != 0) return;  // lost with the table before, and said so
    if (slot.fd < 0 || slot.fd > INT32_MAX) return wrong("is none");
    const BorrowedFd fd(static_cast<int>(slot.fd));
    if (slot.device != 0 || slot.inode != 0) {
      const Result<FileIdentity> found = context_.identify(fd);
      if (!found) return wrong("is " + found.error().message);
      if (*found != FileIdentity{slot.device, slot.inode}) return wrong("is another file");
      return;
    }
    const Result<FileFacts> facts = context_.classify_to_preserve(fd);
    if (!facts) return wrong("is " + facts.error().message);
    if (!handler_of(slot)->can_preserve(*facts)) {
      return wrong(fmt::format("is no file for '{}'", handler_of(slot)->compatible()));
    }
  });
  return status;
}

std::vector<BorrowedFd> Files::open_fds() const {
  std::vector<BorrowedFd> open;
  open.reserve(context_.records->count(abi::PoolKind::kFile));
  context_.records->for_each<abi::FileSlot>([&](const abi::FileSlot& slot) {
    if (slot.fd >= 0) open.emplace_back(static_cast<int>(slot.fd));
  });
  std::ranges::sort(open);
  return open;
}

// For the text of a refusal.
std::string Files::describe(BorrowedFd fd) const {
  const Result<FileFacts> facts = context_.classify(fd);
  return facts ? facts->detail : fmt::format("fd {}", fd.get());
}

Result<FileHandler*> Files::choose(BorrowedFd fd, const FileFacts& facts) const {
  for (const auto& handler : *context_.handlers) {
    if (handler->can_preserve(facts) && fault_of("can_preserve", *handler) == 0) {
      return handler.get();
    }
  }
  return fail(ENOENT, "no handler takes {}", describe(fd));
}

Result<Files::Preserving> Files::preserve(Change& change, Session& session,
                                          std::span<const NewFile> files) {
  // Every token is looked at before any fd: the kernel's order of checks.
  std::unordered_set<uint64_t> fresh;
  for (const NewFile& file : files) {
    if (session.files.find(file.token) != nullptr || !fresh.insert(file.token).second) {
      return fail(EEXIST, "session '{}': token {:#x} is used", session.name, file.token);
    }
  }
  if (count_of(session.uid) + files.size() > context_.limits_of(session.uid).files) {
    return fail(EDQUOT, "session '{}': uid {} has {} files, the limit is {}", session.name,
                session.uid, count_of(session.uid), context_.limits_of(session.uid).files);
  }
  TRY(context_.arena_quota->room(session.uid, files.size() * sizeof(abi::FileSlot))
          .context("session '{}'", session.name));
  Preserving batch(*this, session);
  batch.list_.reserve(files.size());
  for (const NewFile& file : files) {
    TRY(preserve_one(change, batch, file)
            .context("session '{}' token {:#x}", session.name, file.token));
  }
  return batch;
}

Status Files::preserve_one(Change& change, Preserving& batch, const NewFile& file) {
  if (const int code = fault("luo.preserve")) return fail(code, "injected");
  const FileFacts facts = TRY(context_.classify_to_preserve(file.fd));
  FileHandler* handler = TRY(choose(file.fd, facts));
  const bool exclusive = handler->exclusive(facts);
  const Identity identity{facts.device, facts.inode};
  if (exclusive && (identities_.contains(identity) || !batch.identities_.insert(identity).second)) {
    return fail(EBUSY, "{} is preserved already", describe(file.fd));
  }
  auto* slot = TRY(change.add<abi::FileSlot>());
  const Preserved preserved = TRY(handler->preserve(file.fd, facts));
  slot->session = batch.session_->address;
  slot->token = file.token;
  slot->fd = file.fd.get();
  slot->data = preserved.data;
  slot->size = preserved.size;
  slot->order = next_order_++;
  if (exclusive) {
    slot->device = facts.device;
    slot->inode = facts.inode;
  }
  strncpy(slot->compatible, handler->compatible(), sizeof slot->compatible - 1);
  if (handler->flb() != nullptr) {
    Result<uint64_t> held = flbs_.hold(change, *handler->flb());
    if (!held) {
      handler->unpreserve(state_of(*slot));
      return held.take_error();
    }
    slot->flb = *held;
  }
  batch.list_.push_back({slot, handler});
  return {};
}

Files::Preserving::~Preserving() {
  for (auto it = list_.rbegin(); it != list_.rend(); ++it) {
    it->handler->unpreserve(state_of(*it->slot));
    if (it->slot->flb != 0) files_->flbs_.abandon(*it->handler->flb(), it->slot->flb);
  }
}

void Files::Preserving::committed() {
  for (const One& one : list_) {
    session_->files.add(*one.slot);
    files_->context_.hold(BorrowedFd(static_cast<int>(one.slot->fd)));
    if (!mutant("quota-not-counted")) ++files_->by_uid_[session_->uid];
    if (one.slot->inode != 0) {
      files_->identities_[{one.slot->device, one.slot->inode}] =
          files_->context_.records->address_of(one.slot);
    }
  }
  list_.clear();
}

Result<BorrowedFd> Files::retrieve(Change& change, Session& session, uint64_t token) {
  abi::FileSlot* slot = session.files.find(token);
  if (slot == nullptr) return fail(ENOENT, "session '{}': no token {:#x}", session.name, token);
  if (slot->failed != 0) {
    return fail(static_cast<int>(slot->failed), "session '{}' token {:#x}: its retrieve failed",
                session.name, token);
  }
  FileHandler* handler = handler_of(*slot);
  Result<BorrowedFd> fd = fault("luo.retrieve") != 0 ? Result<BorrowedFd>(fail(EIO, "injected"))
                                                     : handler->retrieve(state_of(*slot));
  if (!fd) {
    // EAGAIN asks for another file first; anything else is the answer for ever.
    if (fd.error().code != EAGAIN) {
      change.set(slot->failed, static_cast<uint64_t>(fd.error().code));
    }
    return fd.take_error();
  }
  if ((slot->flags & abi::kFileRetrieved) == 0) {
    change.set(slot->flags, slot->flags | abi::kFileRetrieved);
  }
  return fd;
}

Files::Removing Files::remove(Change& change, Session& session, std::vector<abi::FileSlot*> files,
                              bool finish) {
  Removing batch;
  batch.context_ = &context_;
  batch.finish_ = finish;
  std::sort(files.begin(), files.end(),
            [](const auto* a, const auto* b) { return a->order > b->order; });
  for (abi::FileSlot* slot : files) {
    FileHandler* handler = handler_of(*slot);
    Removing::One one{state_of(*slot), handler, {}};
    if (slot->flb != 0) one.last = flbs_.release(change, *handler->flb(), slot->flb);
    batch.list_.push_back(one);
    session.files.remove(*slot);
    forget(*slot, session.uid);
    if (mutant("fd-closed-before-dying")) context_.release(one.state.fd);
    change.remove(*slot);
  }
  return batch;
}

void Files::forget(abi::FileSlot& slot, uint64_t uid) {
  if (slot.inode != 0) identities_.erase({slot.device, slot.inode});
  --by_uid_[uid];
}

void Files::Removing::committed() {
  for (const One& one : list_) {
    if (finish_) {
      one.handler->finish(one.state);
    } else {
      one.handler->unpreserve(one.state);
    }
    if (one.last.flb != nullptr) {
      finish_ ? one.last.flb->finish(one.last.data) : one.last.flb->unpreserve(one.last.data);
    }
    if (one.state.fd.valid()) context_->release(one.state.fd);
  }
  list_.clear();
  if (context_->kernel_format) drop_kernel_format(*context_);
}

Status Files::can_finish(const Session& session) const {
  for (const abi::FileSlot* slot : session.files.ordered()) {
    const FileHandler& handler = *handler_of(*slot);
    const int code = fault_of("can_finish", handler);
    const Status allowed =
        code != 0 ? Status(fail(code, "injected")) : handler.can_finish(state_of(*slot));
    if (!allowed) {
      return fail(EBUSY, "session '{}' token {:#x}: {}", session.name, slot->token,
                  allowed.error().message);
    }
  }
  return {};
}

std::vector<abi::FileSlot*> Files::ordered(const std::vector<Session*>& sessions) const {
  std::vector<abi::FileSlot*> files;
  for (const Session* session : sessions) {
    const auto list = session->files.ordered();
    files.insert(files.end(), list.begin(), list.end());
  }
  std::sort(files.begin(), files.end(),
            [](const auto* a, const auto* b) { return a->order < b->order; });
  return files;
}

std::vector<const abi::FileSlot*> Files::ordered_after(const std::vector<Session*>& sessions,
                                                       uint64_t after, size_t most) const {
  std::vector<const abi::FileSlot*> files;
  for (const Session* session : sessions) {
    size_t of_session = 0;
    session->files.each_after(after, [&](const abi::FileSlot& slot) {
      if (of_session++ == most) return false;
      files.push_back(&slot);
      return true;
    });
  }
  const size_t count = std::min(most, files.size());
  std::partial_sort(files.begin(), files.begin() + static_cast<ptrdiff_t>(count), files.end(),
                    [](const auto* a, const auto* b) { return a->order < b->order; });
  files.resize(count);
  return files;
}

Status Files::prepare(const std::vector<Session*>& sessions) {
  const std::vector<abi::FileSlot*> files = ordered(sessions);
  for (size_t done = 0; done < files.size();) {
    Change change(*context_.records);
    for (; done < files.size() && change.room() > 2; ++done) {
      abi::FileSlot& slot = *files[done];
      const Preserved now = TRY(handler_of(slot)->prepare(state_of(slot)));
      if (now.data != slot.data) change.set(slot.data, now.data);
      if (now.size != slot.size) change.set(slot.size, now.size);
    }
    if (!change.empty()) change.commit();
  }
  for (const Flbs::Held& held : flbs_.held_by(files)) TRY(held.flb->prepare(held.slot->data));
  return {};
}

Status Files::freeze(const std::vector<Session*>& sessions) {
  const std::vector<abi::FileSlot*> files = ordered(sessions);
  for (size_t i = 0; i < files.size(); ++i) {
    FileState state = state_of(*files[i]);
    const int code = fault("luo.freeze");
    Status frozen =
        code != 0 ? Status(fail(code, "injected")) : handler_of(*files[i])->freeze(state);
    if (frozen) continue;
    while (i-- > 0) {
      FileState back = state_of(*files[i]);
      handler_of(*files[i])->unfreeze(back);
    }
    return std::move(frozen).context("freeze");
  }
  const std::vector<Flbs::Held> held = flbs_.held_by(files);
  for (size_t i = 0; i < held.size(); ++i) {
    Status frozen = held[i].flb->freeze(held[i].slot->data);
    if (frozen) continue;
    while (i-- > 0) held[i].flb->cancel(held[i].slot->data);
    unfreeze_files(files);
    return std::move(frozen).context("freeze");
  }
  return {};
}

void Files::unfreeze(const std::vector<Session*>& sessions) {
  const std::vector<abi::FileSlot*> files = ordered(sessions);
  const std::vector<Flbs::Held> held = flbs_.held_by(files);
  for (auto it = held.rbegin(); it != held.rend(); ++it) it->flb->cancel(it->slot->data);
  unfreeze_files(files);
}

void Files::unfreeze_files(const std::vector<abi::FileSlot*>& files) {
  for (auto it = files.rbegin(); it != files.rend(); ++it) {
    if (mutant("cancel-forgets-a-file") && it == files.rbegin()) continue;
    FileState state = state_of(**it);
    handler_of(**it)->unfreeze(state);
  }
}

uint64_t Files::count_of(uint64_t uid) const {
  const auto found = by_uid_.find(uid);
  return found == by_uid_.end() ? 0 : found->second;
}

uint64_t Files::fd_data_query(std::string_view compatible, std::span<DataEntry> out) {
  std::vector<Session*> all;
  sessions_.for_each([&](Session& session) { all.push_back(&session); });
  uint64_t total = 0;
  for (const abi::FileSlot* slot : ordered(all)) {
    if (std::string_view(slot->compatible, strnlen(slot->compatible, sizeof slot->compatible)) !=
        compatible) {
      continue;
    }
    if (total < out.size()) {
      const Session* session = sessions_.at(slot->session);
      out[total] = {session->slot->header.id, slot->token, slot->data};
    }
    ++total;
  }
  return total;
}

}  // namespace outlive::luo
