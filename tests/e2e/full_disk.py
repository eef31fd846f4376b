"""A full disk, and a limit of file sizes or of memory: one line that names the thing and the remedy,
a non-zero exit, and everything that was running still runs.

The disk is a tiny tmpfs in a mount namespace of this test's own, which goes when the test ends."""

import ctypes
import os
import resource

from harness import Skipped, check, contains, equal, free_port, main, try_ask, wait_for
from protocol import Refused, Wire

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)
disks = []


def private_mounts():
    """A mount namespace of this process's own; an ordinary user needs one of users for it."""
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWNS | (0 if uid == 0 else CLONE_NEWUSER)) != 0:
        raise Skipped(f"no private mounts: {os.strerror(ctypes.get_errno())}")
    if uid != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"),
                           ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    if libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise Skipped(f"no private mounts: {os.strerror(ctypes.get_errno())}")


def tiny_disk(path, options):
    os.mkdir(path)
    if libc.mount(b"tiny", path.encode(), b"tmpfs", 0, options.encode()) != 0:
        raise Skipped(f"no tmpfs: {os.strerror(ctypes.get_errno())}")
    os.chmod(path, 0o755)
    disks.append(path)
    return path


def fill(path):
    """Neither bytes nor files are left."""
    with open(path + "/ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    try:
        for number in range(10000):
            os.close(os.open(f"{path}/n{number}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        pass


def one_line(done, *words):
    check(done.code != 0, f"exit 0: {done.out}{done.err}")
    line = done.one_line()
    for word in words:
        contains(line, word, "its line")


def start_on_full(world):
    """No room for the sockets: it says which path, and leaves."""
    disk = tiny_disk(world.path("full"), "size=64k,nr_inodes=8")
    fill(disk)
    words = world.daemon_words()
    words[words.index(world.runtime)] = disk + "/run"
    one_line(world.run(*words, timeout=20), disk + "/run", "No space left on device")
    # The folder is there, and nothing fits into it.
    os.remove(disk + "/n0")
    os.mkdir(disk + "/run", 0o755)
    one_line(world.run(*words, timeout=20), disk + "/run/", "No space left on device")


def limits_at_start(world):
    words = world.daemon_words()

    def limited(limit, most):
        return world.run(*words, timeout=20, preexec_fn=lambda: resource.setrlimit(limit, (most, most)))

    one_line(limited(resource.RLIMIT_FSIZE, 1 << 20), "arena", "ulimit -f", "[kho] arena-max")


def disk_gets_full(world, disk, port, pid):
    """Logs and state are on a disk that is full now; web, its updates and others go on."""
    with open(disk + "/outlived.log", "ab") as log:  # the last page has no room either
        log.write(b".\n".rjust(-log.tell() % 4096, b"."))
    fill(disk)
    equal(try_ask(port).split()[1:2], [str(pid)], "web on a full disk")
    before = world.log()
    world.must("status")
    done = world.outlive("timeline", "--html", disk + "/page.html")
    one_line(done, disk + "/page.html", "No space left on device")
    check(not os.path.exists(disk + "/page.html.new"), "half a page was left")
    # A service that is new has no log: it is started, and outlived says so.
    world.must("run", "plain", "--", "/bin/sleep", "1000")
    equal(world.log(), before, "outlived's log grew on a full disk")
    contains(world.must("log", "-n", "20").out, "service 'plain': no log: ", "the flight recorder")
    done = world.update_service("web", port)
    equal(done.code, 0, f"an update on a full disk: {done.err}")
    check(world.service("web")["pid"] != pid, "the update")
    world.must("stop", "plain", "--force")


def arena_gets_full(world):
    """[kho] arena-max is reached: who asks for more is told, what is in it stays."""
    with Wire.connect(world.runtime) as device:
        refused, count = None, 0
        while refused is None and count < 100:
            try:
                device.add_note(f"n{count}", bytes(16000))
                count += 1
            except Refused as error:
                refused = error
        check(refused is not None, "no end of notes")
        equal(refused.errno, 28, f"ENOSPC: {refused}")
        contains(str(refused), "arena: full", "its text")
        contains(str(refused), "arena-max", "the remedy")
        for number in range(count):
            equal(len(device.read_note(f"n{number}")), 16000, f"note {number}")
        world.expect_clean()
        for number in range(count):
            device.remove_note(f"n{number}")
        device.add_note("again", bytes(16000))
        device.remove_note("again")


def log_at_its_limit(world):
    """outlived's own log reaches the limit of file sizes: it is no death."""
    other = world.second("limited")
    # The arena counts too, so the limit comes down once that is made.
    status = other.status()
    for pid in (other.daemon.pid, status["pid_worker"], status["pid_spare"]):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, 4096))
    runs = 0
    while os.path.getsize(other.path("outlived.log")) < 4096:
        other.must("run", "x", "--restart", "no", "--", "/bin/sleep", "1000")
        other.must("stop", "x", "--force")
        runs += 1
        check(runs < 200, "the log doesn't grow")
    other.must("run", "last", "--", "/bin/sleep", "1000")
    equal(os.path.getsize(other.path("outlived.log")), 4096, "the log's size")
    contains(other.must("log", "-n", "9").out, "service 'last'", "the flight recorder")
    equal(other.status()["worker_deaths"], 0, "deaths of the worker")
    other.stop_outlived()


def test(world):
    private_mounts()
    try:
        with_disks(world)
    finally:  # a folder that something is mounted on can't be removed
        for disk in disks:
            libc.umount2(disk.encode(), MNT_DETACH)


def with_disks(world):
    start_on_full(world)
    limits_at_start(world)
    disk = tiny_disk(world.path("disk"), "size=256k,nr_inodes=64")
    log, state = disk + "/outlived.log", disk + "/state"
    open(log, "w").close()
    os.mkdir(state)
    os.symlink(log, world.path("outlived.log"))
    os.symlink(state, world.path("state"))
    # What is left of the arena is less than the quota of notes.
    world.start_outlived("[kho]\narena-max = \"4M\"\n"
                         "reserve-mem = [\"ballast 1M 4K\"]\n")
    port = free_port()
    world.run_service("web", port)
    pid = world.service("web")["pid"]
    equal(world.update_service("web", port).code, 0, "an update before")
    pid = world.service("web")["pid"]
    disk_gets_full(world, disk, port, pid)
    arena_gets_full(world)
    log_at_its_limit(world)
    pid = world.service("web")["pid"]
    equal(try_ask(port).split()[1:2], [str(pid)], "web, at the end")
    equal(world.status()["worker_deaths"], 0, "deaths of the worker")
    wait_for("nothing to be left of it", lambda: world.status()["services"] == 1)
    world.expect_clean()
    world.stop_outlived()


main(test)
