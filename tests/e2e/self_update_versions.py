"""From the version before to this one and back, and again, under load; then finalize-format, after
which the version before is refused, and this one goes on."""

import os

import protocol as p
from harness import Skipped, check, contains, equal, free_port, main, wait_for
from killed import Load

REFUSED = 4
CONFIG = ""  # what the version before doesn't know can't be in it


def previous(world):
    """Its folder of programs; upgrade.build_previous has made it."""
    folder = os.path.join(os.path.dirname(world.bin), "previous", "bin")
    if not os.access(os.path.join(folder, "outlived"), os.X_OK):
        raise Skipped("the version before isn't built (no git history?)")
    return folder


def update(world, path):
    done = world.outlive("update", "outlived", "--binary", path)
    equal(done.code, 0, f"update to {path}: {done.out}{done.err}")
    exe = os.readlink(f"/proc/{world.status()['pid_keeper']}/exe")
    equal(os.path.realpath(exe), os.path.realpath(path), "what runs")


def operators_words(world, path, new):
    """The version before keeps neither the configuration nor the metrics' listener: it closes them, and
    their numbers go to others. This one goes on from the file, and takes nobody's descriptor for them."""
    if path == new:
        equal(world.json("fsck")["findings"], [], "fsck")
        equal(world.json("reload")["applied"], [], "the configuration in force is the file's")
        listen = f'[metrics]\nlisten = "127.0.0.1:{free_port()}"\n'
        world.write("outlive.toml", listen)
        equal(len(world.json("reload")["applied"]), 1, "applied")
        update(world, new)  # and between two that keep them
        equal(world.json("reload")["applied"], [], "the configuration is still in force")
        equal(world.json("fsck")["findings"], [], "fsck")
        world.write("outlive.toml", CONFIG)


def test(world):
    old = os.path.join(previous(world), "outlived")
    new = world.program("outlived")
    this = world.bin
    world.bin = previous(world)
    world.start_outlived(CONFIG)
    world.bin = this
    device = p.Wire.connect(world.runtime)
    session = device.create_session("kept")
    for token in range(1, 20):
        session.preserve(token, os.memfd_create("kept"))
    device.add_note("note", b"kept")
    loads = [Load(world.runtime, f"load{number}") for number in range(2)]
    for load in loads:
        load.start()
    for path in (new, old, new, old, new):
        before = [load.rounds for load in loads]
        update(world, path)
        wait_for("requests to be answered", lambda: all(
            load.rounds > rounds or load.failure for load, rounds in zip(loads, before)))
        equal(session.files(), list(range(1, 20)), "files")
        operators_words(world, path, new)
    equal(world.status()["format"], "outlive-records-v1", "the format, as it was found")

    # On probation the version before may have to come back: not yet.
    done = world.outlive("finalize-format")
    equal(done.code, 75, f"on probation: {done.out}{done.err}")
    wait_for("probation to be over", lambda: world.outlive("finalize-format").code == 0)
    equal(world.status()["format"], "outlive-records-v2", "the format")
    check("already" in world.must("finalize-format").out, "a second time changes nothing")
    done = world.outlive("update", "outlived", "--binary", old)
    equal(done.code, REFUSED, f"the version before: {done.out}{done.err}")
    contains(done.err, "outlive-records-v2", "the reason")
    update(world, new)
    equal(world.status()["format"], "outlive-records-v2", "the format after an update")
    for load in loads:
        load.end()
    equal(session.files(), list(range(1, 20)), "files")
    equal(device.read_note("note"), b"kept", "the note")
    world.expect_clean()
    # The totals outlive worker and keeper.
    check(world.status()["self_updates"] >= 6, "updates of itself")


main(test)
