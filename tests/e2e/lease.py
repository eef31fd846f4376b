"""Claim leases: who dies between retrieve and finish leaves the session to the next one, files and all;
after the configured time, or at its owner's word, it is given up. Also of a plain client, and a
service's own time; a death of the worker in between changes nothing."""

import errno
import os
import struct
import sys

import protocol as p
from harness import PATIENCE, check, contains, equal, free_port, main, wait_for

SHORT = int(50 * PATIENCE)  # ms


def session_named(world, name):
    found = [one for one in world.json("list", "sessions")["sessions"] if one["name"] == name]
    return found[0] if found else None


def unheld(world, name):
    """Waits until nobody holds it, and returns it."""
    return wait_for(f"{name} to be let go",
                    lambda: (one := session_named(world, name)) and not one["claimed"] and one)


def connect(world):
    return p.Wire.connect(world.runtime)


def leave(world, name, contents):
    """A client that preserves two files in a lingering session, and is gone."""
    client = connect(world)
    session = client.create_session(name, linger=True)
    for token, text in enumerate(contents, start=1):
        file = os.memfd_create(f"{name}.{token}")
        os.write(file, text)
        session.preserve(token, file)
        os.close(file)
    session.close()
    client.close()
    return unheld(world, name)


def read_all(session):
    contents = []
    for token in session.files():
        file = session.retrieve(token)
        contents.append(os.pread(file, 100, 0))
        os.close(file)
    return contents


def plain_client(world):
    contents = [b"first", b"second"]
    left = leave(world, "plain", contents)
    equal(left["direction"], "incoming", "of a session whose holder is gone")
    check(left["lease_ends"], f"its lease has an end: {left}")
    for death in ("before it reads", "after it has read"):
        client = connect(world)
        session = client.retrieve_session("plain")
        equal(session_named(world, "plain")["lease_ends"], None, "lease of one that is held")
        try:
            connect(world).retrieve_session("plain")
            raise AssertionError("it was retrieved twice")
        except p.Refused as refused:
            equal(refused.errno, errno.EINVAL, "the second claim")
        if death == "after it has read":
            equal(read_all(session), contents, "files")
            world.kill(world.status()["pid_worker"])
        session.close()
        client.close()
        unheld(world, "plain")
    client = connect(world)
    session = client.retrieve_session("plain")
    equal(read_all(session), contents, "files of the third who claims it")
    session.call(p.FINISH, struct.pack("<II", 8, 0))
    session.close()
    wait_for("a finished session to be gone", lambda: session_named(world, "plain") is None)


def adopted(world):
    """Adopted it is outgoing again, and ends as any other that doesn't linger: here it does."""
    leave(world, "adopted", [b"x"])
    client = connect(world)
    session = client.retrieve_session("adopted")
    session.call(p.ADOPT, struct.pack("<II", 8, 0))
    equal(session_named(world, "adopted")["direction"], "outgoing", "of an adopted one")
    file = os.memfd_create("more")
    session.preserve(7, file)
    os.close(file)
    equal(session.files(), [1, 7], "files")
    session.close()
    unheld(world, "adopted")


def ended_by_hand(world):
    leave(world, "byhand", [b"x"])
    contains(world.must("list", "sessions").out, "given up at 2", "list sessions")
    if os.geteuid() == 0:
        done = world.run("setpriv", "--reuid=65534", "--clear-groups", world.program("outlive"), "end",
                         "byhand")
        equal(done.code, 1, "end of somebody else's session")
        contains(done.err, "no session 'byhand'", "what it says")
    contains(world.must("end", "byhand").out, "1 file given up", "end")
    equal(session_named(world, "byhand"), None, "the session")
    contains(world.outlive("end", "byhand").err, "no session", "end again")


def service_of_its_own_time(world):
    """A service that dies for good: its sessions wait as long as its own configuration says."""
    service = wait_for("the service", lambda: world.service("brief"))
    wait_for("it to run", lambda: world.service("brief")["state"] == "running")
    # Without notify it is "running" once it has lived for a while, whatever it has done by then.
    held = wait_for("its two files", lambda: (one := session_named(world, "brief")) and
                    one["files"] == 2 and one)
    equal((held["claimed"], held["lease_ends"]), (True, None), "while it runs")
    world.kill(world.service("brief")["pid"])
    wait_for("its lease to end", lambda: session_named(world, "brief") is None)
    contains(world.log(), "lease end: session 'brief' of uid", "the log")
    contains(world.log(), "service 'brief'", "the log")
    equal(world.service("brief")["id"], service["id"], "the service's own record")


def given_up(world):
    """The configured time, over a death of the worker."""
    second = world.second("short", f"[liveupdate]\nlease-ms = {SHORT}\n")
    leave(second, "short", [b"x", b"y"])
    held = leave(second, "held", [b"z"])
    client = connect(second)
    session = client.retrieve_session("held")
    second.kill(second.status()["pid_worker"])
    wait_for("its lease to end", lambda: session_named(second, "short") is None)
    contains(second.log(), "lease end: session 'short' of uid", "the log")
    contains(second.log(), "2 files are given up", "the log")
    equal(session_named(second, "held")["id"], held["id"], "the one that is held")
    equal(read_all(session), [b"z"], "its files")
    session.close()
    wait_for("its lease to end too", lambda: session_named(second, "held") is None)
    second.expect_clean()
    second.stop_outlived()


def test(world):
    port = free_port()
    command = [sys.executable, *world.service_command(str(port), "--name", "brief")[1:]]
    words = ", ".join(f'"{word}"' for word in command)
    world.start_outlived(f"""
[services.brief]
command = [{words}]
environment = ["PYTHONDONTWRITEBYTECODE=1"]
restart = "no"
lease-ms = {SHORT}
""")
    service_of_its_own_time(world)
    plain_client(world)
    adopted(world)
    ended_by_hand(world)
    given_up(world)
    world.expect_clean()


main(test)
