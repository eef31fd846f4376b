"""Bad binaries of outlived: each is refused by the rehearsal or rolled back, with the reason, and
nothing else happens: sessions, files, connections and services stay as they are."""

import os

import protocol as p
from harness import check, contains, equal, main, wait_for

CONFIG = """
[takeover]
ready-timeout-ms = 2000
rehearsal-timeout-ms = 3000
probation-ms = 60000
tries = 2
"""

REFUSED, ROLLED_BACK, TRY_AGAIN = 4, 3, 75


def update(world, path, *options):
    return world.outlive("update", "outlived", "--binary", path, *options)


def expect(world, done, code, reason):
    equal(done.code, code, f"exit code of: {done.out}{done.err}")
    contains(done.out + done.err, reason, "the reason")
    unharmed(world)


def unharmed(world):
    held = world.held
    wait_for("a spare", lambda: world.status()["pid_spare"] > 0)
    equal(held["session"].files(), [1, 2], "files")
    equal(held["device"].read_note("note"), b"kept", "the note")
    world.expect_clean()


def hold(world):
    device = p.Wire.connect(world.runtime)
    session = device.create_session("kept")
    for token in (1, 2):
        session.preserve(token, os.memfd_create("kept"))
    device.add_note("note", b"kept")
    world.held = {"device": device, "session": session}


def rolled_back_later(world, how, rollbacks):
    """Taken over, and then its own faults bring the binary before back."""
    done = update(world, world.broken(how))
    check(done.code in (0, ROLLED_BACK), f"{how}: exit {done.code}: {done.err}")
    wait_for(f"{how}: the binary before to be back",
             lambda: world.status()["self_rollbacks"] == rollbacks)
    status = world.status()
    contains(status["self_update_failed"], "the new binary's", how)
    exe = os.readlink(f"/proc/{status['pid_keeper']}/exe")
    equal(os.path.basename(exe).split(" ")[0], "outlived", "the binary that runs")
    unharmed(world)


def test(world):
    world.start_outlived(CONFIG)
    hold(world)
    keeper = world.status()["pid_keeper"]

    # Refused by the rehearsal: no process of outlived is replaced.
    worker = world.status()["pid_worker"]
    expect(world, update(world, "/bin/true"), REFUSED, "said nothing")
    expect(world, update(world, world.write("text", "no program\n")), 77, "Permission denied")
    os.chmod(world.path("text"), 0o755)
    expect(world, update(world, world.path("text")), REFUSED, "can't be executed")
    expect(world, update(world, world.path("nothing")), 1, "No such file")
    expect(world, update(world, world.dir), 77, "no file to execute")
    expect(world, update(world, world.broken("rehearsal")), REFUSED, "signal 6")
    expect(world, update(world, world.broken("hang-rehearsal")), REFUSED, "not ready within 3000 ms")
    expect(world, update(world, world.broken("version")), REFUSED, "outlive-arena-v99")
    equal(world.status()["pid_worker"], worker, "the worker")

    # After the exec: back to the old binary, by the old spare.
    for number, (how, reason) in enumerate([("exec", "signal 6"), ("worker", "its worker"),
                                            ("hang", "not ready within 2000 ms")], 1):
        expect(world, update(world, world.broken(how)), ROLLED_BACK, reason)
        equal(world.status()["self_rollbacks"], number, "rollbacks")
    check(world.status()["pid_keeper"] != keeper, "the spare is the keeper")

    # The guard: that file has failed twice.
    expect(world, update(world, world.broken("exec")), ROLLED_BACK, "signal 6")
    expect(world, update(world, world.broken("exec")), ROLLED_BACK, "signal 6")
    done = update(world, world.broken("exec"))
    equal(done.code, TRY_AGAIN, f"the third try: {done.err}")
    contains(done.err, "failed 2 times", "the guard")
    expect(world, update(world, world.broken("exec"), "--force"), ROLLED_BACK, "signal 6")

    # A good one, then bad ones that show it only later.
    equal(world.outlive("update", "outlived").code, 0, "a good one")
    back = world.status()["self_rollbacks"]
    rolled_back_later(world, "crashing", back + 1)
    rolled_back_later(world, "later", back + 2)
    equal(world.outlive("update", "outlived").code, 0, "a good one at the end")
    unharmed(world)


main(test)
