"""The plan of a service with many files comes in parts, of which each looks at its own files only, and
the counts of the last part are of all of them; `outlive plan` shows one list. So does a list of files.

    OUTLIVE_FILES=19000 python3 tests/e2e/long_plan.py BIN_DIR    bounds the time of a part for so many"""

import os
import signal
import sys

import protocol as p
from harness import check, contains, equal, main, wait_for

FILES = int(os.environ.get("OUTLIVE_FILES", "450"))
MOST, MOST_LISTED = 200, 100  # files of a part
TURN_NS = 5_000_000  # the worker's time for a part, where there are many files


def serve(count):
    """The service: preserves and waits. Of ten files one is a pipe's end, which no kexec carries."""
    wire = p.Wire.connect(os.environ["OUTLIVE_RUNTIME_DIR"])
    wire.participate(int(os.environ["OUTLIVE_INSTANCE"]))
    wire.ready(p.START, 0)
    session = wire.create_session("many")
    for first in range(0, count, 200):
        tokens = list(range(first, min(first + 200, count)))
        pipes = [os.pipe() for token in tokens if token % 10 == 0]
        fds = [pipes[(token - first) // 10][0] if token % 10 == 0 else os.memfd_create("one")
               for token in tokens]
        session.call(p.PRESERVE_MANY, p.many_body(tokens), fds)
        for fd in fds + [writer for _, writer in pipes]:
            os.close(fd)
    signal.pause()


def time_of(pid):
    """That a processor has spent on it, in ns: how busy the machine is doesn't matter."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])


def parts_of(world, method, **parameters):
    after, parts, worker = None, 0, world.status()["pid_worker"]
    before = time_of(worker)
    while True:
        error, reply = p.varlink(world.runtime, method, {**parameters, "after": after})
        parts += 1
        equal(error, None, f"{method}: {reply}")
        yield reply
        after = reply.get("next")
        if after is None:
            break
    each = (time_of(worker) - before) // parts
    print(f"{method}: {parts} parts, {each // 1000} us of the worker's time each")
    if FILES >= 10_000:
        check(each < TURN_NS, f"a part of {method} took {each} ns")


def test(world):
    world.start_outlived("[limits]\nfiles-per-uid = 20000\n")
    world.must("run", "web", "--", sys.executable, os.path.abspath(__file__), "--service", str(FILES))
    wait_for("the service's files", lambda: world.service("web")["files"] == FILES)
    seen, lost = [], 0
    for part in parts_of(world, "Plan", name="web", scope="kernel"):
        check(0 < len(part["files"]) <= MOST, f"{len(part['files'])} files in a part")
        seen += [int(one["token"], 16) for one in part["files"]]
        lost += sum(one["crosses"] == "lost" for one in part["files"])
        equal(part["lost"], lost, "lost so far")
        contains(part["would"], f"lose {lost} of {len(seen)} files", "the sum so far")
    equal(seen, list(range(FILES)), "files of all parts")
    equal(lost, (FILES + 9) // 10, "lost in all: the pipes")
    listed, parts = [], 0
    for part in parts_of(world, "ListFiles", session="many"):
        check(0 < len(part["files"]) <= MOST_LISTED, f"{len(part['files'])} files in a part")
        listed += [int(one["token"], 16) for one in part["files"]]
        parts += 1
    equal(listed, list(range(FILES)), "files of all parts of the list")
    check(parts >= FILES // MOST_LISTED, f"{parts} parts")

    done = world.outlive("plan", "web", "--scope", "kernel")
    equal(done.code, 4, f"something would be lost: {done.err}")
    contains(done.out, f"lose {lost} of {FILES} files", "the sum of the whole")
    equal(done.out.count("LOST"), lost, "lines of what would be lost")
    for wrong in ("", "1", "1-1", "1-1-", "1-1-1-", "x-1-1"):
        error, reply = p.varlink(world.runtime, "Plan", {"name": "web", "after": wrong})
        equal((error, reply), ("org.varlink.service.InvalidParameter", {"parameter": "after"}),
              f"after={wrong!r}")
    equal(len(world.json("list", "files")["files"]), FILES, "files of `outlive list`")
    world.must("stop", "web", "--force")
    world.stop_outlived()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--service"]:
        serve(int(sys.argv[2]))
    sys.exit(main(test))
