// outlive kexec: into another kernel, with what outlived keeps. Everything that could keep outlived
// from serving, or that it may not do (its worker can neither load a kernel nor reboot), is done
// here, by descriptors fetched from it:
//
//   look, plan -> load the kernel -> PRESERVE_FD each file, reserve room -> begin: the barrier over
//   all services -> frozen: write the arena's image -> reboot(2)
//                                                   or: sessions into systemd's fd store ->
//                                                   systemctl kexec
//
// Unhappy path: any failure, also of reboot(2): what was preserved is given up with this process,
// the loaded kernel is unloaded, outlived cancels and everything serves again. Not after systemctl
// kexec has gone well: systemd is on its way then, and what fails there is lost.
#include <linux/kexec.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <unordered_set>

#include "abi/timeline.h"
#include "base/clock.h"
#include "base/sys.h"
#include "cli/exit_codes.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/kexec_plan.h"
#include "cli/kexec_steps.h"
#include "cli/kexec_target.h"
#include "cli/systemd_store.h"
#include "cli/verbs.h"
#include "machine/kernel/carry.h"
#include "machine/kernel/foreign_fd.h"
#include "machine/kernel/kexec_mark.h"
#include "machine/process/fd_table.h"

namespace outlive::cli {
namespace {

struct KexecOptions {
  std::string kernel;
  std::string initrd;
  std::string cmdline;
  bool reuse_cmdline = false;
  bool dry_run = false;
  bool warm_up = false;
  bool trust_kernel = false;
  std::string running_kernel;
  std::string policy = "fail";
  std::string via = "auto";
};

constexpr timespec kPause{0, 5'000'000};            // before it is asked again
constexpr uint64_t kMostFrozenNs = 20'000'000'000;  // outlived goes on after 30 s
constexpr size_t kMostBars = 16;                    // of sessions, in the timeline
constexpr uint64_t kRoomBytes = 4 << 20;            // for what comes until the freeze: 27,000 files

int64_t now_s() {
  return static_cast<int64_t>(system_clock().realtime_ns() / 1'000'000'000);
}

Result<std::string> next_cmdline(const KexecOptions& options, const machine::KexecMark& mark) {
  std::string line = options.cmdline;
  if (options.reuse_cmdline) line = TRY(sys::read_file("/proc/cmdline"));
  return machine::with_mark(line, mark);
}

Result<KexecTarget> look_at_target(const KexecOptions& options, const machine::KexecMark& mark) {
  KexecTarget target{options.kernel, {}, {}};
  target.image = TRY(read_kernel_image(options.kernel));
  const RunningKernel running = TRY(running_kernel(options.running_kernel));
  const bool no_line = options.dry_run && options.cmdline.empty() && !options.reuse_cmdline;
  std::string cmdline = running.cmdline;
  if (!no_line) {
    cmdline = TRY(next_cmdline(options, mark));
    TRY(fits_command_line(target.image, cmdline));
  }
  if (const auto why = why_not_target(target.image, cmdline, running)) target.doubt = clean(*why);
  return target;
}

// The kernel to come; unloaded unless it is booted.
class LoadedKernel {
 public:
  static Result<LoadedKernel> load(const KexecOptions& options, const std::string& cmdline) {
    const UniqueFd image = TRY(sys::open(options.kernel, O_RDONLY));
    UniqueFd initrd;
    unsigned long flags = options.initrd.empty() ? KEXEC_FILE_NO_INITRAMFS : 0ul;
    if (!options.initrd.empty()) initrd = TRY(sys::open(options.initrd, O_RDONLY));
    if (::syscall(SYS_kexec_file_load, image.get(), initrd.get(), cmdline.size() + 1,
                  cmdline.c_str(), flags) != 0) {
      return fail_errno(options.kernel + ": kexec_file_load");
    }
    return LoadedKernel();
  }
  // Somebody else boots it.
  void keep() { loaded_ = false; }
  LoadedKernel(LoadedKernel&& other) noexcept : loaded_(std::exchange(other.loaded_, false)) {}
  ~LoadedKernel() {
    if (loaded_) ::syscall(SYS_kexec_file_load, -1, -1, 0ul, nullptr, KEXEC_FILE_UNLOAD);
  }

 private:
  LoadedKernel() = default;
  bool loaded_ = true;
};

class Kexec {
 public:
  Kexec(Cli& cli, const KexecOptions& options) : cli_(cli), options_(options) {}

  Result<int> run() {
    id_ = TRY(new_request_id());
    const Json looked = TRY(ask("look"));
    TRY(read(looked));
    TRY(choose_way(looked));
    const Json told = TRY(cli_.call("Status", Json::object()));
    Fields status(told);
    mark_ = {now_s(), status.text("runtime_dir")};
    TRY(status.check());
    if (options_.warm_up) return warm_up();
    if (!options_.kernel.empty()) plan_.target = TRY(look_at_target(options_, mark_));
    const bool lost = loses_any();
    if (options_.dry_run || (lost && options_.policy == "fail")) return show(lost);
    if (is_doubted()) return kExitWouldLose;
    for (const KexecFile& file : plan_.files) tell_if_lost(file);
    for (const std::string& name : plan_.direct) {
      if (systemd_) cli_.warn(fmt::format("direct session '{}': left behind", name));
    }
    if (systemd_) TRY(systemd_->check_room(kernel_sessions(plan_)));
    steps_.begin("load");
    const std::string cmdline = TRY(next_cmdline(options_, mark_));
    LoadedKernel loaded = TRY(LoadedKernel::load(options_, cmdline));
    TRY(preserve());
    if (machine::is_stale(mark_, now_s())) {
      return fail(ETIMEDOUT, "preserving took too long: the next try has less to do");
    }
    steps_.begin("sync");
    ::sync();
    steps_.end();
    const Json frozen = TRY(freeze());
    if (frozen.is_null()) return kExitRolledBack;
    Status went = go(frozen);
    if (went) {  // only systemd takes its time
      loaded.keep();
      return kExitOk;
    }
    const Result<Json> cancelled = ask("cancel");
    if (!cancelled) cli_.warn("the cancel: " + cancelled.error().text());
    return went.take_error();
  }

 private:
  Result<Json> ask(const char* action) {
    return cli_.call("Kexec", {{"request_id", id_}, {"action", action}});
  }

  // The copy of the arena that this reply names.
  Result<UniqueFd> arena_of(const Json& reply) {
    Fields f(reply);
    pid_ = static_cast<pid_t>(f.number("pid"));
    device_ = static_cast<int>(f.number("liveupdate_fd"));
    take_over_steady_offset(static_cast<uint64_t>(f.number("steady_offset_ns")));
    const auto fd = static_cast<int>(f.number("arena_fd"));
    TRY(f.check());
    return machine::foreign_fd(pid_, fd);
  }

  // systemd's way, where it is prepared for it: it stops all services, and unmounts.
  Status choose_way(const Json& reply) {
    if (options_.via == "reboot") {
      plan_.way.why = "--via reboot";
      return {};
    }
    Fields f(reply);
    const auto keeper = static_cast<pid_t>(f.number("pid_keeper"));
    const std::string socket = f.maybe_text("notify_socket").value_or("");
    TRY(f.check());
    Result<SystemdStore> found = SystemdStore::find(keeper, socket);
    if (!found && (options_.via == "systemd" || found.error().code != EOPNOTSUPP)) {
      return found.take_error();
    }
    if (!found) {
      plan_.way.why = found.error().message;
      return {};
    }
    systemd_ = found.take();
    plan_.way.unit = systemd_->unit();
    return {};
  }

  bool loses_any() const {
    return (systemd_ && !plan_.direct.empty()) ||
           std::ranges::any_of(plan_.files, [](const auto& one) { return one.lost; });
  }

  Status read(const Json& reply) {
    const UniqueFd arena = TRY(arena_of(reply));
    const KexecImage image = TRY(KexecImage::copy_of(arena));
    plan_ = read_kexec_plan(image);
    return open_files(plan_, pid_);
  }

  int show(bool lost) {
    if (cli_.json) {
      cli_.print_json(kexec_plan_json(plan_));
    } else {
      cli_.print(kexec_plan_text(plan_));
    }
    if (lost && !options_.dry_run) {
      cli_.warn("refused: files would be lost (--policy skip goes on without them)");
    }
    return is_doubted() || lost ? kExitWouldLose : kExitOk;
  }

  // Says why, and what would be lost; false where somebody vouches for the kernel.
  bool is_doubted() {
    if (!plan_.target || plan_.target->doubt.empty()) return false;
    cli_.warn(fmt::format("{}: {}. {} would be lost with all else that outlived keeps; {}",
                          options_.kernel, plan_.target->doubt, kexec_loss_text(plan_),
                          options_.trust_kernel ? "--trust-kernel: not stopped by that"
                                                : "nothing is done (--trust-kernel goes on)"));
    return !options_.trust_kernel;
  }

  void tell_if_lost(const KexecFile& file) {
    if (!file.lost) return;
    cli_.warn(fmt::format("session '{}' token {:#x}: {}, left behind", file.session_name,
                          file.token, file.kind));
  }

  // What PRESERVE_FD does to a file's memory the first time (it moves the pages, and fills the
  // holes) stays done when the file is given up again.
  Result<int> warm_up() {
    TRY(preserve());
    carry_.reset();
    cli_.print("and given up again: the next time takes less\n");
    return kExitOk;
  }

  // The heavy part: everything still serves.
  Status preserve() {
    UniqueFd device = TRY(machine::foreign_fd(pid_, device_));
    carry_ = TRY(machine::Carry::begin(std::move(device)));
    const uint64_t begun = system_clock().now_ns();
    int64_t carried = 0;
    uint64_t session = 0;
    size_t bars = 0;
    for (KexecFile& file : plan_.files) {
      if (file.lost) continue;
      if (std::exchange(session, file.session) != file.session && bars++ < kMostBars) {
        steps_.begin(bars == kMostBars ? "preserve the rest" : "preserve " + file.session_name);
      }
      Status added = carry_->add(file.id, file.fd);
      if (!added && added.error().code == ENOENT && options_.policy == "skip") {
        file.lost = true;
        cli_.warn(fmt::format("session '{}' token {:#x}: the kernel doesn't take it, skipped",
                              file.session_name, file.token));
        continue;
      }
      TRY(std::move(added).context("session '{}' token {:#x}", file.session_name, file.token));
      ++carried;
    }
    const auto took = static_cast<int64_t>((system_clock().now_ns() - begun) / 1000);
    cli_.print(fmt::format("{} preserved with the kernel in {}\n", count_text(carried, "file"),
                           duration_text(took)));
    steps_.begin("preserve room");
    return carry_->reserve(plan_.image_bytes + plan_.image_bytes / 4 + kRoomBytes,
                           plan_.files.size());
  }

  // Null: somebody said no, and everything serves again.
  Result<Json> freeze() {
    for (;;) {
      Json reply = TRY(ask("begin"));
      Fields f(reply);
      if (f.flag("frozen")) {
        TRY(f.check());
        frozen_ns_ = system_clock().now_ns();
        return reply;
      }
      for (const Json& one : f.array("services")) {
        Fields s(one);
        if (s.text("result") != "rolled back") continue;
        cli_.warn(fmt::format("cancelled, everything serves: {}",
                              s.maybe_text("reason").value_or("no reason was given")));
        return Json();
      }
      TRY(f.check());
      ::nanosleep(&kPause, nullptr);
    }
  }

  Status go(const Json& frozen) {
    const UniqueFd arena = TRY(arena_of(frozen));
    steps_.begin(abi::kTimelineWrite);
    const KexecImage image = TRY(KexecImage::copy_of(arena));
    std::unordered_set<uint64_t> known;
    for (const KexecFile& file : plan_.files) known.insert(file.id);
    KexecPlan late = read_kexec_plan(image, known);
    TRY(open_files(late, pid_));
    for (const KexecFile& file : late.files) {
      // A service preserves its connections when it is asked to prepare.
      tell_if_lost(file);
      if (file.lost && options_.policy == "skip") continue;
      return fail(EAGAIN, "session '{}' token {:#x} was preserved meanwhile: try again",
                  file.session_name, file.token);
    }
    std::vector<abi::CarryFile> facts;
    for (const KexecFile& file : plan_.files) {
      if (file.lost) continue;
      const abi::CarryFile one = TRY(machine::facts_to_carry(file.id, file.fd));
      facts.push_back(one);
    }
    if (systemd_) steps_.note(abi::kTimelineManager);
    const wire::RequestId request = TRY(wire::request_id_param(Json{{"request_id", id_}}));
    steps_.write_into(image.records(), request);
    TRY(image.copy_to(carry_->image()));
    TRY(carry_->write(std::move(facts), image.bytes(), system_clock()));
    if (system_clock().now_ns() - frozen_ns_ > kMostFrozenNs) {
      return fail(ETIMEDOUT, "it took too long: nobody serves meanwhile");
    }
    if (systemd_) return hand_over();
    TRY(still_frozen("check"));
    ::reboot(RB_KEXEC);
    return fail_errno("reboot into the next kernel");
  }

  // systemd, which stops us, too, shall not do so in the middle of it.
  Status hand_over() {
    sigset_t stops;
    sigemptyset(&stops);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&stops, number);
    ::sigprocmask(SIG_BLOCK, &stops, nullptr);
    TRY(still_frozen("hand over"));
    TRY(systemd_->put(carry_->sessions()));
    cli_.print(
        "handing over to systemd: it stops all services and goes into the next kernel, and that "
        "can't be cancelled any more\n");
    TRY(systemctl_kexec());
    // It may have been stopped already, and that is as good.
    const Result<Json> told = ask("handed over");
    if (!told && told.error().code == EPROTO) {
      return fail(ENOTRECOVERABLE, "outlived has cancelled it meanwhile, and systemd goes on: {}",
                  told.error().message);
    }
    return {};
  }

  // Not where a worker of outlived died meanwhile: the next one has cancelled, and serves.
  Status still_frozen(const char* action) {
    const Json reply = TRY(ask(action));
    Fields f(reply);
    const bool frozen = f.flag("frozen");
    TRY(f.check());
    if (frozen) return {};
    return fail(ECANCELED, "outlived has cancelled it meanwhile: everything serves");
  }

  Cli& cli_;
  const KexecOptions& options_;
  std::string id_;
  machine::KexecMark mark_;
  pid_t pid_ = 0;
  int device_ = -1;
  KexecPlan plan_;
  std::optional<SystemdStore> systemd_;
  std::optional<machine::Carry> carry_;
  uint64_t frozen_ns_ = 0;
  KexecSteps steps_;
};

Result<int> run_kexec(Cli& cli, const KexecOptions& options) {
  if (::geteuid() != 0) return fail(EPERM, "only root may replace the kernel");
  const bool goes = !options.dry_run && !options.warm_up;
  if (options.warm_up && (options.dry_run || !options.kernel.empty())) {
    return cli.usage("--warm-up goes into no kernel: without --kernel, --dry-run");
  }
  if (options.kernel.empty() && goes) return cli.usage("--kernel IMAGE is missing");
  if (options.cmdline.empty() != options.reuse_cmdline && goes) {
    return cli.usage("either --cmdline or --reuse-cmdline");
  }
  if (options.policy != "fail" && options.policy != "skip") {
    return cli.usage("--policy fail or --policy skip: no kind of file crosses in a lesser form");
  }
  if (options.via != "auto" && options.via != "systemd" && options.via != "reboot") {
    return cli.usage("--via auto, --via systemd or --via reboot");
  }
  // Each file and each session of the kernel's is open here, as in outlived: that many more than is
  // usual.
  const machine::RaisedFdLimit raised;
  return Kexec(cli, options).run();
}

}  // namespace

void add_kexec(CLI::App& app, Cli& cli) {
  CLI::App* verb = app.add_subcommand("kexec", "Into another kernel, with all that is kept");
  auto options = std::make_shared<KexecOptions>();
  verb->add_option("--kernel", options->kernel, "The kernel's image")->type_name("FILE");
  verb->add_option("--initrd", options->initrd, "Its initramfs")->type_name("FILE");
  verb->add_option("--cmdline", options->cmdline, "Its command line")->type_name("TEXT");
  verb->add_flag("--reuse-cmdline", options->reuse_cmdline, "The running kernel's command line");
  verb->add_option("--policy", options->policy,
                   "What becomes of files that can't cross: fail (nothing is done), skip")
      ->type_name("POLICY");
  verb->add_option("--via", options->via,
                   "Who replaces the kernel: systemd (systemctl kexec), reboot (reboot(2)), auto")
      ->type_name("WAY");
  verb->add_option("--running-kernel", options->running_kernel,
                   "The running kernel's image, to compare with (default: /boot/vmlinuz-RELEASE)")
      ->type_name("FILE");
  verb->add_flag("--trust-kernel", options->trust_kernel,
                 "Also a kernel that might lose everything, by what is known of it");
  verb->add_flag(
      "--warm-up", options->warm_up,
      "Only preserves memory once, and gives it up: the kexec's own time is then shorter");
  verb->add_flag("--dry-run", options->dry_run, "Only say what would cross and be lost");
  add_json_option(*verb, cli);
  verb->footer(R"(
Needs a kernel with the Live Update Orchestrator, and an outlived that has /dev/liveupdate (outlive
status: machine kernel). Files are preserved with the kernel while everything serves; then every
service is asked, and one that says no cancels it for all (exit code 3). So does any failure, also of
the last step: everything serves again. The next outlived is started by the next kernel's init; it
adopts what came.

Where systemd (261 or newer) runs outlived, and its unit has FileDescriptorStorePreserve=yes, it carries
the kernel's sessions through its own shutdown: services are asked and frozen, then systemctl kexec
stops everything, and from there on it can't be cancelled. Else, and with --via reboot, this command
calls reboot(2): nothing is stopped or unmounted.

A kernel that takes nothing over would lose everything. So IMAGE is looked into: it needs the Live
Update Orchestrator, in the very formats (kho-vN, luo-vN, memfd-vN) that the running kernel's image
has, and kho= and liveupdate= as on the running command line. One that can't be looked into (bzImages
packed with LZ4, gzip, xz or zstd, ELF files and arm64 Images can) has to be the running kernel again.
Else it is refused (exit code 4) and what would be lost is said; --trust-kernel goes on all the same.

Examples:
  outlive kexec --dry-run
  outlive kexec --warm-up         hours before, or from a timer: memory that was preserved once takes
                                  a fraction of the time at the kexec
  outlive kexec --kernel /boot/vmlinuz --initrd /boot/initrd.img --reuse-cmdline)");
  verb->callback(
      [&cli, options] { cli.verb = [&cli, options] { return run_kexec(cli, *options); }; });
}

}  // namespace outlive::cli
