"""All of outlived's processes die just after a PRESERVE was committed, before the service manager had
the file: the request, which was not answered, brings it again. And a manager whose queue is full:
no answer before it has what is acknowledged."""

import os

import protocol as p
from harness import check, contains, equal, main, wait_for
from manager import Manager

# Commits of the first worker: the boot's id, the connection, the session, its reply, and then the file.
COMMITS_BEFORE = 4


def hangs(world):
    try:
        p.varlink(world.runtime, "Status", timeout=1)
    except TimeoutError:
        return True
    return False


def committed_not_stored(world):
    manager = Manager(world)
    manager.start({"OUTLIVE_FAULTS": f"luo.commit.after:{COMMITS_BEFORE + 1}=hang"})
    device = p.Wire.connect(world.runtime)  # kept: its end would be a commit, too
    session = device.create_session("gap")
    fd = os.memfd_create("gap")
    waiting = session.send(p.PRESERVE_FD, p.fd_body(1), [fd])
    wait_for("the worker to hang", lambda: hangs(world))
    manager.kill(services=True)
    manager.start()
    equal(session.receive(waiting).result, 0, "the request")
    contains(world.log(), "not lost, its request brought it again", "the log")
    equal(session.files(), [1], "the session's files")
    world.expect_clean()
    manager.kill(services=True)
    manager.start()
    equal(session.files(), [1], "the session's files, after another death")
    world.expect_clean()
    device.close()
    return manager, session


def full_queue(world, manager, session):
    """The manager looks at nothing for a while."""
    with manager.changed:  # its thread takes one more, and waits for this
        request = session.send(p.PRESERVE_MANY, p.many_body(range(100, 200)),
                               [os.memfd_create(str(token)) for token in range(100, 200)])
        session.sock.settimeout(1)
        try:
            session.receive(request)
            check(False, "an answer before the manager had the files")
        except TimeoutError:
            pass
        contains(world.status()["fd_store"], "wait", "what status says of the store")
    session.sock.settimeout(60)
    equal(session.receive(request).result, 0, "the request")
    # With the file before and the session's connection.
    wait_for("what is stored", lambda: len(
        [name for name in manager.names() if name.startswith("o.")]) == 102)
    manager.kill(services=True)
    manager.start()
    equal(session.files(), [1, *range(100, 200)], "the session's files")
    world.expect_clean()


def test(world):
    manager, session = committed_not_stored(world)
    full_queue(world, manager, session)
    world.stop_outlived()


main(test)
