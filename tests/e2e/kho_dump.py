"""`outlive kho dump` of a live arena: the root FDT parses with dtc, the tracker is what the entries
say; the flight recorder has the lines of a worker that was killed."""

import os
import shutil
import subprocess

from harness import Failed, check, contains, equal, free_port, main, wait_for
from protocol import Wire


def arena_of(pid):
    """The memory file of an outlived."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if os.readlink(path).startswith("/memfd:outlive-arena"):
            return path
    raise Failed("outlived has no arena open")


def test(world):
    world.start_outlived()
    port = free_port()
    world.run_service("web", port)
    device = Wire.connect(world.runtime)
    session = device.create_session("many")
    for token in range(200):
        fd = os.memfd_create("m")
        session.preserve(token, fd)
        os.close(fd)
    for number in range(20):
        device.add_note(f"note{number}", bytes(range(256)) * (number + 1))

    dump = world.json("kho", "dump")
    check(dump["tracker_matches"], f"the tracker: {dump['corrections']} corrections")
    names = {one["name"] for one in dump["subtrees"]}
    for wanted in ("LUO", "memblock"):
        check(wanted in names, f"subtree {wanted} is not in {names}")
    check(len(dump["folios"]) > 20, f"only {len(dump['folios'])} folios")
    notes = {one["name"]: one for one in dump["notes"]}
    equal(sorted(notes), sorted(f"note{number}" for number in range(20)), "clients' notes")
    equal((notes["note3"]["uid"], notes["note3"]["size"]), (os.geteuid(), 1024), "one of them")
    heads = {one["address"] for one in dump["folios"]}
    check(all(one["address"] in heads for one in notes.values()), "a note is in no folio")
    contains(world.must("kho", "dump").out, "note19", "the table")

    blob = world.path("root.dtb")
    world.must("kho", "dump", "--dtb", blob)
    with open(blob, "rb") as file:
        equal(file.read(4), b"\xd0\x0d\xfe\xed", "the FDT's magic")
    if shutil.which("dtc"):
        done = subprocess.run(["dtc", "-I", "dtb", "-O", "dts", blob], capture_output=True,
                              text=True, timeout=30)
        equal(done.returncode, 0, f"dtc: {done.stderr}")
        contains(done.stdout, 'compatible = "kho-v3"', "the root")
        contains(done.stdout, "preserved-memory-map", "the root")
        contains(done.stdout, "LUO", "the root")
    else:
        print("no dtc (package device-tree-compiler): the FDT was not parsed")

    # A saved image of it: the same readers see the same.
    dump = world.json("kho", "dump")
    saved = world.path("saved.arena")
    with open(arena_of(world.daemon.pid), "rb") as live, open(saved, "wb") as file:
        shutil.copyfileobj(live, file)
    image = world.json("kho", "dump", "--image", saved)
    check(image["tracker_matches"], "the image's tracker")
    equal(image["subtrees"], dump["subtrees"], "the image's subtrees")
    equal(image["folios"], dump["folios"], "the image's folios")
    equal(image["root_fdt_hex"], dump["root_fdt_hex"], "the image's root FDT")
    equal(world.json("kho", "dump", "--image", saved, "--digest")["digest"], image["digest"],
          "the image's digest")
    with open(saved, "r+b") as file:
        file.truncate(1 << 20)
    cut = world.outlive("kho", "dump", "--image", saved)
    equal(cut.code, 1, "an image that was cut")
    contains(cut.one_line(), saved, "its line")

    # Removing all again gives the memory back; the tracker follows.
    session.close()
    for number in range(20):
        device.remove_note(f"note{number}")
    wait_for("the session to end", lambda: world.status()["sessions"] == 1)
    after = world.json("kho", "dump")
    check(after["tracker_matches"], "the tracker after removing")
    check(len(after["folios"]) < len(dump["folios"]), "folios after removing")

    # A worker's last words.
    worker = world.status()["pid_worker"]
    world.kill(worker)
    wait_for("the next worker", lambda: world.status()["pid_worker"] not in (0, worker))
    previous = world.must("log", "--previous").out
    contains(previous, "service 'web': running", "the words of the one before")
    contains(previous, "worker 1 attached", "the words of the one before")
    check(world.json("kho", "dump")["tracker_matches"], "the tracker after a kill")
    world.expect_clean()
    device.close()
    world.stop_outlived()


main(test)
