// DOC: the operators' side, Varlink interface "org.outlive.Orchestrator" on control.sock.
// The ABI may change, if the change only adds methods, types, errors or nullable fields; anything
// else takes a new interface name. Unknown fields of a reply are skipped by who reads it.
//
// Varlink is JSON objects over a Unix stream socket, each ended by one NUL byte (wire/varlink.h):
//
//   outlive                                       outlived
//     | {"method": "...", "parameters": {...}}  -->  |
//     | <-- {"parameters": {...}, "continues": true} |   only for a call with "more": true
//     | <-- {"parameters": {...}}                    |   or {"error": "...", "parameters": {...}}
//
// What holds for all methods:
//   - u64 ids, tokens and addresses are strings of lower case hex digits without prefix. Sizes,
//     counts, pids and times are ints (below 2^53). Durations are microseconds (_us). Points in
//     time are RFC 3339 strings in UTC; inside a timeline they are microseconds since its start.
//   - Calls that change something carry `request_id`, 32 hex digits chosen by the caller: the same
//     id again gives the same answer and does nothing more. A client that lost its connection in
//     the middle connects again and repeats the call with the same id.
//   - Lists come in parts: when `next` is there, ask again with `after` = that. Every reply stays
//     below 1 MiB.
//   - Errors carry the errno and one line that names the thing and the remedy. ESTALE: outlived
//     holds inherited state that it refused, or all it has because its worker died too often. The
//     other rules: org.varlink.service.InvalidParameter names the field, MethodNotFound the method.
#pragma once

namespace outlive::abi {

inline constexpr char kOrchestratorInterface[] = "org.outlive.Orchestrator";

inline constexpr char kOrchestratorVarlink[] =
    R"varlink(# outlive: live updates of services, of the orchestrator and of the kernel
interface org.outlive.Orchestrator

# One descriptor, and what becomes of it. `crosses`: keep (the open file itself is kept), recreate,
# by kernel, lost. `survival`: the widest scope it outlives: none, service, daemon, host, kernel.
# `token` is there for a preserved file, `fd` for one of a process that was asked for by pid.
type PlanFile (
  session: ?string,
  token: ?string,
  fd: ?int,
  kind: string,
  detail: string,
  survival: string,
  crosses: string,
  note: string
)

# `direction`: outgoing or incoming. `claimed`: somebody holds its fd. `orphaned`: since when not.
# `lease_ends`: when it is given up if nobody claims it; null: somebody holds it, or never.
# `internal`: outlived's own, with the descriptors that a service stored by sd_notify.
# `direct`: its files are in a session of the kernel's own, which its client has.
type Session (
  id: string,
  name: string,
  uid: int,
  service: ?string,
  generation: int,
  direction: string,
  claimed: bool,
  linger: bool,
  direct: bool,
  internal: bool,
  files: int,
  created: string,
  orphaned: ?string,
  lease_ends: ?string
)

# `kind` is the handler's compatible string. `failed`: errno of a retrieve that failed, 0: none.
type File (
  session: string,
  session_id: string,
  token: string,
  order: int,
  kind: string,
  detail: string,
  survival: string,
  size: int,
  retrieved: bool,
  failed: int
)

# `state`: stopped, starting, running, stopping, failed, backoff. `last_exit`: how the last process
# ended, for people ("exit status 3", "killed by SIGSEGV"). `update`: the one that is going on.
type Service (
  id: string,
  name: string,
  uid: int,
  gid: int,
  state: string,
  ready: bool,
  notify: bool,
  restart: string,
  generation: int,
  pid: int,
  uptime_us: int,
  updates: int,
  rollbacks: int,
  restarts: int,
  last_exit: ?string,
  update: ?string,
  sessions: int,
  files: int,
  listen: []string,
  argv: []string,
  can_rollback: bool
)

# `result`: running, updated, rolled back, finish failed (committed, but it stays in state updated: see
# Status). Of outlived itself, for who may ask for one: the id is "outlived-NUMBER", the service
# "outlived", `result` may also be refused, versions stand for generations (0), and `step` while it is
# running is rehearsal, stop, exec or ready.
type UpdateSummary (
  update: string,
  service: string,
  state: string,
  step: string,
  result: string,
  reason: ?string,
  started: string,
  blackout_us: ?int,
  from_generation: int,
  to_generation: int,
  from_version: ?string,
  to_version: ?string
)

# Of an update of the host. `result`: running, updated, rolled back, refused (then the services were
# started anew by the one that runs), kept (nobody wanted to replace it, or all was cancelled). `step`
# while it is running: rehearsal, waiting, stop, exec, ready.
type OutlivedSummary (
  result: string,
  step: ?string,
  reason: ?string,
  from_version: ?string,
  to_version: ?string,
  pause_us: ?int
)

# Times are microseconds since the start of the update; `end_us` null: a point, or not over yet.
type TimelineEntry (who: string, what: string, start_us: int, end_us: ?int)

# A named region that keeps its address over every update.
type Region (name: string, start: string, size: int)

# Starts a service and keeps it running. argv[0] is an absolute path, here and in Update.
# `env`: "NAME=VALUE", the whole environment. `listen`:
# "[NAME=]tcp:HOST:PORT", "[NAME=]udp:HOST:PORT" or "[NAME=]unix:PATH", handed over as LISTEN_FDS in
# this order. `restart`: no, on-failure, always. `notify`: it says READY=1 on NOTIFY_SOCKET.
# `policy` for a file that would not survive an update: fail, skip, degrade. Times 0: the default.
# With `more` there is a reply whenever something changes; the last one has state "running". Exits
# at once or never gets ready: Failed, with the last lines of its log.
method Run(
  request_id: string,
  name: string,
  argv: []string,
  env: []string,
  cwd: string,
  listen: []string,
  restart: string,
  notify: bool,
  ready_timeout_ms: int,
  stop_timeout_ms: int,
  policy: string
) -> (service: string, pid: int, state: string, waiting_for: ?string, elapsed_us: ?int)

# Replaces a service by its next version. What is null stays as it is; the program is looked up
# again, so a new binary at the same path is the next version. With `more`: a reply whenever step or
# waiting_for changes, the last one has `result`: "updated" or "rolled back" (with the reason).
# Refused: it would lose files, and the policy is fail. Busy: an update of it is going on.
method Update(
  request_id: string,
  name: string,
  argv: ?[]string,
  env: ?[]string,
  cwd: ?string,
  ready_timeout_ms: ?int,
  freeze_timeout_ms: ?int,
  policy: ?string
) -> (
  update: string,
  step: ?string,
  state: ?string,
  waiting_for: ?string,
  elapsed_us: ?int,
  result: ?string,
  reason: ?string,
  blackout_us: ?int,
  files: ?int,
  sessions: ?int,
  from_generation: ?int,
  to_generation: ?int,
  total_us: ?int
)

# An update to the version before, from the executable that was kept open. Replies as Update's.
method Rollback(request_id: string, name: string) -> (
  update: string,
  step: ?string,
  state: ?string,
  waiting_for: ?string,
  elapsed_us: ?int,
  result: ?string,
  reason: ?string,
  blackout_us: ?int,
  files: ?int,
  sessions: ?int,
  from_generation: ?int,
  to_generation: ?int,
  total_us: ?int
)

# Replaces outlived itself by another binary (null: the file at the path of the one that runs).
# It is rehearsed first, on copies; until it serves, any failure brings the old one back. With `more`:
# a reply a step (rehearsal, stop, exec, ready). The last one has `result`: "updated", or
# "rolled back" with the reason. `pause_us`: how long no request was answered. Refused: the rehearsal
# said no, and nothing has happened. Busy: one is going on, or this file has failed too often (`force`
# tries it all the same). Answered also while everything is held because the worker died too often.
# For root and outlived's own user.
method UpdateOutlived(request_id: string, binary: ?string, force: ?bool) -> (
  step: ?string,
  elapsed_us: ?int,
  result: ?string,
  reason: ?string,
  pause_us: ?int,
  from_version: ?string,
  to_version: ?string,
  number: ?int,
  total_us: ?int
)

# Makes outlived's records of the newest version, which an older outlived can't read: it is refused by
# its rehearsal then. May be repeated. Busy: the binary before may still come back.
method FinalizeFormat(request_id: string) -> (format: string, changed: bool)

# What an update of a service would keep and lose, or what becomes of the descriptors of any process
# (pid). `scope`: service (default), daemon, host, kernel. `would`: one line that sums it up. In parts:
# `lost` and `would` count the files told so far, so the last part's are of all. A file that comes or
# goes between two parts may be counted or not.
method Plan(name: ?string, pid: ?int, scope: ?string, after: ?string) -> (
  files: []PlanFile,
  participants: []string,
  lost: int,
  would: string,
  next: ?string
)

# `state`: undefined, normal, prepared, frozen, updated. `refused`: why the inherited state was
# refused (then it is held, and most other calls answer Refused with ESTALE). `held`: why everything
# is held all the same: the worker died too often. `finish_failed`: whose update broke an invariant at
# its finish: it stays in state updated, and takes no further one. `log`: its last words. `self_updates`,
# `format`: version of the records; `leaks_...`, `orphans_closed`: what attaches gave back so far.
# `self_rollbacks`: of outlived itself; `self_update_failed`: why the last one came to nothing.
# `machine`: what carries it over an update: "kernel" (this outlived has /dev/liveupdate), or "process"
# and why not the other.
# `fd_store`: what the service manager's fd store holds of it, null: it is not used.
method Status() -> (
  state: string,
  in_progress: bool,
  live_update_number: int,
  refused: ?string,
  held: ?string,
  finish_failed: ?string,
  runtime_dir: string,
  version: string,
  pid_keeper: int,
  pid_worker: int,
  pid_spare: int,
  worker_deaths: int,
  format: ?string,
  leaks_reclaimed: ?int,
  leaks_corrected: ?int,
  orphans_closed: ?int,
  self_updates: ?int,
  self_rollbacks: ?int,
  self_update_failed: ?string,
  uptime_us: int,
  sessions: int,
  files: int,
  services: int,
  arena_used: int,
  arena_size: int,
  kho_enabled: bool,
  liveupdate_enabled: bool,
  confinement: ?string,
  machine: ?string,
  fd_store: ?string,
  turns: ?int,
  turn_p999_us: ?int,
  turn_max_us: ?int,
  log: ?[]string
)

# What the caller may see: its own, or everything for root. Files in recorded order.
method ListSessions(after: ?string) -> (sessions: []Session, next: ?string)
method ListFiles(session: ?string, after: ?string) -> (files: []File, next: ?string)
method ListServices(after: ?string) -> (services: []Service, next: ?string)
method ListRegions() -> (regions: []Region)

# Newest first.
method ListUpdates() -> (updates: []UpdateSummary)

# Of one update, of a service or of outlived itself; null: the newest.
method Timeline(update: ?string) -> (
  update: string,
  service: string,
  state: string,
  result: string,
  reason: ?string,
  started: string,
  blackout_us: ?int,
  blackout_start_us: ?int,
  blackout_end_us: ?int,
  lost: int,
  entries: []TimelineEntry
)

# The last `lines` lines of a service's log, or of outlived's own (null). `previous`: what the flight
# recorder kept of the one before. To follow: call again with `after` = the `position` of the reply
# before, and get what was written since then.
method Log(service: ?string, previous: bool, lines: int, after: ?int) -> (
  text: string,
  position: int
)

# Ends a service, or outlived with all of them (`daemon`). Refused, with how many files would be lost,
# while sessions hold files, unless `force`.
method Stop(request_id: string, service: ?string, daemon: bool, force: bool) -> ()

# Replaces all services that run, in one barrier, and turns every session incoming; root and outlived's
# own user only. Answers at once with how far it is: asked again with the same id it doesn't begin
# again. Over when no service's `result` is "running", nor outlived's. Busy: an update is going on.
# outlived itself is replaced between the services' end and their start, by `binary` (an absolute path;
# that of what runs), unless `keep_outlived`; its rehearsal comes first, and when that fails nothing
# else is done (Refused). `force`: also a binary that has failed too often.
method Reboot(request_id: string, binary: ?string, force: ?bool, keep_outlived: ?bool) -> (
  state: string,
  live_update_number: int,
  services: []UpdateSummary,
  outlived: OutlivedSummary
)

# For `outlive kexec`; root only, and where this outlived has /dev/liveupdate (Status: `machine`).
# `action` look: a copy of the arena. begin: an update of scope kernel, in one barrier; asked again
# with the same id it tells how far it is, and once `frozen` nobody is served any more: the caller
# reboots into the next kernel, or says cancel, or else it is cancelled after a while. check: whether it
# still is frozen; after it the next call is cancel, or none: a worker that dies is not replaced by one
# that serves before that, or before the connection has ended. hand over: as check, and then the caller puts
# the kernel's sessions into the service manager's fd store (`notify_socket`, in the name of `pid_keeper`), and has it
# replace the kernel. handed over: it is on its way; outlived only waits for its stop, and nothing is cancelled any
# more. `arena_fd` is a copy as of then, `liveupdate_fd` the device, both numbers in process
# `pid`; `steady_offset_ns`: what its own clock, which nobody sets, adds to CLOCK_BOOTTIME.
method Kexec(request_id: string, action: string) -> (
  frozen: bool,
  pid: int,
  pid_keeper: int,
  notify_socket: ?string,
  liveupdate_fd: int,
  steady_offset_ns: int,
  arena_fd: ?int,
  services: []UpdateSummary
)

# Ends a session, whoever holds it: its files are given up. `id` when several have that name.
method EndSession(session: string, id: ?string) -> (files: int)

# The memory layer, read-only. `digest` is over everything preserved. Folios in parts (`next`).
# Only in builds with OUTLIVE_KHO_DEBUG.
method KhoDump(digest_only: bool, after: ?string) -> (
  digest: string,
  root_fdt_hex: ?string,
  subtrees: ?[](name: string, address: string, size: int),
  folios: ?[](address: string, order: int, owner: string),
  notes: ?[](uid: int, name: string, address: string, size: int),
  tracker_matches: ?bool,
  corrections: ?int,
  next: ?string
)

# A copy of the arena as it is between two requests, for post-mortems: an fd of process `pid`, kept
# until it is asked for again with `done`. Only in builds with OUTLIVE_KHO_DEBUG.
method KhoSave(done: bool) -> (pid: ?int, fd: ?int)

# What the attach of the worker that answers put right: folios that were half made or half freed, bits
# and nodes of the page tracker, pages that no record named, records that were half made or half
# removed, committed changes that were not applied yet, fds that no record named.
type LeakLedger (folios: int, tracker: int, pages: int, records: int, changes: int, fds: int)

# Checks every record, page and descriptor against each other; changes nothing.
method Fsck() -> (
  clean: bool,
  findings: []string,
  pages: int,
  files: int,
  sessions: int,
  fds: int,
  leaked_corrected: int,
  ledger: LeakLedger
)

# Reads the configuration again. `applied`: what is in force from now on, a line each; `pending`: what
# waits, and for what. A file that is refused (file, line and key in the message) changes nothing.
# For root and outlived's own user, as Metrics.
method Reload(request_id: string) -> (path: string, applied: []string, pending: []string)

# The metrics, in Prometheus's text format 0.0.4. In hold mode, too.
method Metrics() -> (text: string)

error NotFound (errno: int, message: string)
error PermissionDenied (errno: int, message: string)
# Try again later.
error Busy (errno: int, message: string)
# Not done, because something would be lost (EBUSY), or is held (ESTALE).
error Refused (errno: int, message: string)
# `log`: the last lines of the service's log, where they tell why.
error Failed (errno: int, message: string, log: ?[]string)
)varlink";

inline constexpr char kErrorNotFound[] = "org.outlive.Orchestrator.NotFound";
inline constexpr char kErrorPermissionDenied[] = "org.outlive.Orchestrator.PermissionDenied";
inline constexpr char kErrorBusy[] = "org.outlive.Orchestrator.Busy";
inline constexpr char kErrorRefused[] = "org.outlive.Orchestrator.Refused";
inline constexpr char kErrorFailed[] = "org.outlive.Orchestrator.Failed";

}  // namespace outlive::abi
