"""What one user may take of the arena: every kind of request is refused at the limit and changes
nothing, the next worker counts the same, who removes something has its room again, and a reload
changes it. By default it is a sixteenth, and not for root and outlived's own user."""

import errno
import os

import protocol as p
from floods import as_user, result_of
from harness import check, contains, equal, main, wait_for

EVIL, GOOD = 61005, 61006
PAGE = 4096
NOTE = PAGE + 128  # of a note of up to a page
SIXTEENTH = (8 << 20) // 16
CONFIG = """
[kho]
arena-max = "8M"
[limits]
subtrees-per-uid = 100000
subtree-bytes-per-uid = "1G"
"""


def quota(size):
    return f"{CONFIG}[quota.{os.geteuid()}]\narena-bytes = {size}\n"


def refusal_of(what):
    try:
        what()
    except p.Refused as refused:
        return refused
    return None


def expect_refused(what, text):
    refused = refusal_of(what)
    check(refused is not None, f"{text}: it was done")
    equal(refused.errno, errno.EDQUOT, f"{text}: {refused}")
    contains(str(refused), "arena-bytes-per-uid", text)


def run(world, name):
    return p.varlink(world.runtime, "Run", {
        "request_id": os.urandom(16).hex(), "name": name, "argv": ["/bin/sleep", "1000"], "env": [],
        "cwd": "/", "listen": [], "restart": "no", "notify": False, "ready_timeout_ms": 0,
        "stop_timeout_ms": 0, "policy": "fail"})


def kill_worker(world):
    worker = world.status()["pid_worker"]
    world.kill(worker)
    wait_for("another worker", lambda: world.status()["pid_worker"] not in (0, worker))


def each_kind_at_the_limit(world):
    """Our own user, with a quota of its own."""
    limit = 10 * NOTE + 192 + 3 * 152
    world.start_outlived(quota(limit))
    wire = p.Wire.connect(world.runtime)
    session = wire.create_session("s")
    fd = os.memfd_create("one")
    session.preserve(1, fd)
    notes, refused = wire.fill_with_notes(b"x")
    equal(notes, 10, "notes that fit")
    equal(refused.errno, errno.EDQUOT, "the refusal")
    contains(str(refused), f"uid {os.geteuid()} has {limit - 2 * 152} bytes of it", "the refusal")
    contains(str(refused), f"over the limit of {limit} (arena-bytes-per-uid", "the refusal")
    contains(world.log(), "arena-bytes-per-uid", "the log")

    def at_the_limit():
        expect_refused(lambda: wire.add_note("more", b""), "a note")
        expect_refused(lambda: wire.add_note("note0", bytes(PAGE + 1)), "a longer note")
        expect_refused(lambda: session.preserve(9, os.memfd_create("more")), "a file")
        expect_refused(lambda: wire.create_session("more"), "a session")
        error, reply = run(world, "more")
        equal((bool(error), reply.get("errno")), (True, errno.EDQUOT), f"a service: {error} {reply}")
        contains(reply["message"], "arena-bytes-per-uid", "a service")
        wire.add_note("note1", bytes(PAGE))  # no more than it had
        equal(len(session.files()), files, "files")

    session.preserve(2, os.memfd_create("two"))
    session.preserve(3, os.memfd_create("three"))
    files = 3
    at_the_limit()
    world.expect_clean()
    kill_worker(world)
    at_the_limit()
    session.unpreserve(1)
    session.preserve(4, fd)  # in its room
    at_the_limit()
    wire.remove_note("note7")
    wire.add_note("other", b"x")
    at_the_limit()

    world.write("outlive.toml", quota(limit + 2 * NOTE))
    key = f"[quota.{os.geteuid()}] arena-bytes: {limit} -> {limit + 2 * NOTE}"
    equal(world.json("reload")["applied"], [key], "applied")
    equal(wire.fill_with_notes(b"x", 100)[0], 102, "two notes more")
    kill_worker(world)
    at_the_limit()
    world.write("outlive.toml", quota(limit))
    world.json("reload")
    for number in (100, 101):
        at_the_limit()  # over it: what is there stays, and can be taken away
        wire.remove_note(f"note{number}")
    at_the_limit()
    world.must("update", "outlived")
    at_the_limit()
    world.expect_clean()
    world.stop_outlived()


def an_update_forgets_earlier_ones(world):
    """They are for people: a user at the limit can still replace his service."""
    world.start_outlived(quota(1 << 20))
    world.must("run", "web", "--", "/bin/sleep", "1000")
    for _ in range(5):
        world.must("update", "web")
    wire = p.Wire.connect(world.runtime)
    wire.fill_with_notes(b"x")
    equal(len(world.json("list", "updates")["updates"]), 5, "updates that are kept")
    done = world.outlive("update", "web")
    equal(done.code, 0, f"an update at the limit: {done.err}")
    kept = len(world.json("list", "updates")["updates"])
    check(1 <= kept <= 5, f"{kept} updates are kept")
    world.expect_clean()
    world.must("stop", "web", "--force")
    world.stop_outlived()


def evil(runtime):
    wire = p.Wire.connect(runtime)
    notes, refused = wire.fill_with_notes(b"x")
    return [notes, refused.errno, str(refused)]


def good(runtime):
    wire = p.Wire.connect(runtime)
    wire.add_note("mine", b"x")
    session = wire.create_session("mine")
    session.preserve(1, os.memfd_create("mine"))
    return session.files()


def a_sixteenth(world):
    world.start_outlived(CONFIG)
    if os.geteuid() == 0:
        notes, code, text = result_of(as_user(EVIL, evil, world.runtime))
        equal((notes, code), (SIXTEENTH // NOTE, errno.EDQUOT), f"notes that fit: {text}")
        equal(result_of(as_user(GOOD, good, world.runtime)), [1], "another user's files")
    wire = p.Wire.connect(world.runtime)
    for number in range(2 * SIXTEENTH // NOTE):
        wire.add_note(f"own{number}", b"x")
    world.expect_clean()
    world.stop_outlived()


def test(world):
    each_kind_at_the_limit(world)
    an_update_forgets_earlier_ones(world)
    a_sixteenth(world)


main(test)
