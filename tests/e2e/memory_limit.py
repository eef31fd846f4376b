"""In a memory cgroup that gets full: what needs more is refused (ENOSPC, with what to do), nothing of
outlived is killed, everything else goes on, and what was freed can be used again."""

import errno
import os
import sys

import protocol as p
from harness import Skipped, check, contains, equal, main, sanitizers, wait_for

LIMIT = 96 << 20
CONFIG = """
[kho]
arena-max = "1G"
[limits]
subtrees-per-uid = 100000
subtree-bytes-per-uid = "1G"
"""
NOTE = bytes(range(256)) * 64  # 16 KiB, the most


def controller():
    """(folder of our own group, is it v2) of the memory controller, as this process sees it."""
    with open("/proc/self/cgroup") as file:
        own = {line.split(":")[1]: line.split(":", 2)[2].strip() for line in file}
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split(" - ") for line in file]
    for left, right in mounts:
        kind, _, options = right.split()
        second = kind == "cgroup2"
        names = [name for name in own if ("memory" in name.split(",") if not second else not name)]
        if not names or not (second or kind == "cgroup" and "memory" in options.split(",")):
            continue
        root, point = left.split()[3:5]
        path = own[names[0]].removeprefix(root if root != "/" else "")
        folder = point + path if os.path.isdir(point + path) else point
        if not second or os.path.exists(folder + "/memory.current"):
            return folder.rstrip("/"), second
    raise Skipped("no memory controller is to be seen")


class Group:
    """A group of its own, for those that are started in it."""

    def __init__(self):
        self.parent, self.second = controller()
        self.folder = f"{self.parent}/outlive-test-{os.getpid()}"
        try:
            os.mkdir(self.folder)
            self.write("memory.max" if self.second else "memory.limit_in_bytes", LIMIT)
        except OSError as error:
            self.close()
            raise Skipped(f"no memory cgroup can be made: {error}") from error

    def write(self, name, value, folder=None):
        with open(f"{folder or self.folder}/{name}", "w") as file:
            file.write(str(value))

    def read(self, name):
        with open(f"{self.folder}/{name}") as file:
            return file.read()

    def __enter__(self):
        self.write("cgroup.procs", os.getpid())

    def __exit__(self, *_):
        self.write("cgroup.procs", os.getpid(), self.parent)

    def kills(self):
        text = self.read("memory.events" if self.second else "memory.oom_control")
        return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()}.get("oom_kill")

    def close(self):
        if os.path.isdir(self.folder):
            try:
                os.rmdir(self.folder)
            except OSError as error:
                print(f"{self.folder}: {error}", file=sys.stderr)


def test(world):
    if os.geteuid() != 0:
        raise Skipped("needs root, for a cgroup")
    if sanitizers.PATIENCE != 1:
        raise Skipped("a sanitizer's own memory is more than the limit")
    group = Group()
    try:
        in_group(world, group)
    finally:
        world.stop_outlived()
        wait_for("the group to be empty", lambda: not group.read("cgroup.procs").strip())
        group.close()


def in_group(world, group):
    with group:
        world.start_outlived(CONFIG)
    check(str(world.status()["pid_worker"]) in group.read("cgroup.procs").split(), "it isn't in the group")
    other = p.Wire.connect(world.runtime)
    kept = other.create_session("kept")
    kept.preserve(1, os.memfd_create("kept"))
    pids = [world.status()[name] for name in ("pid_keeper", "pid_worker", "pid_spare")]

    wire = p.Wire.connect(world.runtime)
    count, refused = wire.fill_with_notes(NOTE, 0)
    equal(refused.errno, errno.ENOSPC, f"the refusal: {refused}")
    contains(str(refused), "raise its limit, or keep less", "what to do")
    contains(world.log(), "of the control group", "the log")
    check(count * len(NOTE) > LIMIT // 2, f"only {count} notes fitted")

    # Nothing has died, others are served, what is held can be used.
    equal([world.status()[name] for name in ("pid_keeper", "pid_worker", "pid_spare")], pids, "pids")
    equal(group.kills(), 0, "processes that were killed for memory")
    equal(kept.files(), [1], "files")
    kept.preserve(2, os.memfd_create("two"))
    equal(wire.read_note(f"note{count - 1}"), NOTE, "the last note")
    world.expect_clean()

    # Also a new worker finds its way.
    world.kill(pids[1])
    wait_for("another worker", lambda: world.status()["pid_worker"] not in (0, pids[1]))
    equal(kept.files(), [1, 2], "files")
    wire = p.Wire.connect(world.runtime)
    equal(wire.fill_with_notes(NOTE, count)[1].errno, errno.ENOSPC, "still full")

    # What is given back can be used again.
    for number in range(count // 2):
        wire.remove_note(f"note{number}")
    again, refused = wire.fill_with_notes(NOTE, count)
    check(again - count >= count // 2 - 64,
          f"{again - count} notes fitted into the room of {count // 2}: {refused}")
    equal(group.kills(), 0, "processes that were killed for memory")
    world.expect_clean()


main(test)
