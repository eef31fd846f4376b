"""A process of outlived that hangs or is stopped is killed and replaced, under load: the worker, the
keeper, the spare, the closer; and a request in which the worker hangs is answered EIO."""

import errno
import os
import signal

import protocol as p
from harness import children_of, equal, is_alive, main, wait_for
from killed import Load

TIMEOUT = "[limits]\nworker-timeout-ms = 2000\n"


def has_spare(world):
    """One that lives: the number of one that has just died is there until the keeper has seen it."""
    spare = world.status()["pid_spare"]
    return spare > 0 and is_alive(spare)


def stop(world, loads, pid):
    """Stops it; returns when it is gone, and work went on after it."""
    world.kill(pid, signal.SIGSTOP)
    wait_for(f"the end of {pid}, which was stopped", lambda: not is_alive(pid))
    before = [load.rounds for load in loads]
    wait_for("requests to be answered", lambda: all(
        load.rounds > rounds or load.failure for load, rounds in zip(loads, before)))
    for load in loads:
        load.check()
    wait_for("the three to be there", lambda: has_spare(world))


def closer_of(worker):
    for pid in children_of(worker):
        try:
            with open(f"/proc/{pid}/comm") as file:
                name = file.read().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone meanwhile
        if name == "outlived-closer":
            return pid
    return None


def hang_in_a_request(world):
    other = world.second("hang", TIMEOUT, env={"OUTLIVE_FAULTS": "luo.preserve:1=hang"})
    session = p.Wire.connect(other.runtime).create_session("s")
    equal(session.ask(p.PRESERVE_FD, p.fd_body(1), [os.memfd_create("x")]).result, -errno.EIO,
          "a request in which the worker hangs")
    equal(other.status()["worker_deaths"], 2, "deaths")
    other.expect_clean()
    other.stop_outlived()


def test(world):
    world.start_outlived(TIMEOUT)
    wait_for("the spare", lambda: world.status()["pid_spare"] > 0)
    loads = [Load(world.runtime, f"load{number}") for number in range(2)]
    for load in loads:
        load.start()
    for victim in ("pid_worker", "pid_spare", "pid_keeper"):
        stop(world, loads, world.status()[victim])
    for how in (signal.SIGKILL, signal.SIGSTOP):
        worker = world.status()["pid_worker"]
        closer = wait_for("a closer", lambda: closer_of(worker))
        if how == signal.SIGSTOP:
            stop(world, loads, closer)
        else:
            world.kill(closer)
        wait_for("another closer", lambda: closer_of(worker) not in (None, closer))
        equal(world.status()["pid_worker"], worker, "the worker")
    for load in loads:
        load.end()
    wait_for("all sessions to end", lambda: world.status()["sessions"] == 0)
    world.expect_clean()
    hang_in_a_request(world)
    world.stop_outlived()


main(test)
