"""outlived replaces itself, again and again, under load: no request is lost or doubled, no connection
ends, what is held stays the same open file, a service lives on, and nothing grows."""

import os

import protocol as p
from harness import Failed, ask, check, equal, free_port, main, wait_for
from killed import Load

TIMES = 50
FILES = 1000


def update(world, *options):
    return world.json("update", "outlived", *options)


def open_files_of(world):
    """What keeper and worker have open; an update is over when the old spare has left."""
    status = world.status()
    return {name: world.fds_of(status[name]) for name in ("pid_keeper", "pid_worker")}


def settled(world):
    """A spare of the new table, the leftovers closed, the figures twice the same."""
    seen = []

    def calm():
        status = world.status()
        if status["pid_spare"] <= 0 or not os.path.exists(f"/proc/{status['pid_spare']}"):
            return False
        seen.append((status["pid_spare"], open_files_of(world), status["arena_used"]))
        return len(seen) > 1 and seen[-1] == seen[-2]
    wait_for("an update's traces to go", calm)
    return seen[-1]


def hold_files(world, count):
    """A session of its own with that many files, half of them pipes."""
    device = p.Wire.connect(world.runtime)
    session = device.create_session("many")
    held = {}
    for token in range(count):
        fd = os.memfd_create(f"m{token}") if token % 2 else os.pipe()[0]
        held[token] = (os.fstat(fd).st_dev, os.fstat(fd).st_ino)
        session.preserve(token, fd)
        os.close(fd)
    return device, session, held


def same_files(session, held):
    equal(session.files(), list(held), "the files, in their order")


def test(world):
    world.start_outlived("[takeover]\nprobation-ms = 100\n[limits]\nfiles-per-uid = 4000\n")
    port = free_port()
    world.run_service("web", port)
    service = world.service("web")
    device, session, held = hold_files(world, min(FILES, 300 if os.geteuid() else FILES))
    loads = [Load(world.runtime, f"load{number}") for number in range(2)]
    for load in loads:
        load.start()
    keeper = world.status()["pid_keeper"]
    first = None
    for number in range(1, TIMES + 1):
        rounds = [load.rounds for load in loads]
        done = update(world)
        equal((done["result"], done["number"]), ("updated", number), "the update")
        check(done["pause_us"] > 0, f"a pause: {done}")
        equal(world.status()["pid_keeper"], keeper, "the keeper's pid")
        wait_for("requests to be answered", lambda: all(
            load.rounds > before or load.failure for load, before in zip(loads, rounds)))
        for load in loads:
            load.check()
        if number == 3:
            first = settled(world)
    for load in loads:
        load.end()
    del first  # with the load: its sessions are open or not, as it comes
    same_files(session, held)
    check(ask(port), "the service answers")
    equal(world.service("web")["pid"], service["pid"], "the service's process")
    wait_for("the load's sessions to end", lambda: world.status()["sessions"] <= 2)
    # At rest: nothing grows.
    update(world)
    before = settled(world)
    for _ in range(5):
        update(world)
    after = settled(world)
    equal(after[1:], before[1:], "open files and memory after five more")
    equal(world.status()["self_updates"], TIMES + 6, "updates of itself")
    world.expect_clean()
    check_retrieved(world, session, held)
    device.close()
    # The service can be updated, and its end is noticed: it is still our child.
    equal(world.update_service("web", port).code, 0, "the update of the service")
    world.kill(world.service("web")["pid"])
    wait_for("the service to be started again", lambda: world.service("web")["restarts"] == 1)
    check(not [line for line in world.log().splitlines() if "error" in line], "no error in the log")
    world.stop_outlived()
    equal(world.daemon.returncode, 0, "exit code")


def check_retrieved(world, session, held):
    """Only an incoming session gives files back: look at outlived's own table instead."""
    files = set()
    folder = f"/proc/{world.status()['pid_keeper']}/fd"
    for name in os.listdir(folder):
        try:
            facts = os.stat(os.path.join(folder, name))
        except OSError as error:
            raise Failed(f"fd {name}: {error}") from error
        files.add((facts.st_dev, facts.st_ino))
    missing = [token for token, identity in held.items() if identity not in files]
    check(not missing, f"files that outlived doesn't hold any more: {missing}")


main(test)
