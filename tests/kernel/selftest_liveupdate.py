"""The kernel's selftest `liveupdate` passes whole: nothing fails, nothing is skipped."""

import re

import selftests
from case import main
from harness import check, contains


def test(machine):
    selftests.build(machine, "liveupdate")
    said = machine.must("liveupdate")
    print(said)
    totals = re.search(r"# Totals: pass:(\d+) fail:(\d+) xfail:\d+ xpass:\d+ skip:(\d+) error:(\d+)", said)
    check(totals, f"no totals in:\n{said}")
    passed, *others = map(int, totals.groups())
    check(others == [0, 0, 0], f"fail, skip, error: {others}")
    contains(said, f"1..{passed}\n", "the plan")


main(test)
