"""The limits (posix_spawn), the socket protocol beside a bare round trip, recovery, and the arena."""

import json
import os
import socket
import subprocess

from bench_world import Failed, Talk, bench_world, memory_available_gib, wait_for
from report import percentile, spread

ARENA_PAGES = 1_000_000
ARENA_GIB = 6  # 4 of pages, and what describes them


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def limits(report, bin_dir, quick):
    """posix_spawn and wait of /bin/true; kv to its first answer. Returns p50 of the first, us."""
    report.section("the limit: a bare restart")
    count = 50 if quick else 500
    with bench_world(bin_dir, outlived=False) as world:
        bare = world.samples(world.program("bench-spawn"), "--count", str(count), "/bin/true")
        spawn = report.times("posix_spawn + wait of /bin/true", spread(bare["spawn"]))
        port = free_port()
        again = world.samples(world.program("bench-spawn"), "--count", str(count), "--answers", str(port),
                              world.program("kv-v1"), "--standalone", "--port", str(port))
        report.times("restart of an empty kv, to its first answer", spread(again["restart"]))
    return spawn["p50"]


# ---- preserve and retrieve ------------------------------------------------------------------------

RATIOS = [  # name, what, limit across CPUs, limit on one CPU
    ("preserve", "PRESERVE_FD", 1.3, 2.0), ("retrieve", "RETRIEVE_FD", 1.3, 2.0),
    ("preserve_many", "PRESERVE_MANY(253)", 1.3, 1.3), ("retrieve_many", "RETRIEVE_MANY(253)", 1.3, 1.3),
]


def roundtrip(report, bin_dir, quick):
    cpus = sorted(os.sched_getaffinity(0))
    places = [("on one CPU", cpus[0], cpus[0])]
    if len(cpus) > 1:
        places.append(("across CPUs", cpus[0], cpus[1]))
    else:
        report.skip("PRESERVE_FD and others across CPUs", "this machine has one CPU")
    for where, ours, theirs in places:
        report.section(f"preserve and retrieve beside a bare round trip, {where}")
        with bench_world(bin_dir) as world:
            os.sched_setaffinity(world.worker(), {theirs})
            rounds = "4" if quick else "40"
            where_to = ["--bare-cpu", str(theirs), "--rounds", rounds]
            times = world.samples(world.program("bench-wire"), "--cpu", str(ours), "preserve", *where_to)
            times.update(retrieve(world, ours, where_to))
        for name, what, across, same in RATIOS:
            us = report.times(f"{what}, {where}", spread(times[name]))
            bare = report.times(f"  bare, as many fds, {where}", spread(times[name + "_bare"]))
            report.target(f"{what} / bare, p50, {where}", us["p50"] / bare["p50"],
                          same if ours == theirs else across)


def retrieve(world, cpu, options):
    """What can be retrieved is inherited: the program runs as a service, and kills itself once."""
    output = os.path.join(world.dir, "retrieve.json")
    world.outlive("run", "--name", "bench", "--restart", "on-failure", "--", world.program("bench-wire"),
                  "--cpu", str(cpu), "retrieve", *options, "--output", output)
    wait_for("bench-wire retrieve", lambda: os.path.exists(output) or gone(world), seconds=120)
    with open(output) as file:
        return json.load(file)


def gone(world):
    if "bench-wire:" in world.outlive("log", "bench", check=False).stdout:
        raise Failed(world.outlive("log", "bench", check=False).stdout.strip())
    return False


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def many_files(report, bin_dir, quick):
    report.section("many preserved files")
    with bench_world(bin_dir) as world:
        worker = world.worker()
        before = resident_kib(worker)
        most = 4000 if quick else 1_000_000
        talk = Talk(world, world.program("bench-wire"), "files", "--most", str(most),
                    stderr=open(os.path.join(world.dir, "files.err"), "w"))
        if talk.hear() != "ready":
            raise Failed("bench-wire files: no answer")
        grown = (resident_kib(worker) - before) * 1024
        times = json.loads(talk.ask("end"))["preserve_nth"]
        stopped = world.log_of("files.err").strip()
        if stopped:
            report.note(stopped)
        talk.end()
    part = min(1000, len(times) // 2)
    first = report.times(f"PRESERVE_FD, first {part} of {len(times)}", spread(times[:part]))
    last = report.times(f"PRESERVE_FD, last {part} of {len(times)}", spread(times[-part:]))
    report.target(f"preserve, last {part} / first {part} of {len(times)} files, p50",
                  last["p50"] / first["p50"], 1.2)
    report.target(f"memory of outlived's worker a file, of {len(times)}", grown / len(times), 512, "bytes")


# ---- recovery -------------------------------------------------------------------------------------

def kill_again(world, files, count):
    talk = Talk(world, world.program("bench-wire"), "kills", "--files", str(files))
    if talk.hear() != "ready":
        raise Failed("bench-wire kills: no answer")
    for _ in range(count):
        if talk.ask(str(world.worker())) != "done":
            raise Failed("no answer after the worker was killed")
    talk.process.stdin.close()
    samples = json.loads(talk.hear())
    talk.end()
    return next(iter(samples.values()))


def recovery(report, bin_dir, quick, spawn_us):
    report.section("SIGKILL of outlived's worker, to the next answer")
    results = {}
    for files in (0, 5000):
        times = []
        # After more than ten deaths in ten seconds outlived holds: a new one in time.
        for _ in range(5 if quick else 50):
            with bench_world(bin_dir) as world:
                times += kill_again(world, files, 10)
        results[files] = report.times(f"recovery, {files} preserved files", spread(times))
    report.target("recovery p50 / posix_spawn+wait, no files", results[0]["p50"] / spawn_us, 1.5)
    report.target("recovery, more for each preserved file, p50",
                  max(0.0, (results[5000]["p50"] - results[0]["p50"]) / 5000), 1.0, "us")


# ---- arena ----------------------------------------------------------------------------------------

def arena(report, bin_dir, quick):
    report.section("arena")
    wanted = "page|attach/10000$"
    if quick or memory_available_gib() < ARENA_GIB:
        report.skip(f"attach with {ARENA_PAGES} preserved pages", "--quick" if quick
                    else f"needs {ARENA_GIB} GiB of available memory")
    else:
        wanted = "page|attach"
    with bench_world(bin_dir, outlived=False) as world:
        done = subprocess.run(
            [world.program("bench-arena"), f"--benchmark_filter={wanted}", "--benchmark_format=json",
             f"--benchmark_min_time={'0.05' if quick else '0.3'}", "--benchmark_repetitions=5"],
            capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise Failed(f"bench-arena: {done.stderr.strip()}")
    by_name = {}
    for one in json.loads(done.stdout)["benchmarks"]:
        if one.get("error_occurred"):
            raise Failed(f"bench-arena: {one['name']}: {one['error_message']}")
        if one["run_type"] == "iteration":
            scale = {"ns": 1, "us": 1e3, "ms": 1e6}[one["time_unit"]]
            by_name.setdefault(one["name"], []).append(one["real_time"] * scale)
    for name, times in by_name.items():
        kind, _, detail = name.partition("/")
        pages = int(detail) if detail.isdigit() else 1
        ns = percentile(times, 50) / pages
        what = (f"attach, a preserved page of {pages}" if kind == "attach" else
                f"alloc + preserve + free of a page, {detail.replace('_', ' ')}"
                + (" in bulk" if pages > 1 else ""))
        report.value(f"arena: {what} (median of 5)", ns, "ns")
        if name == "page/among_others":
            report.target("arena: " + what, ns, 100, "ns")
        if name == f"attach/{ARENA_PAGES}":
            report.target("arena: " + what, ns, 30, "ns")
