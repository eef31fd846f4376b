#!/usr/bin/env python3
"""The demo: kv changes its version again and again, under load, and nobody notices.

  demo.py --bin-dir build/release/bin [--html build/demo-timeline.html]

Starts outlived in a folder of its own, kv under it, 1,000 connections that check every reply
(demo-load) and redis-benchmark beside them; then 20 updates, 5 bad versions that must be rolled
back, 5 SIGKILLs of outlived's worker, 3 of kv itself. The last line is "demo: OK ..." (exit 0) or
"demo: FAILED why" (exit 1). Ends what it has started, also on Ctrl-C.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

from world import PATIENCE, Failed, Kv, World, wait_for

ROLLBACKS = {
    "crash-at-start": "exits at once",
    "never-ready": "never says that it is ready",
    "veto": "says no",
    "die-after-retrieve": "is killed after it has retrieved everything",
    "garbage": "scribbles over the memory that it was shown",
}


def say(text):
    print(f"[{time.monotonic() - BEGAN:5.1f} s] {text}", flush=True)


def percentile(values, percent):
    return sorted(values)[(len(values) - 1) * percent // 100]


class Load:
    """demo-load: talks in lines."""

    def __init__(self, world, options, port):
        self.process = world.start(
            world.program("demo-load"), "--port", str(port), "--connections",
            str(options.connections), "--slow", str(options.slow), "--rate", str(options.rate),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.hear() != "ready":
            raise Failed("demo-load did not get ready")

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"demo-load ended with {self.process.wait()}")
        return line.strip()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def count(self):
        self.tell("count")
        return int(self.hear().split()[1])

    def goes_on(self, requests):
        """Waits until so many more replies have come."""
        want = self.count() + requests
        wait_for("replies", lambda: self.count() >= want)

    def report(self):
        self.tell("report")
        return json.loads(self.hear())


class Demo:
    def __init__(self, world, options):
        self.world = world
        self.options = options
        self.version = 1
        self.blackouts = []
        self.rollbacks = 0
        self.worker_kills = 0
        self.service_kills = 0

    def run(self):
        self.start()
        for i in range(self.options.updates):
            # The kills and the bad versions come in between, evenly.
            self.load.goes_on(self.options.rate // 5)
            self.update(kill_worker=i % 4 == 1)
            if i % 4 == 3:
                self.bad_version(list(ROLLBACKS)[self.rollbacks % len(ROLLBACKS)])
        self.chart()
        self.stop_benchmark()
        for i in range(self.options.service_kills):
            self.kill_service(inside_a_change=i == 1)
        self.load.goes_on(2000)
        return self.judge()

    def start(self):
        world = self.world
        world.start_outlived()
        say(f"outlived runs, in the folder {world.dir}")
        port_file = os.path.join(world.dir, "port")
        self.arguments = ["--port", "0", "--port-file", port_file]
        world.outlive("run", "--name", "kv", "--restart", "always", "--", world.program("kv-v1"),
                      *self.arguments)
        with open(port_file) as file:
            self.kv = Kv(int(file.read()))
        say(f"kv v1 serves on port {self.kv.port}")
        self.load = Load(world, self.options, self.kv.port)
        info = self.check_version()
        say(f"{self.options.connections} connections, {info['keys']} keys")
        self.benchmark = world.start(
            "redis-benchmark", "-p", str(self.kv.port), "-c", "8", "-l", "-t", "get,set,incr", "-r",
            "10000", "-q", log="benchmark.log", stdin=subprocess.DEVNULL)
        self.load.goes_on(1000)
        self.digest = self.kv.digest()

    def check_version(self):
        info = self.kv.info()
        self.world.services.add(info["process_id"])
        if info["kv_version"] != self.version:
            raise Failed(f"version {info['kv_version']} serves, not {self.version}")
        return info

    # ---- updates --------------------------------------------------------------------------------

    def update_to(self, version, *more, kill_worker=False):
        """Runs one update; returns its exit code and reply."""
        words = ["update", "kv", "--json", "--progress", "--ready-timeout",
                 "1s" if "--break=never-ready" in more else f"{10 * PATIENCE:.0f}s", "--",
                 self.world.program(f"kv-v{version}"), *self.arguments, *more]
        start = time.monotonic_ns()
        process = self.world.start(self.world.program("outlive"), *words, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if kill_worker:
            for _ in range(1 + self.worker_kills % 3):  # at one step or a later one
                step = process.stderr.readline().strip()
            os.kill(self.pid_worker, signal.SIGKILL)
            self.worker_kills += 1
            self.killed_at = step.split(": ")[-1]
        out, err = process.communicate(timeout=60 * PATIENCE)
        self.load.tell(f"window {start} {time.monotonic_ns()}")
        try:
            reply = json.loads(out)
        except ValueError:
            raise Failed(f"outlive update (exit {process.returncode}): {err.strip() or out.strip()}")
        return process.returncode, reply

    def update(self, kill_worker):
        version = 3 - self.version
        self.pid_worker = self.world.worker()
        code, reply = self.update_to(version, kill_worker=kill_worker)
        if code == 3 and kill_worker:
            # Allowed: the old one served on. The update itself is tried again.
            say(f"update cancelled by the worker's death: {reply.get('reason')}")
            self.check_version()
            code, reply = self.update_to(version)
        if code != 0:
            raise Failed(f"update to v{version}: {reply.get('reason') or reply}")
        self.version = version
        self.blackouts.append(reply["blackout_us"])
        self.newest = reply["update"]
        info = self.check_version()
        waiting = info["outputs_waiting_at_last_freeze"]
        if waiting < self.options.slow:
            raise Failed(f"only {waiting} connections had unsent output at the freeze")
        killed = (f", outlived's worker {self.pid_worker} killed at '{self.killed_at}'"
                  if kill_worker else "")
        say(f"update {len(self.blackouts)}: v{version} serves, blackout {reply['blackout_us']} us, "
            f"{reply.get('files')} files{killed}")

    def bad_version(self, way):
        before = self.check_version()
        code, reply = self.update_to(3 - self.version, f"--break={way}")
        if code != 3:
            raise Failed(f"the version that {ROLLBACKS[way]} was not rolled back: {reply}")
        if not reply.get("reason"):
            raise Failed(f"--break={way} was rolled back without a reason")
        after = self.check_version()
        if after["process_id"] != before["process_id"]:
            raise Failed(f"--break={way}: another process serves")
        self.load.goes_on(200)  # a digest takes 10 ms: not beside the update, whose stall is measured
        digest = self.kv.digest()
        if digest != self.digest:
            raise Failed(f"--break={way}: the data's digest was {self.digest}, is {digest}")
        self.rollbacks += 1
        say(f"rolled back a version that {ROLLBACKS[way]}: {reply['reason']}")

    # ---- kills of the service -------------------------------------------------------------------

    def kill_service(self, inside_a_change):
        before = self.kv.info()
        self.load.tell("kill")
        self.load.goes_on(500)  # so it has heard it
        if inside_a_change:
            try:
                self.kv.ask("DEBUG", "CRASH")  # does it itself, where it hurts
            except ConnectionError:
                pass
        else:
            os.kill(before["process_id"], signal.SIGKILL)

        def another_serves():
            try:
                info = self.kv.info()
            except (OSError, ValueError):
                return None  # accepted by nobody yet, or by the one that died
            return info if info["process_id"] != before["process_id"] else None

        info = wait_for("kv to be started again", another_serves)
        self.world.services.add(info["process_id"])
        digest = self.kv.digest()
        if digest != self.digest:
            raise Failed(f"after a SIGKILL of kv the data's digest was {self.digest}, is {digest}")
        self.load.goes_on(2 * self.options.connections)
        self.service_kills += 1
        repaired = info["repairs"] - before["repairs"]
        if inside_a_change and not repaired:
            raise Failed("kv died inside a change, and nobody repaired its memory")
        say(f"kv {before['process_id']} killed, {info['process_id']} goes on with listener and data"
            + (", which it repaired" if repaired else ""))

    # ---- the end --------------------------------------------------------------------------------

    def chart(self):
        print(self.world.outlive("timeline", self.newest).stdout, flush=True)
        if self.options.html:
            self.world.outlive("timeline", self.newest, "--html", self.options.html)
            say(f"the same for a browser: {self.options.html}")

    def stop_benchmark(self):
        if self.benchmark.poll() is not None:
            raise Failed("redis-benchmark ended: " + self.world.log_of("benchmark.log"))
        self.benchmark.kill()
        self.benchmark.wait()
        log = self.world.log_of("benchmark.log", 1000)
        if "rror" in log:
            raise Failed("redis-benchmark saw an error: " + log[-400:])

    def judge(self):
        self.world.outlive("fsck")
        say("outlive fsck: clean")
        self.world.expect_no_findings()
        seen = self.load.report()
        say(f"after the kills of kv the clients connected again {seen['reconnects_after_kill']} times; "
            f"latency p50 {seen['latency_p50_us']} us, p99 {seen['latency_p99_us']} us")
        line = (f"updates={len(self.blackouts)} rollbacks={self.rollbacks} "
                f"worker_kills={self.worker_kills} service_kills={self.service_kills} "
                f"connections={seen['connections']} requests={seen['requests']} "
                + " ".join(f"{name}={seen[name]}" for name in
                           ("errors", "reconnects", "lost", "duplicated", "wrong"))
                + f" blackout_p50_us={percentile(self.blackouts, 50)}"
                  f" blackout_max_us={max(self.blackouts)} stall_max_us={seen['stall_max_us']}")
        bad = [name for name in ("errors", "reconnects", "lost", "duplicated", "wrong") if seen[name]]
        if bad:
            raise Failed(f"{', '.join(bad)}: {seen['complaint']} ({line})")
        return line


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin-dir", required=True, help="where outlived, outlive and kv were built")
    parser.add_argument("--html", help="write the chart of the last update into this file")
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--service-kills", type=int, default=3)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=10)
    parser.add_argument("--rate", type=int, default=8000, help="requests a second")
    parser.add_argument("--limit", type=int, default=240, help="give up after so many seconds")
    return parser.parse_args()


def stop_at(signal_number, _frame):
    raise Failed("took too long" if signal_number == signal.SIGALRM
                 else f"stopped by {signal.Signals(signal_number).name}")


def main():
    options = parse()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop_at)
    signal.alarm(int(options.limit * PATIENCE))
    world = None
    try:
        world = World(options.bin_dir)
        verdict, code = "OK " + Demo(world, options).run(), 0
    except Failed as why:
        verdict, code = f"FAILED {why}", 1
    except (OSError, KeyError, ValueError, subprocess.SubprocessError) as why:
        verdict, code = f"FAILED {type(why).__name__}: {why}", 1
    signal.alarm(0)
    if world:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # ending takes a moment: not half of it
        if code and world.outlived:
            print("--- outlived's last words\n" + world.log_of("outlived.log"), flush=True)
            print(world.findings(), end="", flush=True)
        world.close()
    # One line, whatever the reason had in it.
    print("demo: " + " ".join(verdict.split()), flush=True)
    return code


BEGAN = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
