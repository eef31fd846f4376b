"""A service manager as far as outlived knows one: it keeps descriptors (sd_notify(3), FDSTORE=1), kills
all processes of the service at once, and starts it again with what it kept.

As systemd's: an open file that is there already is dropped, whatever its name; removal is by name;
LISTEN_FDS start at 3; what somebody said who was buried before it was heard is dropped.
"""

import array
import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import threading

from harness import check, descendants_of, is_alive, wait_for

KCMP, KCMP_FILE = 312, 0


def same_file(one, other):
    pid = os.getpid()
    return ctypes.CDLL(None, use_errno=True).syscall(KCMP, pid, pid, KCMP_FILE, one, other) == 0


class Manager:
    def __init__(self, world, config="[machine]\nfd-store = \"on\"\n"):
        self.world, self.config = world, config
        self.stored = []  # (name, fd) in order
        self.said = []
        self.drained = 0
        self.changed = threading.Condition()
        self.listens = threading.Event()  # or messages wait
        self.listens.set()
        self.buried = set()  # pids: what they said and wasn't heard yet is dropped
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(world.path("notify"))
        os.chmod(world.path("notify"), 0o666)
        threading.Thread(target=self.receive, daemon=True).start()

    def receive(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        while True:
            select.select([self.sock], [], [])
            self.listens.wait()
            data, extra, _, _ = self.sock.recvmsg(4096, 256)
            fds, sender = array.array("i"), 0
            for _, kind, content in extra:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(content)
                else:
                    sender = struct.unpack("3i", content)[0]
            with self.changed:
                if sender in self.buried:
                    for fd in fds:
                        os.close(fd)
                else:
                    self.message(data.decode().splitlines(), list(fds))
                self.changed.notify_all()

    def message(self, lines, fds):
        words = dict(line.split("=", 1) for line in lines)
        name = words.get("FDNAME")
        if words.get("FDSTORE") == "1":
            check(words.get("FDPOLL") == "0", f"without FDPOLL=0: {lines}")
            for fd in fds:
                if any(same_file(fd, known) for _, known in self.stored):
                    os.close(fd)
                else:
                    os.set_inheritable(fd, False)
                    self.stored.append((name, fd))
        elif words.get("FDSTOREREMOVE") == "1":
            for entry in [entry for entry in self.stored if entry[0] == name]:
                self.drop(entry)
        else:
            for fd in fds:  # of a barrier
                os.close(fd)
            self.said.append(words)

    def drop(self, entry):
        self.stored.remove(entry)
        os.close(entry[1])

    @contextlib.contextmanager
    def busy(self):
        """Hears nothing meanwhile. Then what it missed from the pids that are in `buried` by then is lost."""
        self.listens.clear()
        try:
            yield
        finally:
            self.listens.set()
            self.drain()

    def drain(self):
        """Returns when all that was sent before has been taken in."""
        self.drained += 1
        mark = {"DRAIN": str(self.drained)}  # outlived's own barriers are no sign of it
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(f"DRAIN={self.drained}".encode(), self.world.path("notify"))
        with self.changed:
            self.changed.wait_for(lambda: mark in self.said)
            self.said.remove(mark)

    def names(self):
        with self.changed:
            return [name for name, _ in self.stored]

    def main_pid(self):
        with self.changed:
            pids = [words["MAINPID"] for words in self.said if "MAINPID" in words]
            return int(pids[-1]) if pids else 0

    # ---- the service's processes ----------------------------------------------------------------

    def start(self, more={}):
        """outlived with all that is stored; returns when it answers."""
        world = self.world
        with self.changed:
            stored = list(self.stored)
        env = dict(world.environment, NOTIFY_SOCKET=world.path("notify"), **more)
        if stored:
            env.update(LISTEN_FDS=str(len(stored)),
                       LISTEN_FDNAMES=":".join(name for name, _ in stored))

        def hand_over():
            high = 3 + len(stored) + max([fd for _, fd in stored], default=0)
            for number, (_, fd) in enumerate(stored):
                os.dup2(fd, high + number)
            for number in range(len(stored)):
                os.dup2(high + number, 3 + number)
                os.close(high + number)

        os.makedirs(world.runtime, mode=0o755, exist_ok=True)
        words = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh",
                 *world.daemon_words(self.config)]
        with open(world.path("outlived.log"), "ab") as log:
            world.daemon = world.start(*words, stdout=log, stderr=log, env=env, close_fds=False,
                                       preexec_fn=hand_over)
        wait_for("outlived", world.answers)
        wait_for("the spare", lambda: world.status()["pid_spare"] > 0)

    def processes(self):
        """Of outlived itself; its services are not among them."""
        found = []
        for pid in descendants_of(os.getpid()):
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().startswith("outlived"):
                        found.append(pid)
            except OSError:
                pass
        return found

    def kill(self, services):
        """All at once, as a cgroup is killed: nobody sees another one die."""
        for how in (signal.SIGSTOP, signal.SIGKILL):
            for pid in descendants_of(os.getpid()) if services else self.processes():
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    pass  # it ended by the death of another one
        wait_for("the end of all", lambda: not [
            pid for pid in (descendants_of(os.getpid()) if services else self.processes())
            if is_alive(pid)])
        self.world.daemon.wait()
        self.drain()
