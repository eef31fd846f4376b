"""The loop that the *_killed tests share: a client preserves, retrieves and unpreserves while parts
of outlived are killed under it. Every request is answered once; what was acknowledged is there,
and nothing else is.

killed.py NAME FILE: one such client by itself, as a service; FILE has "REQUESTS FAILURE".
"""

import errno
import os
import struct
import sys
import threading

import protocol as p
from harness import Failed, equal, wait_for


class Load(threading.Thread):
    """A client with a model of what it has: each answer must fit it."""

    def __init__(self, runtime_dir, name):
        super().__init__(daemon=True)
        self.device = p.Wire.connect(runtime_dir, timeout=60)
        self.session = self.device.create_session(name)
        self.note = name
        self.memfds = {}
        for token in range(1, 9):
            fd = os.memfd_create(f"{name}.{token}")
            os.write(fd, b"%d" % token)
            self.memfds[token] = fd
        self.model = []
        self.stop = threading.Event()
        self.rounds = self.requests = 0
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.round()
                self.rounds += 1
        except BaseException as error:
            self.failure = error

    def expect(self, code, request, body, fds=()):
        self.requests += 1
        reply = self.session.ask(request, body, fds)
        reply.close()
        equal(-reply.result, code, f"request {self.requests} ({request:#x}): {reply.text}")

    def round(self):
        """Eight preserved, doubles refused, seven unpreserved, in every round."""
        for token, fd in self.memfds.items():
            if token in self.model:
                continue
            self.expect(0, p.PRESERVE_FD, p.fd_body(token), [fd])
            self.model.append(token)
        self.expect(errno.EEXIST, p.PRESERVE_FD, p.fd_body(3), [self.memfds[3]])
        self.expect(errno.EBUSY, p.PRESERVE_FD, p.fd_body(99), [self.memfds[3]])
        self.verify()
        self.requests += 1
        self.device.add_note(self.note, struct.pack("<Q", self.rounds))
        note = self.device.read_note(self.note)
        equal(struct.unpack("<Q", note)[0], self.rounds, "the note")
        for token in list(self.model)[1:]:
            self.expect(0, p.UNPRESERVE_FD, p.fd_body(token))
            self.model.remove(token)
        self.expect(errno.ENOENT, p.UNPRESERVE_FD, p.fd_body(5))
        self.verify()

    def verify(self):
        self.requests += 1
        equal(self.session.files(), self.model, "what is preserved")

    def check(self):
        if self.failure:
            raise Failed(f"after {self.requests} requests: {self.failure!r}") from self.failure

    def end(self):
        self.stop.set()
        self.join(60)
        if self.is_alive():
            raise Failed(f"a request was not answered within 60 s ({self.requests} were)")
        self.check()
        self.verify()
        self.session.close()
        self.device.close()


def kill_under_load(world, victim, times, clients=2):
    """Kills status[victim] `times` times while clients work; returns the requests answered."""
    loads = [Load(world.runtime, f"load{number}") for number in range(clients)]
    for load in loads:
        load.start()
    killed = set()
    for _ in range(times):
        def next_one():
            for load in loads:
                load.check()
            pid = world.status()[victim]
            return pid if pid > 0 and pid not in killed else None

        pid = wait_for(f"a new {victim}", next_one)
        killed.add(pid)
        before = [load.rounds for load in loads]
        world.kill(pid)
        # Each kill hits work that goes on, and work goes on after it.
        wait_for("requests to be answered after the kill", lambda: all(
            load.rounds > rounds or load.failure for load, rounds in zip(loads, before)))
    for load in loads:
        load.end()
    return sum(load.requests for load in loads)


def main():
    name, path = sys.argv[1:]
    load = Load(os.environ["OUTLIVE_RUNTIME_DIR"], name)
    load.start()
    while load.is_alive():
        load.join(0.2)
        with open(path + ".new", "w") as file:
            file.write(f"{load.requests} {'' if load.failure is None else repr(load.failure)}")
        os.rename(path + ".new", path)
    sys.exit(1)


if __name__ == "__main__":
    main()
