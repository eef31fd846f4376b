"""Around reboot(2): nothing is preserved with the kernel once anybody has been asked; a worker that dies while
it is on its way is not replaced by one that serves, and when it fails everything goes on. Then through it: the timeline
has the steps of `outlive kexec` and the kernel's own time."""

import json

from case import main
from harness import check, contains, equal, wait_for
from kexec_world import RUNTIME, cross, outlive, said, start, status

WAITS = "nobody is served before that failed"


def fails(machine):
    """`outlive kexec`, watched: reboot(2) fails, after the worker was killed."""
    worker = status(machine)["pid_worker"]
    line = machine.read("/proc/cmdline").strip().split(" outlive.stage=")[0]
    ran = machine.run("kernel-watch", str(worker), "/outlived.log", WAITS, "/host/outlive",
                      "--runtime-dir", RUNTIME, "kexec", "--kernel", "/host/kernel", "--initrd",
                      "/host/initrd", "--cmdline", f"{line} outlive.stage=2")
    lines = ran.out.splitlines()
    equal(ran.code, 1, f"a reboot(2) that fails: {ran.out}")
    contains(ran.out, "reboot into the next kernel", "why")
    check("nobody has said it" not in lines, f"the next worker doesn't wait: {ran.out}")
    for word in ("preserve", "asks begin", "asks check", "reboot", "asks cancel"):
        check(word in lines, f"'{word}' is seen: {ran.out}")
    check("preserve" not in lines[lines.index("asks begin"):], f"preserved in the blackout: {lines}")
    check(lines.index("asks check") < lines.index("reboot") < lines.index("asks cancel"), f"{lines}")
    said(machine, "cancelled at")
    told = status(machine)
    check(told["pid_worker"] != worker, "another worker")
    equal((told["state"], told["live_update_number"]), ("normal", 0), "after the cancel")


def steps(machine):
    """The timeline, of who did what."""
    wait_for("the update's end", lambda: status(machine)["state"] == "normal", seconds=120)
    return json.loads(machine.must("outlive", "--runtime-dir", RUNTIME, "timeline", "--json"))["entries"]


def bar(entries, who, what):
    found = [(one["start_us"], one["end_us"]) for one in entries if (one["who"], one["what"]) == (who, what)]
    equal(len(found), 1, f"bars '{who}: {what}' in {entries}")
    check(found[0][1] is not None and found[0][1] >= found[0][0], f"{who}: {what} has an end: {found}")
    return found[0]


def test(machine):
    for program in ("outlive", "outlived", "kernel-counter", "kernel-watch"):
        machine.offer(machine.program(program))
    start(machine)
    said(machine, "fresh")
    fails(machine)
    told = cross(machine)
    equal(told["live_update_number"], 1, "the live update number")
    said(machine, "adopted at")
    entries = steps(machine)
    by = "outlive kexec"
    asked = min(one["start_us"] for one in entries if one["what"] in ("prepare", "freeze"))
    frozen = min(one["start_us"] for one in entries if one["what"] == "freeze")
    for what in ("load", "preserve counter", "preserve room", "sync"):
        check(bar(entries, by, what)[1] <= asked, f"'{what}' is over before anybody is asked: {entries}")
    write, kernel = bar(entries, by, "write"), bar(entries, "kernel", "kexec")
    check(frozen <= write[0] <= write[1] == kernel[0], f"write, then the kernel: {entries}")
    equal(bar(entries, by, "reboot(2)"), (kernel[0], kernel[0]), "reboot(2)")
    boot = bar(entries, "kernel", "boot")  # the machine's clock counts seconds, a kernel's own doesn't
    check(kernel[0] <= boot[0] < boot[1] == kernel[1], f"the boot, within the kernel's time: {entries}")
    check(boot[1] - boot[0] < float(machine.read("/proc/uptime").split()[0]) * 1e6, f"the boot: {boot}")
    retrieve, attach = bar(entries, "outlived", "retrieve"), bar(entries, "outlived", "attach")
    check(kernel[1] == retrieve[0] and retrieve[1] == attach[0], f"kernel, retrieve, attach: {entries}")
    text = machine.must("outlive", "--runtime-dir", RUNTIME, "timeline")
    for words in ("kernel", "retrieve", "preserve counter"):
        contains(text, words, "the chart")
    machine.must("outlive", "--runtime-dir", RUNTIME, "timeline", "--html", "/tmp/chart.html")
    contains(machine.read("/tmp/chart.html"), "kernel", "the chart for a browser")


main(test)
