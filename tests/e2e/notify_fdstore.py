"""FDSTORE=1 of sd_notify: what a service stores comes to the next one as LISTEN_FDS under its name,
over an update and over a SIGKILL; FDSTOREREMOVE=1 takes it back."""

import signal

from harness import check, equal, free_port, main, wait_for

# A memfd is stored once; every life adds a line to it and says READY.
PROGRAM = r"""
import array, os, signal, socket, sys
def notify(text, fds=()):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(os.environ["NOTIFY_SOCKET"])
        socket.send_fds(sock, [text], list(fds))
names = os.environ.get("LISTEN_FDNAMES", "").split(":")
if names != [""]:
    assert int(os.environ["LISTEN_FDS"]) == len(names)
    assert int(os.environ["LISTEN_PID"]) == os.getpid()
if "state" in names:
    fd = 3 + names.index("state")
else:
    fd = os.memfd_create("state")
    notify(b"FDSTORE=1\nFDNAME=state", [fd])
os.lseek(fd, 0, os.SEEK_END)
os.write(fd, b"%d\n" % os.getpid())
with open(sys.argv[1], "w") as file:
    file.write(" ".join(names) + "\n" + os.pread(fd, 4096, 0).decode())
def remove(*_):
    notify(b"FDSTOREREMOVE=1\nFDNAME=state")
signal.signal(signal.SIGUSR1, remove)
notify(b"READY=1")
while True:
    signal.pause()
"""


def test(world):
    world.start_outlived()
    program, seen = world.write("store.py", PROGRAM), world.path("seen")
    port = free_port()

    def look():
        with open(seen) as file:
            names, *pids = file.read().splitlines()
        return names.split(), [int(pid) for pid in pids]

    world.must("run", "store", "--notify", "--listen", f"http=127.0.0.1:{port}", "--", "python3",
               program, seen)
    first = world.service("store")["pid"]
    equal(look(), (["http"], [first]), "the first life")
    world.must("update", "store")
    second = world.service("store")["pid"]
    equal(look(), (["http", "state"], [first, second]), "after an update")
    world.kill(second)

    def restarted():
        service = world.service("store")
        return service["state"] == "running" and service["pid"] not in (0, second) and service

    third = wait_for("its restart", restarted)["pid"]
    equal(look(), (["http", "state"], [first, second, third]), "after a SIGKILL")
    world.kill(third, signal.SIGUSR1)
    wait_for("it to be removed", lambda: not [
        one for one in world.json("list", "sessions")["sessions"] if "store." in one["name"]])
    world.must("update", "store")
    fourth = world.service("store")["pid"]
    equal(look(), (["http"], [fourth]), "removed: the next one begins anew")
    check(len({first, second, third, fourth}) == 4, "four lives")
    world.expect_clean()
    world.must("stop", "store", "--force")
    equal(world.json("list", "sessions")["sessions"], [], "sessions after its stop")
    world.stop_outlived()


main(test)
