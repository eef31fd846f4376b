"""The worker dies when a reply with a descriptor is sent and its request off the socket, but the
record still names the descriptor. Whatever the client does next, nobody but the client holds its end
of the session: the session ends when it is closed, and outlived has no descriptor more than before."""

import os
import socket
import struct
import sys

import protocol as p
from harness import HERE, equal, main, wait_for

sys.path.append(os.path.join(os.path.dirname(HERE), "crash"))
from fault_page import FaultPage  # noqa: E402 - of tests/crash

AT = "daemon.answered"


def session_of(reply):
    return p.Wire(socket.socket(fileno=reply.fds[0]))


def create_another(device):
    """The next request is one whose reply has a descriptor, too."""
    return [device.create_session("another")]


def ask_for_status(device):
    """The next request is one whose reply has none."""
    device.call(p.STATUS, struct.pack("<II", 8, 0))
    return []


def ask_again(device):
    """The same sequence: the stored reply comes again, descriptor and all."""
    reply = device.ask(p.CREATE_SESSION, p.session_body("one"), sequence=device.sequence)
    equal(reply.result, 0, "the stored reply")
    return [session_of(reply)]


def hang_up(device):
    """There is no next request."""
    device.close()
    return []


def number_of_sessions(world):
    return len(world.json("list", "sessions")["sessions"])


def killed(world, page, then):
    with p.Wire.connect(world.runtime) as device:
        device.call(p.STATUS, struct.pack("<II", 8, 0))
        deaths = world.status()["worker_deaths"]
        page.arm("worker", AT)
        reply = device.ask(p.CREATE_SESSION, p.session_body("one"))
        equal(reply.result, 0, "CREATE_SESSION")
        sessions = [session_of(reply)]
        wait_for("the worker to die", lambda: world.status()["worker_deaths"] == deaths + 1)
        equal(page.disarm(), 1, "kills")
        sessions += then(device)
        with open(world.path("file"), "w") as file:
            sessions[0].preserve(1, file.fileno())
        equal(sessions[0].files(), [1], "what is preserved")
        world.expect_clean()
        for session in sessions:
            session.close()
        wait_for(f"the sessions to end ({then.__name__})", lambda: number_of_sessions(world) == 0)


def test(world):
    page = FaultPage(world.path("faults"))
    world.start_outlived(env={"OUTLIVE_FAULTS": "@" + page.path})
    killed(world, page, hang_up)  # from here on outlived has all it needs, its closer too
    keeper = world.status()["pid_keeper"]
    wait_for("the three to be there", lambda: world.status()["pid_spare"] > 0)
    before = world.fds_of(keeper)
    for then in (create_another, ask_for_status, ask_again, hang_up):
        killed(world, page, then)
        world.expect_clean()
    wait_for(f"{before} descriptors to be open again", lambda: world.fds_of(keeper) <= before)
    world.stop_outlived()


main(test)
