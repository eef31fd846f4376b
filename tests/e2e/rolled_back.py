"""What the update_veto and successor_dies tests share: an update that must be rolled back, each in
its own way, while a client goes on asking; afterwards everything is as before, to the last bit."""

import socket

from harness import Failed, contains, equal, free_port, is_alive, wait_for


def rolled_back(world, cases, config=""):
    """cases: (options of the first version, options of the successor, words of the reason[, options
    of outlive]). Limits are short where nobody answers, and nowhere else: a busy machine needs them."""
    world.start_outlived(config)
    for number, (old_options, new_options, reason, *more) in enumerate(cases, 1):
        name, port = f"web{number}", free_port()
        world.run_service(name, port, *old_options)
        one_case(world, name, port, new_options, reason, *more)
    world.expect_clean()
    world.stop_outlived()


def digest(world):
    return world.must("kho", "dump", "--digest").out


def one_case(world, name, port, new_options, reason, run=()):
    before = world.service(name)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as kept:
        lines = kept.makefile("r")

        def hello(count):
            kept.sendall(b"hello\n")
            equal(lines.readline().split(), [str(count), str(before["pid"])], f"{name}, {reason}")

        hello(1)
        words = digest(world)
        done = world.update_service(name, port, *new_options, run=run)
        equal(done.code, 3, f"{reason}: exit code ({done.out}{done.err})")
        contains(done.out, "rolled back", reason)
        contains(done.out, reason, "the reason")
        equal(digest(world), words, f"{reason}: the digest")
        hello(2)
    after = world.service(name)
    for key in ("pid", "generation", "state", "updates", "restarts", "argv"):
        equal(after[key], before[key], f"{reason}: {key}")
    equal(after["rollbacks"], 1, f"{reason}: rollbacks")
    equal(after["update"], None, f"{reason}: its update")
    contains(world.log(), "rolled back", "outlived's log")
    # The next clean update works.
    done = world.update_service(name, port)
    if done.code != 0 and "--at" not in before["argv"]:
        raise Failed(f"after {reason}: the next update: {done.out}{done.err}")
    if done.code == 0:
        wait_for("the old one to leave", lambda: not is_alive(before["pid"]))
