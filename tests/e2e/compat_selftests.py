"""The kernel's own selftests for liveupdate, built as they are, static and dynamic, under compat.

They are taken from what `make test-kernel` keeps; without it there is nothing to run.
"""

import glob
import os
import re
import shutil

from harness import Skipped, check, contains, descendants_of, equal
from liveupdate import main

KEXEC = {"luo_kexec_simple": "SIMPLE KEXEC TEST PASSED",
         "luo_multi_session": "MULTI-SESSION KEXEC TEST PASSED",
         "luo_stress_files": "MANY-FILES KEXEC TEST PASSED",
         "luo_stress_sessions": "MANY-SESSIONS KEXEC TEST PASSED"}


def kernel():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for folder in sorted(glob.glob(f"{cache}/outlive/kernel/*/selftests/liveupdate"), reverse=True):
        if not shutil.which("gcc"):
            raise Skipped("no gcc")
        return os.path.dirname(os.path.dirname(folder))
    raise Skipped("no kernel's selftests here: make test-kernel fetches them")


def build(world, name, kind):
    root = kernel()
    tests = f"{root}/selftests/liveupdate"
    program = world.path(f"{name}-{kind}")
    done = world.run("gcc", *(["-static"] if kind == "static" else []), "-O1", "-D_GNU_SOURCE",
                     "-isystem", f"{root}/include", "-I", f"{tests}/lib/include", "-I", f"{tests}/..",
                     "-o", program, f"{tests}/{name}.c", f"{tests}/lib/lu_utils.c", timeout=120)
    check(done.code == 0, f"{name} doesn't build:\n{done.err}")
    return program


def end(program):
    """The child that stage 1 leaves, so that its sessions stay open."""
    for pid in descendants_of(os.getpid()):
        try:
            if os.readlink(f"/proc/{pid}/exe") == program:
                os.kill(pid, 9)
        except OSError:
            pass


def over_kexec(world, program, passed):
    device = ("compat", "--device", "selftest")
    world.must(*device, "--", program, "-s", "1")
    world.must(*device, "--reboot")
    contains(world.must(*device, "--", program, "-s", "2").out, passed, "stage 2")
    world.must(*device, "--stop")
    end(program)


def test(world):
    os.makedirs(world.runtime, exist_ok=True)
    for kind in ("dynamic", "static"):
        said = world.must("compat", "--", build(world, "liveupdate", kind)).out
        totals = re.search(r"# Totals: pass:(\d+) fail:(\d+) xfail:\d+ xpass:\d+ skip:(\d+) error:(\d+)",
                           said)
        check(totals, f"no totals in:\n{said}")
        passed, *others = map(int, totals.groups())
        equal(others, [0, 0, 0], f"fail, skip, error ({kind})")
        contains(said, f"1..{passed}\n", "the plan")
    for name, passed in KEXEC.items():
        over_kexec(world, build(world, name, "dynamic"), passed)
    over_kexec(world, build(world, "luo_kexec_simple", "static"), KEXEC["luo_kexec_simple"])


if __name__ == "__main__":
    main(test)
