"""A finish that breaks an invariant, planted: the service serves on, but stays in `updated` and takes no
further update, nor does the host; `outlive status` says why and exits with 78. The next worker looks
again. With on-finish-failure = "reboot" the configured command is run, three times at most."""

import errno
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "crash"))

from fault_page import FaultPage  # noqa: E402
from harness import check, contains, equal, free_port, main, try_ask, wait_for  # noqa: E402

FAILED, HELD = 1, 78
REBOOT = """
[liveupdate]
on-finish-failure = "reboot"
reboot-command = ["/bin/sh", "-c", "echo rebooted >>%s"]
reboot-timeout-ms = 100
"""


def count(port):
    return int(wait_for("an answer", lambda: try_ask(port)).split()[0])


def second(world, name, config=""):
    """Another outlived, and the page of its faults."""
    page = FaultPage(world.path(name + ".faults"))
    return world.second(name, config, env={"OUTLIVE_FAULTS": "@" + page.path}), page


def start(world):
    port = free_port()
    world.run_service("counter", port)
    equal(count(port), 1, "count")
    return port


def worker_of(world):
    return json.loads(world.outlive("status", "--json").out)["pid_worker"]


def break_finish(world, page, port):
    page.arm("worker", "luo.finish", action=errno.EUCLEAN)
    done = world.update_service("counter", port)
    equal(page.disarm(), 1, "planted failures")
    equal(done.code, FAILED, f"exit code: {done.out}{done.err}")
    contains(done.out, "its finish failed: injected", "what the command tells")


def held(world, port, counted):
    """Serves, is in `updated`, and nothing begins."""
    equal(count(port), counted, "it serves on")
    before = world.service("counter")
    for words in (["update", "counter"], ["rollback", "counter"], ["reboot", "--soft"]):
        done = world.outlive(*words)
        equal(done.code, FAILED, f"{words}: {done.out}{done.err}")
        contains(done.err, "the finish of its last update failed", f"{words}: why")
    after = world.service("counter")
    for word in ("pid", "generation", "state", "update", "updates", "rollbacks"):
        equal(after[word], before[word], f"{word} of the service")
    done = world.outlive("status")
    equal(done.code, HELD, "exit code of status")
    contains(done.out, "service 'counter': injected", "what status says")
    newest = world.json("list", "updates")["updates"][0]
    equal((newest["state"], newest["result"]), ("updated", "finish failed"), "the update")


def hold(world, page):
    port = start(world)
    break_finish(world, page, port)
    contains(world.log(), "its finish broke an invariant: injected", "the log")
    held(world, port, 2)
    # The next worker looks again, and finds the same.
    page.arm("worker", "luo.finish", action=errno.EUCLEAN)
    world.kill(worker_of(world))
    wait_for("the next worker's look", lambda: page.fired)
    page.disarm()
    held(world, port, 3)
    # And the next one finds nothing: the update is over, and another one works.
    world.kill(worker_of(world))
    wait_for("the service to be normal",
             lambda: world.outlive("status").code == 0 and world.service("counter")["update"] is None)
    equal(world.update_service("counter", port).code, 0, "an update")
    equal(count(port), 4, "count")
    world.expect_clean()
    break_finish(world, page, port)
    world.must("stop", "counter", "--force")
    equal(world.outlive("status").code, 0, "its end ends it")
    world.expect_clean()
    world.stop_outlived()


def queued(world, page):
    """Who waits for an update to be over, and it fails, is told."""
    gate = world.path("gate")
    port = free_port()
    world.run_service("counter", port, "--at", f"freeze=wait:{gate}")
    page.arm("worker", "luo.finish", action=errno.EUCLEAN)
    outs = []
    for number in range(2):
        out = open(world.path(f"update{number}"), "w+")
        outs.append((out, world.start(world.program("outlive"), "update", "counter", "--progress",
                                      env=world.environment, stdout=out, stderr=out)))
        if number == 0:
            wait_for("the first to be waited for", lambda: os.path.exists(gate + ".waits"))
    wait_for("both to be there", lambda: connections(world) >= 2)
    open(gate, "w").close()
    codes = [command.wait(timeout=60) for _, command in outs]
    equal(codes, [FAILED, FAILED], "exit codes")
    outs[1][0].seek(0)
    contains(outs[1][0].read(), "the finish of its last update failed", "what the second is told")
    for out, _ in outs:
        out.close()
    world.stop_outlived()


def connections(world):
    """Established ones at the control socket."""
    with open("/proc/net/unix") as table:
        return sum(line.rstrip().endswith(world.runtime + "/control.sock") and " 0001 03 " in line
                   for line in table)


def reboot(world, page, marker):
    port = start(world)
    break_finish(world, page, port)
    wait_for("three tries", lambda: "still here after 3 tries" in world.log())
    with open(marker) as file:
        equal(file.read(), 3 * "rebooted\n", "runs of the command")
    equal(count(port), 2, "it serves meanwhile")
    equal(world.outlive("status").code, HELD, "exit code of status")
    world.stop_outlived()


def test(world):
    hold(*second(world, "hold"))
    queued(*second(world, "queued"))
    marker = world.path("rebooted")
    reboot(*second(world, "reboot", REBOOT % marker), marker)
    bad = world.write("bad.toml", '[liveupdate]\non-finish-failure = "reboot"\n')
    done = world.run(world.program("outlived"), "--check-config", bad)
    check(done.code != 0 and "reboot needs a reboot-command" in done.err, f"config: {done.err}")


main(test)
