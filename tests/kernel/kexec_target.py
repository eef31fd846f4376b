"""`outlive kexec` looks into the kernel to come: one without the orchestrator, one of another format, one that
can't be compared are refused before anybody was asked. Another kernel of the same formats is taken.

The kernels that are refused are copies of the test's own with names of formats blanked or changed, and the
configuration in it: nobody boots them. The machine's clock was never set."""

import functools
import json

from case import main
from harness import check, contains, equal
from kernel_images import Image, with_other_luo, without_luo
from kexec_world import counted, cross, kexec, outlive, said, start, status
from machine import Machine

OWN = ("--running-kernel", "/host/kernel")


def image(machine, name, change=None, version=None):
    made = Image(f"{machine.host}/kernel")
    if change:
        made.has(change)
    if version:
        made.says_version(version)
    made.save(f"{machine.host}/{name}")


def pid(machine):
    services = json.loads(outlive(machine, "list", "services", "--json").out)["services"]
    return services[0]["pid"]


def refused(machine, kernel, *options, says):
    ran = kexec(machine, *options, kernel=kernel)
    equal(ran.code, 4, f"{kernel}: {ran.out}")
    for words in says:
        contains(ran.out, words, kernel)
    contains(ran.out, "2 files in 1 session would be lost", kernel)
    equal(status(machine)["state"], "normal", f"{kernel}: the state after it")


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter"):
        machine.offer(machine.program(program))
    image(machine, "without-luo", without_luo)
    image(machine, "other-luo", with_other_luo)
    image(machine, "another", version="9")
    start(machine)
    said(machine, "fresh")
    before = pid(machine)

    refused(machine, "/host/without-luo", says=(
        "no Live Update Orchestrator", "no kho-vN, no luo-vN, no memfd-vN is in it",
        "its configuration lacks CONFIG_LIVEUPDATE"))
    refused(machine, "/host/other-luo", *OWN, says=("it takes over kho-v", "but the running kernel hands on"))
    refused(machine, "/host/another", says=("it is another kernel (9", "(--running-kernel)"))
    refused(machine, "/host/outlive.toml", says=("no kernel of a kind that is known here",))
    bare = outlive(machine, "kexec", "--kernel", "/host/kernel", "--cmdline", "console=ttyS0 kho=on")
    equal(bare.code, 4, "without its liveupdate=on")
    contains(bare.out, "lacks liveupdate=on", "why")
    wrong = kexec(machine, "--running-kernel", "/host/another")
    equal(wrong.code, 1, "something else said to be the running kernel")
    contains(wrong.out, "isn't the running kernel's", "why")

    for trust, code in ((), 4), (("--trust-kernel",), 0):
        plan = outlive(machine, "kexec", "--dry-run", "--kernel", "/host/other-luo", *OWN, *trust)
        equal(plan.code, code, f"a plan, {trust}: {plan.out}")
        contains(plan.out, "it takes over kho-v", f"a plan, {trust}")
    equal(pid(machine), before, "the service's process")
    check("cancelled" not in outlive(machine, "log", "counter").out, "nobody was asked")

    cross(machine, *OWN, kernel="/host/another")
    check(counted(said(machine, "adopted at")) > 0, "through the kexec into another kernel")


main(test, functools.partial(Machine, clock="1970-01-01"))
