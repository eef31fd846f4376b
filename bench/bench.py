#!/usr/bin/env python3
"""The benchmarks: every figure beside its limit or a peer, measured in the same run.

  bench.py --bin-dir build/release/bin [--quick] [--json FILE] [--only PART...]

Full: 500 updates a row (of 8 GiB as many as go into two minutes), about 15 minutes. --quick: 50, for
trials. A target that is missed does not change the exit code, a measurement that fails does.
Ends what it has started, also on Ctrl-C.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time

import compat_cost
import peers
import protocol
import self_update
import updates
from bench_world import Failed, memory_available_gib
from report import Report

PARTS = ("updates", "roundtrip", "files", "recovery", "self-update", "arena", "compat", "memcached", "haproxy")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin-dir", required=True, help="where everything was built")
    parser.add_argument("--quick", action="store_true", help="few samples, for trials")
    parser.add_argument("--json", help="write every figure into this file")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="only these parts")
    return parser.parse_args()


def stop_at(signal_number, _frame):
    raise KeyboardInterrupt(signal.Signals(signal_number).name)


def about():
    return {"machine": platform.machine(), "kernel": platform.release(), "cpus": os.cpu_count(),
            "memory_available_gib": round(memory_available_gib(), 1),
            "load_average_before": os.getloadavg()[0], "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def measure(report, options):
    bin_dir, quick = options.bin_dir, options.quick
    spawn_us = protocol.limits(report, bin_dir, quick)
    blackouts = {}

    def update_rows():
        blackouts.update(updates.run(report, bin_dir, quick, spawn_us))

    def beside_updates(name, figure, peer):
        p50 = peer(report, bin_dir, quick)
        if p50 and blackouts:
            size = 256 if 256 in blackouts else min(blackouts)
            report.value(f"{name} / {figure} of kv ({size} MiB, 1000 connections, idle), p50",
                         p50 / max(blackouts[size][figure], 1.0), "times")

    parts = {
        "updates": update_rows,
        "roundtrip": lambda: protocol.roundtrip(report, bin_dir, quick),
        "files": lambda: protocol.many_files(report, bin_dir, quick),
        "recovery": lambda: protocol.recovery(report, bin_dir, quick, spawn_us),
        "self-update": lambda: self_update.run(report, bin_dir, quick, spawn_us),
        "arena": lambda: protocol.arena(report, bin_dir, quick),
        "compat": lambda: compat_cost.compat(report, bin_dir, quick),
        "memcached": lambda: beside_updates("memcached -e restart", "blackout", peers.memcached),
        "haproxy": lambda: beside_updates("haproxy reload", "stall", peers.haproxy),
    }
    for name in PARTS:
        if name not in options.only:
            continue
        began = time.monotonic()
        try:
            parts[name]()
        except (Failed, OSError, ValueError, KeyError, subprocess.SubprocessError) as why:
            report.skip(name, f"FAILED: {type(why).__name__}: {why}")
        print(f"  ({name}: {time.monotonic() - began:.0f} s)", flush=True)


def main():
    options = parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_at)
    report = Report(options.quick)
    facts = about()
    print("bench: " + ("quick, for trials only: " if options.quick else "")
          + ", ".join(f"{k} {v}" for k, v in facts.items()), flush=True)
    try:
        measure(report, options)
    except Failed as why:
        report.skip("all", f"FAILED: {why}")
    except KeyboardInterrupt:
        report.skip("the rest", "FAILED: stopped")
    report.table()
    if options.json:
        report.save(options.json, facts)
    failed = [one for one in report.skipped if one["why"].startswith("FAILED")]
    missed = sum(not one["met"] for one in report.targets)
    print(f"bench: {'FAILED ' + failed[0]['what'] if failed else 'OK'} figures={len(report.rows)} "
          f"targets={len(report.targets)} missed={missed} skipped={len(report.skipped)}"
          + (f" json={options.json}" if options.json else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
