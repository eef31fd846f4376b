// The outlive_memory_* functions that need no connection; include/outlive/outlive.h says how to use
// them. The others (create, preview, open) are with the sessions.
#include <errno.h>

#include "client/last_error.h"
#include "client/memory.h"
#include "outlive/outlive.h"

using outlive::Result;
using outlive::Status;
using outlive::UniqueFd;
using outlive::client::Memory;
using outlive::client::report;

namespace {
int answer(const Status& status) {
  return status ? 0 : report(status.error());
}
}  // namespace

int outlive_memory_from_fd(int fd, const char* name, uint64_t size, uint64_t limit, int create,
                           outlive_memory** memory) {
  UniqueFd file(fd);
  *memory = nullptr;
  if (create && name == nullptr) return report(outlive::fail(EINVAL, "the region has no name"));
  Result<std::unique_ptr<Memory>> made =
      create ? Memory::create(std::move(file), name, size, limit) : Memory::attach(std::move(file));
  if (!made) return report(made.error());
  std::string found = (*made)->name();
  if (name != nullptr && found != name) {
    return report(outlive::fail(EINVAL, "the region's name is '{}', not '{}'", found, name));
  }
  *memory = new outlive_memory{made.take(), std::move(found)};
  return 0;
}

void outlive_memory_close(outlive_memory* memory) {
  delete memory;
}

const char* outlive_memory_name(const outlive_memory* memory) {
  return memory->name.c_str();
}
int outlive_memory_fd(const outlive_memory* memory) {
  return memory->memory->file().get();
}
void* outlive_memory_base(const outlive_memory* memory) {
  return memory->memory->base();
}
uint64_t outlive_memory_size(const outlive_memory* memory) {
  return memory->memory->size();
}

int outlive_memory_writable(outlive_memory* memory) {
  return answer(memory->memory->make_writable());
}

outlive_offset outlive_memory_allocate(outlive_memory* memory, uint64_t bytes) {
  const Result<uint64_t> offset = memory->memory->allocate(bytes);
  if (offset) return *offset;
  report(offset.error());
  return 0;
}

int outlive_memory_free(outlive_memory* memory, outlive_offset offset) {
  return answer(memory->memory->free(offset));
}

uint64_t outlive_memory_usable(const outlive_memory* memory, outlive_offset offset) {
  return memory->memory->usable(offset);
}

outlive_offset outlive_memory_root(const outlive_memory* memory) {
  return memory->memory->root();
}

void outlive_memory_set_root(outlive_memory* memory, outlive_offset root) {
  answer(memory->memory->set_root(root));
}

void outlive_memory_enter(outlive_memory* memory) {
  memory->memory->enter();
}
void outlive_memory_leave(outlive_memory* memory) {
  memory->memory->leave();
}

int outlive_memory_consistent(const outlive_memory* memory) {
  return memory->memory->consistent() ? 1 : 0;
}

// Stays inconsistent, with the reason in outlive_error(), when check() finds something.
void outlive_memory_repaired(outlive_memory* memory) {
  answer(memory->memory->repaired());
}

void outlive_memory_stat(const outlive_memory* memory, outlive_memory_stats* stats) {
  const Memory& region = *memory->memory;
  *stats = {region.size(), region.allocated(), region.blocks(), region.epoch()};
}

int outlive_memory_check(const outlive_memory* memory) {
  return answer(memory->memory->check());
}
