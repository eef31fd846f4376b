"""`outlive kexec`: a service's memory and files are there after it, with seals, mode, owner, flags and position,
reserved memory is where it was, and so is the end of a lease. The flight recorder has the last words of before. A
veto and an image that is none are cancels: the service counts on."""

import datetime
import json

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import RUNTIME, counted, cross, kexec, outlive, said, start, status


def listed(machine, what):
    return json.loads(outlive(machine, "list", what, "--json").out)[what]


def kept(machine):
    """Reserved memory: its addresses. Of the session that nobody holds: when its lease ends."""
    regions = sorted((one["name"], one["start"], one["size"]) for one in listed(machine, "regions"))
    ends = [one["lease_ends"] for one in listed(machine, "sessions") if one["name"] == "left"]
    return regions, datetime.datetime.fromisoformat(ends[0].replace("Z", "+00:00"))


def same(before, after):
    equal(after[0], before[0], "reserved memory")
    check("notes" in [name for name, _, _ in after[0]], f"the configuration's: {after[0]}")
    # The machine's clock has whole seconds.
    check(abs((after[1] - before[1]).total_seconds()) < 3, f"the lease's end: {before[1]}, {after[1]}")


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter", "kernel-session"):
        machine.offer(machine.program(program))
    told = start(machine)
    machine.must("kernel-session", "save", "left", "a text", environment=(f"OUTLIVE_RUNTIME_DIR={RUNTIME}",))
    equal((told["machine"], told["live_update_number"]), ("kernel", 0), "the start")
    said(machine, "fresh")

    plan = json.loads(outlive(machine, "kexec", "--dry-run", "--json").out)
    equal((len(plan["files"]), plan["lost"]), (3, 0), "the plan")

    least = 0
    for number in range(1, 3):
        before = kept(machine)
        told = cross(machine)
        same(before, kept(machine))
        words = outlive(machine, "log", "--previous").out
        contains(words, "Switched from [prepared] to [frozen] state", "the last words of the outlived before")
        equal(told["live_update_number"], number, "the live update number")
        line = said(machine, "adopted at")
        contains(line, "16 bytes 'what was written', seals there, mode 640, owner 65534:65534, append 1, position 16", "the file")
        check(counted(line) >= least, f"it counted on from {least}: {line}")
        least = counted(line) + 1
        wait_for("the update's end", lambda: status(machine)["state"] == "normal", seconds=120)
        blackout(machine)

    refusals(machine)


def blackout(machine):
    """From the freeze on this kernel's predecessor to when the service has all again."""
    told = json.loads(outlive(machine, "timeline", "--json").out)
    bars = {(one["who"], one["what"]): one for one in told["entries"]}
    begin, end = bars["outlived", "blackout"]["start_us"], bars["outlived", "blackout"]["end_us"]
    equal((told["blackout_start_us"], told["blackout_end_us"]), (begin, end), "as the chart has it")
    equal(begin, bars["old", "freeze"]["start_us"], "its begin")
    check(bars["kernel", "kexec"]["end_us"] <= bars["outlived", "attach"]["end_us"] <= end, f"its end: {told}")
    check(abs(told["blackout_us"] - (end - begin)) <= 1, f"how long it was: {told}")  # both are rounded


def refusals(machine):
    """Each is a cancel, or comes before anybody was asked: the same process of the service counts on."""
    def pid():
        return json.loads(outlive(machine, "list", "services", "--json").out)["services"][0]["pid"]
    before = pid()
    bad = kexec(machine, "--trust-kernel", kernel="/host/outlive.toml")
    equal(bad.code, 1, "a kernel that is none")
    contains(bad.out, "kexec_file_load", "why")
    equal(status(machine)["state"], "normal", "the state after it")
    equal(pid(), before, "the service's process")
    machine.must("outlive", "--runtime-dir", RUNTIME, "update", "counter", "--", "/host/kernel-counter",
                 "veto")
    before = pid()
    vetoed = kexec(machine)
    equal(vetoed.code, 3, "a service that says no to the freeze")
    contains(vetoed.out, "vetoed freeze", "why")
    equal(status(machine)["state"], "normal", "the state after it")
    equal(pid(), before, "the service's process")
    machine.must("outlive", "--runtime-dir", RUNTIME, "update", "counter", "--", "/host/kernel-counter")


main(test)
