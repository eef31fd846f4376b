"""The kernel's own tests of LUO, built as they are, static."""

import os
import subprocess

from machine import Failed


def build(machine, name):
    """Builds tools/testing/selftests/liveupdate/NAME.c of this very kernel, and offers it."""
    tests = os.path.join(machine.kernel, "selftests", "liveupdate")
    program = os.path.join(machine.folder, name)
    done = subprocess.run(
        ["gcc", "-static", "-O2", "-Wall", "-D_GNU_SOURCE", "-isystem", f"{machine.kernel}/include",
         "-I", f"{tests}/lib/include", "-I", f"{tests}/..", "-o", program,
         f"{tests}/{name}.c", f"{tests}/lib/lu_utils.c"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"the selftest {name} doesn't build:\n{done.stderr}")
    machine.offer(program)


def over_kexec(machine, name, passed):
    """Stage 1, a kexec, stage 2; the test says `passed` when all was there."""
    build(machine, name)
    print(machine.must(name, "-s", "1"))
    machine.kexec()
    said = machine.must(name, "-s", "2")
    print(said)
    if passed not in said:
        raise Failed(f"{name} doesn't say '{passed}'")
