"""The worker dies at each message that it sends while a service starts, also at the answer to its READY: the
service is running all the same, at once, and not killed later as one that never said so."""

import os
import sys

from harness import HERE, check, equal, free_port, main, wait_for

sys.path.append(os.path.join(os.path.dirname(HERE), "crash"))
from fault_page import FaultPage  # noqa: E402 - of tests/crash

AT = "sys.sendmsg"


def start_killed(world, page, at):
    """True: a start has so many messages."""
    name = f"web{at}"
    page.arm("worker", AT, at)
    world.run_service(name, free_port())
    hit = page.disarm() == 1
    wait_for(f"{name} to run, after a death at message {at}",
             lambda: world.service(name)["state"] == "running", seconds=15)
    equal(world.service(name)["restarts"], 0, "its process is the first one")
    world.must("stop", name, "--force")
    return hit


def test(world):
    page = FaultPage(world.path("faults"))
    # After that time a service that is lost is killed, and `outlive run` fails.
    world.start_outlived("[update]\nready-timeout-ms = 20000\n", env={"OUTLIVE_FAULTS": "@" + page.path})
    at = 1
    while start_killed(world, page, at):
        at += 1
    check(at > 5, f"a start has {at - 1} messages only")
    print(f"{at - 1} deaths")
    world.expect_clean()
    world.stop_outlived()


main(test)
