#!/usr/bin/env python3
"""What `outlive compat` costs a program that never touches the device: the same command without and
with it, in turns. Prints the median of the ratios; the target is that of a walk over a tree.

    python3 bench/compat_cost.py BIN_DIR [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = [("find /usr", ["find", "/usr"], 1.5),
            ("du -s /usr", ["du", "-s", "/usr"], None),
            ("grep -rq in /usr/include", ["grep", "-rq", "nowhere_at_all", "/usr/include"], None),
            ("ls -lR /usr/share", ["ls", "-lR", "/usr/share"], None)]


def seconds(words):
    begin = time.monotonic()
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begin


def main():
    compat = [os.path.join(sys.argv[1], "outlive"), "compat", "--"]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    missed = False
    with tempfile.TemporaryDirectory() as runtime:
        os.environ["OUTLIVE_RUNTIME_DIR"] = runtime
        for name, words, target in COMMANDS:
            seconds(words)  # warm
            pairs = [(seconds(words), seconds(compat + words)) for _ in range(rounds)]
            ratio = statistics.median(under / plain for plain, under in pairs)
            missed |= target is not None and ratio > target
            print(f"compat: {name}: {statistics.median(p for p, _ in pairs) * 1e3:.0f} ms, ratio {ratio:.2f}"
                  + (f" (target <= {target})" if target else ""))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
