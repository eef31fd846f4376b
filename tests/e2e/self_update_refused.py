"""An update of outlived that can't be now is refused, with the reason, and nothing else happens: while
a service is being updated, while another one is going on, without a keeper. And no service can have
the name that means outlived itself."""

import os
import subprocess

import protocol as p
from harness import ask, check, contains, equal, free_port, main, wait_for

CONFIG = """
[takeover]
stop-timeout-ms = 500
rehearsal-timeout-ms = 2000
[update]
freeze-timeout-ms = 60000
"""
TRY_AGAIN, REFUSED, WRONG = 75, 4, 2


def in_background(world, *words):
    return world.start(world.program("outlive"), *words, env=world.environment,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def while_a_service_is_frozen(world):
    gate, port = world.path("gate"), free_port()
    world.run_service("web", port, "--at", f"freeze=wait:{gate}")
    first = ask(port)
    service = in_background(world, *world.update_words("web", port))
    wait_for("the old one to be asked to freeze", lambda: os.path.exists(gate + ".waits"))
    worker = world.status()["pid_worker"]
    done = world.outlive("update", "outlived")
    equal(done.code, TRY_AGAIN, f"exit code: {done.out}{done.err}")
    contains(done.out + done.err, "an update of a service, or a launch, would not end", "the reason")
    equal(world.status()["pid_worker"], worker, "the worker")
    open(gate, "w").close()
    equal(service.wait(60), 0, "exit code of the service's update, which goes on")
    check(ask(port) != first, "the next version answers")
    equal(world.outlive("update", "outlived").code, 0, "then it can be")


def while_another_goes_on(world):
    slow = world.broken("hang-rehearsal")
    first = in_background(world, "update", "outlived", "--binary", slow)
    wait_for("its rehearsal", lambda: "hang-rehearsal: rehearsal" in world.log())
    done = world.outlive("update", "outlived")
    equal(done.code, TRY_AGAIN, f"exit code: {done.out}{done.err}")
    contains(done.err, "an update of outlived is going on", "the reason")
    equal(first.wait(60), REFUSED, "exit code of the first, whose binary hangs")
    equal(world.outlive("update", "outlived").code, 0, "then it can be")


def without_a_keeper(world):
    alone = world.second("alone", "", "--no-keeper")
    done = alone.outlive("update", "outlived")
    check(done.code not in (0, TRY_AGAIN), f"exit code: {done.code}")
    contains(done.err, "--no-keeper", "the reason")
    alone.expect_clean()
    alone.stop_outlived()


def no_service_has_its_name(world):
    done = world.outlive("run", "outlived", "--", "/bin/sleep", "1000")
    check(done.code != 0, "a service called outlived was started")
    contains(done.err, "no service may be called outlived", "the reason")
    config = world.write("named.toml", '[services.outlived]\ncommand = ["/bin/sleep", "1000"]\n')
    done = world.run(world.program("outlived"), "--check-config", config)
    equal(done.code, WRONG, f"exit code: {done.out}{done.err}")
    contains(done.err, "no service may be called outlived", "the reason")


def test(world):
    world.start_outlived(CONFIG)
    device = p.Wire.connect(world.runtime)
    session = device.create_session("kept")
    session.preserve(1, os.memfd_create("kept"))
    while_a_service_is_frozen(world)
    while_another_goes_on(world)
    without_a_keeper(world)
    no_service_has_its_name(world)
    equal(session.files(), [1], "files")
    world.expect_clean()


main(test)
