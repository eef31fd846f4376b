"""outlived's own share of the blackout of a kexec, beside the kernel's, by numbers of sessions and of bytes:

    python3 bench_kernel.py BIN_DIR [--quick] [--runs N] [--count]      # make bench-kernel

Each row is a machine with a service (kernel-many) whose sessions have a memfd each, and goes through `outlive kexec`
again and again: the medians of what the updates' timelines say. No test: nothing is too slow for it, but everything has
to be there after each kexec. The processor is emulated, so the times compare rows and versions of outlived with each
other; the target is of real hardware. Programs are in the machine's memory, as on a host whose disk is fast: fetching
their pages is no part of it.

With --count the machine's clock counts instructions, one a nanosecond, so each figure is in millions of them: the same on
a busy host, within some percent. The kernel's own part isn't told: it is a matter of seconds of the clock.
"""

import argparse
import datetime
import functools
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import initramfs
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


PROGRAMS = ("outlive", "outlived", "kernel-many")


class Bench(Machine):
    """With the programs in its initramfs."""

    def __init__(self, *arguments, count=False, **more):
        super().__init__(*arguments, clock="utc,clock=vm" if count else "utc", **more)
        self.count = count
        self.home = "/bin"

    def initrd(self):
        programs = [(name, self.stripped(name)) for name in PROGRAMS]
        return initramfs.pack(self.stripped("kernel-guest"), programs)

    def stripped(self, name):
        path = os.path.join(self.folder, name)
        shutil.copy(self.program(name), path)
        subprocess.run(["strip", path], check=True)
        with open(path, "rb") as file:
            return file.read()

    def command(self, line):
        words = super().command(line)
        if self.count:
            # No instruction of this processor copies any number of bytes: each would be counted.
            words[words.index("max")] = "max,erms=off,fsrm=off"
            words += ["-icount", "shift=0,sleep=off"]
        return words


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
    again = functools.partial(
        run_outlived, services=f'[services.many]\ncommand = ["/bin/kernel-many", "{sessions}", "{size}"]\n')
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
    parser.add_argument("--count", action="store_true", help="instructions, not time")
    options = parser.parse_args()
    kernel = find_kernel()
    if not kernel or not shutil.which(QEMU):
        sys.exit("no " + QEMU if kernel else "no kernel: make test-kernel builds it")
    runs = options.runs or (1 if options.quick else 3)
    signal.signal(signal.SIGTERM, stop)
    unit = "millions of instructions" if options.count else "ms"
    print(f"{unit}, emulated (TCG, one processor); medians of {runs}. 'ours' is all but the kernel, 'kernel' is from "
          "reboot(2) to outlived's start;\nwarm-up is `outlive kexec --warm-up`, once, of memory that was never "
          "preserved; preserve is the kexec's own,\nbefore anybody is asked. Neither is part of the blackout.")
    show(COLUMNS)
    for size in BYTES[:1] if options.quick else BYTES:
        for sessions in SESSIONS:
            with tempfile.TemporaryDirectory(prefix="outlive-kernel-") as folder:
                machine = Bench(kernel, folder, options.bin_dir, count=options.count, memory=MEMORY, life=PATIENCE)
                try:
                    t = measure(machine, sessions, size, runs)
                except BaseException:
                    print("\n".join(machine.console_text().splitlines()[-60:]), file=sys.stderr)
                    raise
                finally:
                    machine.close()
            ours = t["before"] + t["retrieve"] + t["attach"]
            theirs = ("-", "-") if options.count else (ms(t["kernel"]), f"{ours / t['kernel']:.3f}")
            show((f"{sessions:,}", size // MIB, ms(t["before"]), ms(t["write"]), theirs[0], ms(t["retrieve"]), ms(t["attach"]),
                  ms(ours), theirs[1], ms(t["warm-up"]), ms(t["preserve"])))
    print(f"target, on real hardware: ours <= {TARGET_MS} ms at 1,000 sessions. Emulated times aren't compared with it.")


main()
