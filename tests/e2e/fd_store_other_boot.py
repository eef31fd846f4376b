"""A service manager hands over an arena that was made before the machine booted: it is dropped, whole and from
the manager's store too, and outlived says so and starts empty. Of this boot it is taken."""

import os

import protocol as p
from harness import check, contains, equal, main, wait_for
from manager import Manager


def this_boot():
    """As RecordsRoot::boot_id has it: two words."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        digits = file.read().strip().replace("-", "")
    return b"".join(int(digits[at:at + 16], 16).to_bytes(8, "little") for at in (0, 16))


def as_of_another_boot(manager):
    """The one place in the arena that says which boot it is of is another's."""
    arena = [fd for name, fd in manager.stored if name == "outlive-arena"]
    equal(len(arena), 1, "arenas that are stored")
    at = -1
    with open(os.dup(arena[0]), "r+b", buffering=0) as file:
        size = os.fstat(arena[0]).st_size
        data = 0
        while data < size:
            try:
                data = os.lseek(arena[0], data, os.SEEK_DATA)
            except OSError:
                break  # holes up to the end
            end = os.lseek(arena[0], data, os.SEEK_HOLE)
            found = os.pread(arena[0], end - data, data).find(this_boot())
            at = data + found if found >= 0 else at
            data = end
        check(at >= 0, "the arena says which boot it is of")
        os.pwrite(file.fileno(), bytes(16 * [7]), at)


def test(world):
    manager = Manager(world)
    manager.start()
    session = p.Wire.connect(world.runtime).create_session("kept")
    for token in (1, 2, 3):
        session.preserve(token, os.memfd_create("kept"))
    manager.kill(services=True)
    manager.start()
    equal(session.files(), [1, 2, 3], "files of this boot's arena")
    old = set(manager.names())
    manager.kill(services=True)
    as_of_another_boot(manager)
    manager.start()
    status = world.status()
    equal((status["sessions"], status["files"]), (0, 0), "what there is of another boot's")
    with open(world.path("outlived.log")) as log:
        contains(log.read(), "an arena of another boot", "what the log says")
    # The names of the listeners and the arena are given again, to others.
    wait_for("the manager to have nothing of it",
             lambda: sorted(manager.names()) == ["outlive-arena", "outlive-control",
                                                 "outlive-device"])
    check(len(old) > 3, "there was something else before")


main(test)
