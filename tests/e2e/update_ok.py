"""An update that goes well: the count, an open connection and one that waits in the listener are
the next one's, no answer is lost or doubled; the old one is gone, and the timeline says what
happened."""

import socket

from harness import ask, check, equal, free_port, is_alive, main, wait_for

UPDATES = 10


def test(world):
    world.start_outlived()
    port = free_port()
    world.run_service("web", port)
    status = world.status()
    count = 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as kept:
        lines = kept.makefile("r")
        fds = None
        for update in range(1, UPDATES + 1):
            old = world.service("web")["pid"]
            kept.sendall(b"hello\n")
            count += 1
            equal(lines.readline().split(), [str(count), str(old)], "before the update")
            done = world.json("update", "web")
            equal((done["result"], done["from_generation"], done["to_generation"]),
                  ("updated", update, update + 1), "its result")
            kept.sendall(b"hello\n")
            count += 1
            answer = lines.readline().split()
            equal(answer[0], str(count), "after the update")
            check(answer[1] != str(old), "the old one answered")
            count += 1
            equal(ask(port).split()[0], str(count), "a new connection")
            wait_for("the old one to leave", lambda: not is_alive(old))
            wait_for("the end of the update", lambda: world.service("web")["update"] is None)
            if update == 2:
                fds = wait_for("what is being closed",
                               lambda: world.fds_of(status["pid_keeper"]))
    service = world.service("web")
    equal((service["updates"], service["rollbacks"]), (UPDATES, 0), "counted")
    wait_for("outlived's fds to be flat", lambda: world.fds_of(status["pid_keeper"]) <= fds)
    timeline = world.json("timeline")
    steps = [(entry["who"], entry["what"]) for entry in timeline["entries"]]
    for wanted in (("successor", "start"), ("old", "prepare"), ("old", "freeze"),
                   ("successor", "adopt"), ("outlived", "blackout")):
        check(wanted in steps, f"{wanted} is not in the timeline {steps}")
    equal(world.status()["worker_deaths"], 0, "deaths of the worker")
    world.expect_clean()
    world.must("stop", "web", "--force")
    equal(world.status()["sessions"], 0, "sessions after the stop")
    world.expect_clean()
    world.stop_outlived()


main(test)
