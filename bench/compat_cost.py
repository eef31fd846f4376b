"""What `outlive compat` costs a program that never touches the device: the same command without and
with it, in turns; the medians of the ratios. The target is that of a walk over a tree."""

import os
import statistics
import subprocess
import tempfile
import time

COMMANDS = [("find /usr", ["find", "/usr"], 1.5),
            ("du -s /usr", ["du", "-s", "/usr"], None),
            ("grep -rq in /usr/include", ["grep", "-rq", "nowhere_at_all", "/usr/include"], None),
            ("ls -lR /usr/share", ["ls", "-lR", "/usr/share"], None)]


def seconds(words, environment):
    begin = time.monotonic()
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env=environment, check=False)
    return time.monotonic() - begin


def compat(report, bin_dir, quick):
    report.section("outlive compat: what it costs a program that has nothing to do with it")
    prefix = [os.path.join(bin_dir, "outlive"), "compat", "--"]
    with tempfile.TemporaryDirectory() as runtime:
        environment = dict(os.environ, OUTLIVE_RUNTIME_DIR=runtime)
        for name, words, target in COMMANDS:
            seconds(words, environment)  # warm
            pairs = [(seconds(words, environment), seconds(prefix + words, environment))
                     for _ in range(3 if quick else 9)]
            ratio = statistics.median(under / plain for plain, under in pairs)
            report.value(f"{name}, alone, p50", statistics.median(p for p, _ in pairs) * 1e3, "ms")
            report.value("  under outlive compat / alone, p50", ratio, "times")
            if target is not None:
                report.target(f"{name} under outlive compat / alone, p50", ratio, target)
