"""outlived's own share of the blackout of a kexec, beside the kernel's, by numbers of sessions and of bytes:

    python3 bench_kernel.py BIN_DIR [--quick] [--runs N]        # make bench-kernel

Each row is a machine with a service (kernel-many) whose sessions have a memfd each, and goes through `outlive kexec`
again and again: the medians of what the updates' timelines say. No test: nothing is too slow for it, but everything has
to be there after each kexec. The processor is emulated, so the times compare rows and versions of outlived with each
other; the target is of real hardware.
"""

import argparse
import datetime
import functools
import json
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time

from case import find_kernel, stop
from harness import check, equal, wait_for
from kexec_world import RUNTIME, cross, outlive, run_outlived, status
from machine import QEMU, Machine

MIB = 1 << 20
SESSIONS = (1, 100, 1000)
BYTES = (1 * MIB, 64 * MIB, 1024 * MIB)
TARGET_MS = 10  # ours before and after, 1,000 sessions, on real hardware
MEMORY = "3G"   # the files and the next kernel
PATIENCE = 600.0
COLUMNS = ("sessions", "MiB", "freeze -> reboot(2)", "(of it write)", "kernel", "retrieve", "attach", "ours", "ours/kernel",
           "warm-up", "preserve")
UNITS_MS = {"us": 0.001, "ms": 1, "s": 1000}


def said(machine, words):
    """How many lines with these words the service has said; of its last incarnation, if outlived is another one."""
    return sum(words in line for line in outlive(machine, "log", "many").out.splitlines())


def clocks(machine):
    """How far the machine's clock of the day is ahead of ours, and when its kernel's own clock began by ours."""
    before = time.time()
    theirs, boottime = (int(word) / 1e9 for word in machine.must("kernel-many", "clock").split())
    ours = (before + time.time()) / 2
    return theirs - ours, ours - boottime


def timeline_after(machine):
    """Once the service has all and nobody is waited for."""
    def serves():
        return said(machine, "adopted") and status(machine)["state"] == "normal"
    wait_for("the service to have adopted", serves, seconds=PATIENCE)
    log = outlive(machine, "log", "many").out
    check(", 0 differ" in log, f"the files have what they had: {log}")
    text = machine.must("outlive", "--runtime-dir", RUNTIME, "timeline", "--json")
    return json.loads(text)


def one_kexec(machine, again):
    """The times of one, in milliseconds."""
    ahead, _ = clocks(machine)
    cross(machine, again=again)
    _, began = clocks(machine)
    timeline = timeline_after(machine)
    entries = timeline["entries"]

    def bar(who, what):
        found = [one for one in entries if (one["who"], one["what"]) == (who, what)]
        equal(len(found), 1, f"bars '{who}: {what}' in {entries}")
        return found[0]["start_us"] / 1000, found[0]["end_us"] / 1000

    def took(who, what):
        begin, end = bar(who, what)
        return end - begin

    command = "outlive kexec"
    # A kernel has its clock from the RTC, which counts seconds: the timeline can't know what was before the kernel's
    # own clock began. Our clock does. "started" is when the services' update began, by the machine's.
    asked = min(one["start_us"] for one in entries if one["who"] not in (command, "kernel")) / 1000
    started = datetime.datetime.fromisoformat(timeline["started"].replace("Z", "+00:00")).timestamp() - ahead
    before_ms = (began - started) * 1000 - (bar(command, "reboot(2)")[0] - asked)
    frozen = min(one["start_us"] for one in entries if one["what"] == "freeze") / 1000
    preserves = [one for one in entries if one["who"] == command and one["what"].startswith("preserve")]
    return {"before": bar(command, "reboot(2)")[0] - frozen, "write": took(command, "write"),
            "kernel": before_ms + took("kernel", "boot"), "retrieve": took("outlived", "retrieve"),
            "attach": took("outlived", "attach"),
            "preserve": sum(one["end_us"] - one["start_us"] for one in preserves) / 1000}


def measure(machine, sessions, size, runs):
    machine.boot()
    for program in ("outlive", "outlived", "kernel-many"):
        machine.offer(machine.program(program))
    again = functools.partial(
        run_outlived, services=f'[services.many]\ncommand = ["/host/kernel-many", "{sessions}", "{size}"]\n')
    again(machine)
    wait_for("the service to have filled its files", lambda: said(machine, "fresh"), seconds=PATIENCE)
    warm_up = machine.must("outlive", "--runtime-dir", RUNTIME, "kexec", "--warm-up")
    took, unit = re.search(r" in ([\d.]+) (us|ms|s)\n", warm_up).groups()
    times = [one_kexec(machine, again) for _ in range(runs)]
    machine.power_off()
    return {"warm-up": float(took) * UNITS_MS[unit],
            **{name: statistics.median(one[name] for one in times) for name in times[0]}}


def show(words):
    print("  ".join(f"{word:>{len(column)}}" for word, column in zip(words, COLUMNS)), flush=True)


def ms(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("--quick", action="store_true", help="the smallest amount of memory, one kexec a row")
    parser.add_argument("--runs", type=int, help="kexecs a row")
    options = parser.parse_args()
    kernel = find_kernel()
    if not kernel or not shutil.which(QEMU):
        sys.exit("no " + QEMU if kernel else "no kernel: make test-kernel builds it")
    runs = options.runs or (1 if options.quick else 3)
    signal.signal(signal.SIGTERM, stop)
    print(f"ms, emulated (TCG, one processor); medians of {runs}. 'ours' is all but the kernel, 'kernel' is from "
          "reboot(2) to outlived's start;\nwarm-up is `outlive kexec --warm-up`, once, of memory that was never "
          "preserved; preserve is the kexec's own,\nbefore anybody is asked. Neither is part of the blackout.")
    show(COLUMNS)
    for size in BYTES[:1] if options.quick else BYTES:
        for sessions in SESSIONS:
            with tempfile.TemporaryDirectory(prefix="outlive-kernel-") as folder:
                machine = Machine(kernel, folder, options.bin_dir, memory=MEMORY, life=PATIENCE)
                try:
                    t = measure(machine, sessions, size, runs)
                except BaseException:
                    print("\n".join(machine.console_text().splitlines()[-60:]), file=sys.stderr)
                    raise
                finally:
                    machine.close()
            ours = t["before"] + t["retrieve"] + t["attach"]
            show((f"{sessions:,}", size // MIB, *map(ms, (t["before"], t["write"], t["kernel"], t["retrieve"], t["attach"],
                                                          ours)),
                  f"{ours / t['kernel']:.3f}", ms(t["warm-up"]), ms(t["preserve"])))
    print(f"target, on real hardware: ours <= {TARGET_MS} ms at 1,000 sessions. Emulated times aren't compared with it.")


main()
