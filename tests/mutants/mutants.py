"""Planted bugs (src/base/mutant.h), one after the other: do the tests catch them?

    mutants.py BIN_DIR [--only NAME]     BIN_DIR: of a build with OUTLIVE_MUTANTS

For each one its tests run until one fails. Without a mutant all of them have to pass, or a failure
would mean nothing. Last line, exit 0 only if the two numbers are the same:
    mutants: N planted, N caught
"""

import argparse
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)


def unit(program, tests):
    return (f"{program} {tests}", [f"{{bin}}/{program}", "--gtest_brief=1", f"--gtest_filter={tests}"])


def matrix(only):
    return (f"crash-matrix ({only})",
            [sys.executable, "-B", TESTS + "/crash/crash_matrix.py", "{bin}", "--seed", "1",
             "--most-wrong", "1", "--only", only])


def e2e(name):
    return f"e2e.{name}", [sys.executable, "-B", f"{TESTS}/e2e/{name}.py", "{bin}"]


# What is planted, and who should see it.
MUTANTS = {
    # the order of stores
    "commit-before-data": [unit("luo_test", "Records*")],
    "redo-not-replayed": [unit("luo_test", "Records*")],
    "tracker-bit-missing": [unit("kho_test", "Arena*:Crash*")],
    "freed-page-not-zeroed": [unit("kho_test", "Arena*:Crash*")],
    # files, their shared state, quotas
    "cancel-forgets-a-file": [unit("luo_test", "Update*:FileSet*")],
    "quota-not-counted": [unit("luo_test", "FileSet*:Session*")],
    "fd-closed-before-dying": [unit("luo_test", "FileSet*:Session*:Model*")],
    "flb-off-by-one": [unit("luo_test", "Flb*")],
    # updates
    "version-unchecked": [unit("luo_test", "Update*")],
    "retire-before-commit": [unit("luo_test", "Update*")],
    "preview-retrieves": [matrix("update vetoed in freeze")],
    "lease-dropped": [matrix("RetrieveLingering")],
    # exactly once
    "reply-before-record": [matrix("CreateTwice")],
    "no-replay-check": [matrix("PreserveFd")],
    "poison-replayed": [matrix("of one: PreserveFd")],
    "finish-replied-early": [matrix("update (finish)")],
    "call-consumed-late": [matrix("ControlCalls")],
    # descriptors
    "reply-overwritten": [e2e("killed_after_reply")],
    "orphan-not-closed": [matrix("PreserveFd")],
    "closer-forgets-one": [unit("machine_test", "CloserTest.WhatAKilledOne*")],
    "closer-not-awaited": [unit("machine_test", "CloserDeath.*")],
    "worker-before-closer-ends": [unit("machine_test", "CloserDeath.*")],
}


def run(words, bin_dir, mutant):
    """True: it passed."""
    environment = {key: value for key, value in os.environ.items() if key != "OUTLIVE_MUTANT"}
    if mutant:
        environment["OUTLIVE_MUTANT"] = mutant
    words = [word.replace("{bin}", bin_dir) for word in words]
    try:
        return subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, timeout=600,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except subprocess.TimeoutExpired:
        return False  # it doesn't pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    bin_dir = os.path.abspath(chosen.bin_dir)
    mutants = {name: tests for name, tests in MUTANTS.items() if chosen.only in name}

    sound = {}
    for tests in mutants.values():
        for name, words in tests:
            if name not in sound:
                sound[name] = run(words, bin_dir, None)
                if not sound[name]:
                    print(f"without a mutant, {name} does not pass", flush=True)
    caught = 0
    print(f"{'mutant':24} caught by", flush=True)
    for mutant, tests in mutants.items():
        began = time.monotonic()
        by = next((name for name, words in tests
                   if sound[name] and not run(words, bin_dir, mutant)), None)
        caught += by is not None
        print(f"{mutant:24} {by or 'NOBODY'} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"mutants: {len(mutants)} planted, {caught} caught")
    return 0 if caught == len(mutants) and all(sound.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
