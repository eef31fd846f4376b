"""A service of the tests, on the raw socket: it answers each line with "COUNT PID", as hello does,
keeps listener, count and open connections over updates, and misbehaves where it is told to.

    service.py PORT [--at STEP=WHAT]... [--grandchild FILE] [--name NAME] [--preview]
--preview: a successor fetches descriptors ahead, and in adopt only what has changed since.
STEP: start prepare freeze adopt committed retrieved. WHAT: die, exit, hang, veto, hangup, once:FILE
(dies if that isn't there), wait:FILE (until it is there). start and adopt are the new one's,
prepare and freeze the old one's. The count lives in a memfd (token 2): a lost or doubled effect
shows.
"""

import argparse
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import protocol as p

LISTENER, MEMORY, CONNECTIONS = 1, 2, 100


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--at", action="append", default=[])
    parser.add_argument("--name", default="counter")
    parser.add_argument("--grandchild")
    parser.add_argument("--preview", action="store_true")
    chosen = parser.parse_args()
    chosen.at = dict(one.split("=") for one in chosen.at)
    return chosen


class Service:
    def __init__(self, chosen):
        self.chosen = chosen
        self.device = p.Wire.connect(os.environ["OUTLIVE_RUNTIME_DIR"], timeout=None)
        self.listener = self.session = self.memory = None
        self.connections, self.serving = {}, False
        self.previewed = {}  # token: (order, fd)

    def misbehave(self, step, update=0):
        """True: what was asked for has replaced the answer."""
        what = self.chosen.at.get(step)
        if what and what.startswith("once:"):
            marker = what.removeprefix("once:")
            what = None if os.path.exists(marker) else "die"
            open(marker, "w").close()
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "exit":
            print(f"service: leaves at {step}", flush=True)
            os._exit(3)
        if what and what.startswith("wait:"):  # until that file is there
            gate = what.removeprefix("wait:")
            open(gate + ".waits", "w").close()
            while not os.path.exists(gate):
                time.sleep(0.01)
        if what == "hangup":
            self.device.close()
        if what in ("hang", "hangup"):
            signal.pause()
        if what == "veto":
            number = {name: value for value, name in p.STEPS.items()}[step]
            self.device.veto(number, update, f"told to veto {step}{os.environ.get('VETO_WORDS', '')}")
            return True
        return False

    # ---- the state ------------------------------------------------------------------------------

    def create(self):
        self.listener = socket.create_server(("127.0.0.1", self.chosen.port), backlog=512)
        self.session = self.device.create_session(self.chosen.name)
        self.memfd = os.memfd_create("count")
        os.ftruncate(self.memfd, 4096)
        self.memory = mmap.mmap(self.memfd, 4096)
        self.session.preserve(LISTENER, self.listener.fileno())
        self.session.preserve(MEMORY, self.memfd)
        self.serving = True

    def look_ahead(self):
        """What has changed since the last look: how many came, how many went."""
        now = self.device.preview_list(self.chosen.name)
        gone = [token for token, (order, _) in self.previewed.items() if now.get(token) != order]
        for token in gone:
            os.close(self.previewed.pop(token)[1])
        new = [token for token in now if token not in self.previewed]
        if new:
            for token, fd in self.device.preview(self.chosen.name, new).items():
                self.previewed[token] = (now[token], fd)
        print(f"service: looked ahead, {len(new)} came, {len(gone)} went", flush=True)

    def files(self):
        """(token, fd) of all that is inherited."""
        if self.chosen.preview and self.previewed:
            self.look_ahead()
            return [(token, fd) for token, (_, fd) in self.previewed.items()]
        return [(token, self.session.retrieve(token)) for token in self.session.files()]

    def adopt(self):
        self.session = self.device.retrieve_session(self.chosen.name)
        for token, fd in self.files():
            if token == MEMORY:
                self.memfd = fd
                self.memory = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)
            elif token == LISTENER:
                self.listener = socket.socket(fileno=fd)
            else:
                self.connections[token] = socket.socket(fileno=fd)
        self.misbehave("retrieved")

    def committed(self):
        self.memory = mmap.mmap(self.memfd, 4096)
        self.device.adopt_all()
        self.serving = True

    # ---- updates --------------------------------------------------------------------------------

    def event(self, step, update):
        if step != p.START and self.misbehave(p.STEPS.get(step, ""), update):
            return
        if step == p.FREEZE:
            self.serving = False
        elif step == p.CANCEL:
            self.serving = True
        elif step == p.PREVIEW_STEP:
            self.look_ahead()
        elif step == p.ADOPT_STEP:
            self.adopt()
        elif step == p.COMMITTED:
            self.committed()
        elif step == p.RETIRE:
            sys.exit(0)
        if step in (p.PREPARE, p.FREEZE, p.PREVIEW_STEP, p.ADOPT_STEP):
            self.device.ready(step, update)

    def start(self):
        role, update = self.device.participate()
        if role == p.FRESH:
            self.create()
        elif role == p.SUCCESSOR and self.chosen.preview:
            self.look_ahead()
        elif role == p.RESTARTED:
            self.adopt()
            self.committed()
        if self.chosen.grandchild:
            child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            with open(self.chosen.grandchild, "w") as file:
                file.write(str(child.pid))
        if not self.misbehave("start", update):
            self.device.ready(p.START, update)

    # ---- clients --------------------------------------------------------------------------------

    def accept(self):
        token = max(self.connections, default=CONNECTIONS) + 1
        connection = self.listener.accept()[0]
        self.session.preserve(token, connection.fileno())
        self.connections[token] = connection

    def answer(self, token):
        connection = self.connections[token]
        try:
            lines = connection.recv(4096).count(b"\n")
        except ConnectionResetError:
            lines = 0
        if not lines:
            self.session.unpreserve(token)
            connection.close()
            del self.connections[token]
        for _ in range(lines):
            count = struct.unpack_from("<Q", self.memory)[0] + 1
            struct.pack_into("<Q", self.memory, 0, count)
            connection.sendall(b"%d %d\n" % (count, os.getpid()))

    def turn(self):
        while self.device.events:
            self.event(*self.device.events.pop(0)[:2])
        sockets = {self.device.sock: None}
        if self.serving:
            sockets[self.listener] = None
            sockets.update({connection: token for token, connection in self.connections.items()})
        if self.device.events:
            return
        for ready in select.select(list(sockets), [], [])[0]:
            if ready is self.device.sock:
                self.device.read()
                return  # it may have been told to stop
            if ready is self.listener:
                self.accept()
            else:
                self.answer(sockets[ready])


def main():
    service = Service(options())
    service.start()
    while True:
        service.turn()


if __name__ == "__main__":
    main()
