"""Blackout and client stall of kv's updates: by size of state, connections, idle and loaded."""

import collections
import json
import os
import socket
import subprocess
import sys
import time

from bench_world import Failed, Kv, Talk, bench_world, memory_available_gib
from report import percentile, spread

MIB = 1 << 20
VALUE = 1 << 20  # bytes of a value that only fills memory
NEEDED_GIB = 12  # for 8 GiB of state, and room to spare


class Row:
    def __init__(self, mib, connections, loaded=False, cold=False):
        self.mib, self.connections, self.loaded, self.cold = mib, connections, loaded, cold

    def name(self, cold=False):
        size = f"{self.mib // 1024} GiB" if self.mib >= 1024 else f"{self.mib} MiB"
        return (f"{size}, {self.connections} connections, {'loaded' if self.loaded else 'idle'}"
                f"{', cold' if cold else ''}")


ROWS = [
    Row(1, 1), Row(1, 100), Row(1, 1000), Row(1, 1000, loaded=True),
    Row(256, 1000), Row(256, 1000, loaded=True), Row(8192, 1000, cold=True),
]


def fill(port, mib):
    """So many values of 1 MiB, as fast as kv takes them."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        reply = connection.makefile("rb")
        value = os.urandom(VALUE)
        for i in range(mib):
            key = b"fill:%d" % i
            connection.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n"
                               % (len(key), key, VALUE, value))
            if reply.readline() != b"+OK\r\n":
                raise Failed("kv refused to be filled")


class CacheFlush:
    """Cold: what the successor touches first isn't in the processor's caches any more."""

    def __init__(self):
        self.bytes = bytearray(os.urandom(MIB)) * 128

    def __call__(self):
        return len(bytes(self.bytes))  # reads 128 MiB, writes as much


class Updates:
    """One service and its clients, in a world of its own."""

    def __init__(self, world, row):
        self.world, self.row, self.version = world, row, 1
        self.blackouts, self.stalls = {}, {}  # by cold; ns
        self.beyond = []                      # stall - blackout, of each update
        self.calm = []                        # the same as stalls, while there is no update
        self.took = []
        self.steps = collections.defaultdict(list)
        self.cancelled = []
        self.load_processes = []
        port_file = os.path.join(world.dir, "port")
        self.arguments = ["--port", "0", "--port-file", port_file]
        world.outlive("run", "--name", "kv", "--", world.program("kv-v1"), *self.arguments)
        with open(port_file) as file:
            self.kv = Kv(int(file.read()))
        world.services.add(self.kv.info()["process_id"])
        fill(self.kv.port, row.mib)

    def start_load(self):
        rate = 8000 if self.row.loaded else 4000
        self.load = Talk(self.world, self.world.program("bench-load"), "--port", str(self.kv.port),
                         "--connections", str(self.row.connections), "--rate", str(rate))
        if self.load.hear() != "ready":
            raise Failed("bench-load did not get ready")
        if not self.row.loaded:
            return
        # Two keep both CPUs busy also while kv doesn't answer: one of them is no client.
        self.load_processes.append(self.world.start(
            "redis-benchmark", "-p", str(self.kv.port), "-c", "8", "-l", "-t", "get,set,incr", "-r",
            "10000", "-q", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))
        for _ in range((os.cpu_count() or 1) - 1):
            self.load_processes.append(self.world.start(
                sys.executable, "-c", "while True: pass", stdin=subprocess.DEVNULL))
        time.sleep(1)  # until redis-benchmark has made its keys, and memory grows no more

    def update(self, cold=False):
        version = 3 - self.version
        start = time.monotonic_ns()
        done = self.world.outlive("update", "kv", "--json", "--", self.world.program(f"kv-v{version}"),
                                  *self.arguments, check=False)
        end = time.monotonic_ns()
        time.sleep(0.012)  # stalls are of requests begun up to 10 ms later
        _, stall, requests = self.load.ask(f"window {start} {end}").split()
        reply = json.loads(done.stdout or "{}")
        self.world.services.add(self.kv.info()["process_id"])
        if done.returncode != 0:
            self.cancelled.append(reply.get("reason") or done.stderr.strip() or str(done.returncode))
            return
        self.version = version
        blackout = reply["blackout_us"] * 1000
        self.blackouts.setdefault(cold, []).append(blackout)
        self.took.append(end - start)
        if int(requests) > 0:
            self.stalls.setdefault(cold, []).append(int(stall))
            self.beyond.append(int(stall) - blackout)

    def look_at_calm(self, ns):
        """The same question with no update: what this machine does to the load by itself."""
        start = time.monotonic_ns()
        time.sleep(ns / 1e9)
        end = time.monotonic_ns()
        time.sleep(0.012)
        _, stall, requests = self.load.ask(f"window {start} {end}").split()
        if int(requests) > 0:
            self.calm.append(int(stall))

    def look_at_timeline(self):
        """Where the last blackout went: every step that lies in it, and the gaps between them."""
        chart = self.world.outlive_json("timeline")
        begin, end = chart.get("blackout_start_us"), chart.get("blackout_end_us")
        if begin is None or end is None:
            return
        steps = sorted((max(e["start_us"], begin), e["end_us"], f"{e['who']}: {e['what']}")
                       for e in chart["entries"] if e["what"] != "blackout" and e["end_us"] is not None
                       and e["start_us"] < end and e["end_us"] > begin)
        covered = begin
        gaps = 0
        for from_us, to_us, name in steps:
            gaps += max(0, from_us - covered)
            covered = max(covered, min(to_us, end))
            self.steps[name].append(min(to_us, end) - from_us)
        self.steps["between these steps"].append(gaps + max(0, end - covered))

    def end(self):
        report = json.loads(self.load.ask("report"))
        self.load.end()
        for process in self.load_processes:
            if process.poll() is not None:
                raise Failed("the load ended by itself: redis-benchmark saw an error")
            self.world.end(process)
        return report


def measure(world, row, count, limit_s):
    updates = Updates(world, row)
    updates.start_load()
    flush = CacheFlush() if row.cold else None
    updates.update(cold="first")
    end = time.monotonic() + limit_s
    wanted = count * (2 if row.cold else 1)
    for i in range(wanted):
        if time.monotonic() > end or len(updates.cancelled) > 20:
            break
        cold = bool(flush) and i % 2 == 0
        if cold:
            flush()
        updates.update(cold)
        if i % 10 == 0:
            updates.look_at_timeline()
        if i % 5 == 0 and updates.took:
            updates.look_at_calm(percentile(updates.took, 50))
    seen = updates.end()
    return updates, seen


def print_row(report, row, updates, seen, count, limit_s):
    results = {}
    for cold in (False, True):
        if cold not in updates.blackouts:
            continue
        name = row.name(cold)
        results[cold] = report.times(f"blackout: {name}", spread(updates.blackouts[cold]))
        if updates.stalls.get(cold):
            report.times(f"stall:    {name}", spread(updates.stalls[cold]))
        if results[cold]["n"] < count:
            report.note(f"fewer than {count} updates: limit of {limit_s} s, or cancelled ones")
    if updates.calm:
        report.times(f"  no update, as long a time: {row.name()}", spread(updates.calm))
    report.value("  one update, from `outlive update` to its end, p50",
                 percentile(updates.took, 50) / 1e6, "ms")
    if "first" in updates.blackouts:
        report.value(f"blackout: {row.name()}, the first: all its connections are new",
                     updates.blackouts["first"][0] / 1000, "us")
    if updates.cancelled:
        report.note(f"{len(updates.cancelled)} updates cancelled, first: {updates.cancelled[0]}")
    bad = {k: v for k, v in seen.items() if v and k not in ("requests", "complaint")}
    if bad:
        report.note(f"clients saw: {bad} {seen['complaint']}")
    report.target(f"errors: {row.name()}", sum(bad.values()) + len(updates.cancelled), 0)
    parts = sorted(((percentile(v, 50), k) for k, v in updates.steps.items()), reverse=True)
    report.note("in the blackout (p50 us): " + ", ".join(f"{k} {v}" for v, k in parts[:9]))
    return results


def set_targets(report, row, results, updates, spawn_us):
    if row.connections != 1000 or not results.get(False):
        return
    figure = results[False]
    if row.loaded:
        report.target(f"blackout p50: {row.name()}", figure["p50"], 1000, "us")
        report.target(f"blackout p99: {row.name()}", figure["p99"], 3000, "us")
    elif row.mib < 8192:
        report.target(f"blackout p50: {row.name()}", figure["p50"], 300, "us")
        report.target(f"blackout p50 / posix_spawn+wait: {row.name()}", figure["p50"] / spawn_us, 0.6)
    if updates.beyond:
        report.target(f"stall - blackout, p99: {row.name()}", percentile(updates.beyond, 99) / 1000,
                      2000, "us")


def run(report, bin_dir, quick, spawn_us):
    """Returns p50 of blackout and stall, us, by size of state (MiB), of the idle rows."""
    report.section("updates of kv: blackout, and the clients' stall")
    count, limit_s = (50, 20) if quick else (500, 180)
    p50 = {}
    for row in ROWS:
        if row.mib >= 8192 and memory_available_gib() < NEEDED_GIB:
            report.skip(f"updates: {row.name()}", f"needs {NEEDED_GIB} GiB of available memory, "
                        f"there are {memory_available_gib():.1f}")
            continue
        # An update of 8 GiB takes seconds: as many as there is time for.
        row_limit_s = min(limit_s, 120) if row.mib >= 8192 else limit_s
        try:
            with bench_world(bin_dir) as world:
                updates, seen = measure(world, row, count, row_limit_s)
                results = print_row(report, row, updates, seen, count, row_limit_s)
                set_targets(report, row, results, updates, spawn_us)
        except Failed as why:
            report.skip(f"updates: {row.name()}", f"FAILED: {why}")
            continue
        if row.connections == 1000 and not row.loaded and False in results:
            p50[row.mib] = {"blackout": results[False]["p50"],
                            "stall": percentile(updates.stalls.get(False, [0]), 50) / 1000}
    if 8192 in p50 and 1 in p50:
        report.target("blackout p50 of 8 GiB / of 1 MiB, 1000 connections, idle",
                      p50[8192]["blackout"] / p50[1]["blackout"], 1.1)
    return p50
