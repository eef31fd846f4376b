// How each kind of file crosses an update of each scope: ONE table, kind x scope. The plan, the
// handlers' survival() and `outlive plan --pid` all read it.
//
// keep: the open file itself is held. recreate: its state is saved and a new file is made from it
// (needed for kexec). In this version recreate is not built: the table says what it would save,
// and what could only be recreated counts as lost.
#pragma once

#include <array>
#include <span>
#include <string>

#include "abi/records.h"
#include "luo/file_handler.h"
#include "luo/state.h"

namespace outlive::files {

enum class Way : uint8_t {
  kKeep,
  kRecreate,
  kByKernel,  // the kernel's own LUO carries it
  kNo,
};

inline constexpr bool kRecreateBuilt = false;

struct SurvivalRow {
  luo::FileKind kind;
  const char* name;  // for people: "memfd", "TCP listener"
  Way service;
  Way daemon;
  Way host;
  Way kernel;
  const char* kernel_text;  // what recreate would save, or why nothing gets it over a kexec
};

// Every row; each FileKind has one.
std::span<const SurvivalRow> survival_table();
const SurvivalRow& survival_row(luo::FileKind kind);

struct Crossing {
  Way way = Way::kNo;
  bool lost = true;  // an update of this scope would lose the file
  std::string text;  // "keep", "recreate: not in this version; would save its address ..."
};
// As the row says, but for what this very file can't do (a memfd of huge pages over a kexec).
Crossing crossing(const luo::FileFacts& facts, luo::Scope scope);
// The widest scope that the file crosses without loss.
abi::SurvivalClass survival_class(const luo::FileFacts& facts);

// service, daemon, host, kernel: the order of SurveyedFile::crossings.
inline constexpr std::array kScopes = {luo::Scope::kService, luo::Scope::kDaemon, luo::Scope::kHost,
                                       luo::Scope::kKernel};
// "keep", "recreate", "by the kernel", "no"
const char* name_of(Way way);
// As operators read it: "keep", "recreate", "by kernel", "lost".
const char* text_of(const Crossing& crossing);

}  // namespace outlive::files
