"""The reference: what was acknowledged, and what outlived must have, no more and no less.

Files are memfds with names of their own, so each one is found among outlived's descriptors by its
name: there once while it is preserved, and not at all when it isn't."""

import collections
import os
import struct
import time

import protocol as p
from harness import wait_for
from varlink_pipe import VarlinkPipe

MARK = "cm-"
PATIENCE_OF_FSCK = 2  # seconds


class Wrong(Exception):
    """What differs: kind is lost, leaked or diverged."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


class Reference:
    """sessions: {name: [(token, file's name)]} in order; notes: {name: bytes}."""

    def __init__(self, world):
        self.world = world
        self.device = p.Wire.connect(world.runtime, timeout=60)
        self.control = VarlinkPipe(world.runtime)
        self.sessions, self.notes = {}, {}
        self.incoming = set()  # names of sessions
        self.of_services = set()  # names of sessions whose files are a real service's own
        self.told = set()      # files that were found wrong: once is enough
        self.made = 0

    def file(self, content=b"x"):
        """A new memfd: (fd, its name)."""
        self.made += 1
        name = f"{MARK}{self.made}"
        fd = os.memfd_create(name)
        os.write(fd, content + name.encode())
        return fd, name

    def status(self):
        return self.control.must("Status")

    def sync(self):
        """Whatever a request has left to do when it is answered is done now."""
        self.device.call(p.STATUS, struct.pack("<II", 8, 0))

    # ---- what is there --------------------------------------------------------------------------

    def table(self):
        """Names of what is open in the shared table of descriptors."""
        pid = self.status()["pid_keeper"]
        names = []
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                names.append(os.readlink(f"/proc/{pid}/fd/{number}"))
            except OSError:
                pass  # closed meanwhile
        return names

    def open_files(self):
        """{file's name: how often it is open}."""
        counter = collections.Counter()
        for name in self.table():
            if name.startswith("/memfd:" + MARK):
                counter[name.removeprefix("/memfd:").split(" ")[0]] += 1
        return counter

    def real_sessions(self):
        found, after = {}, 0
        while True:
            body = self.device.call(p.LIST, struct.pack("<IIQ", 16, 0, after)).body
            _, count, after = struct.unpack_from("<IIQ", body)
            for index in range(count):
                entry = struct.unpack_from("<QIIII64s64s", body, 16 + 152 * index)
                found[p_text(entry[5])] = (entry[4], entry[2])
            if not after:
                return found

    def real_files(self):
        found, after = collections.defaultdict(list), None
        while True:
            reply = self.control.must("ListFiles", session=None, after=after)
            for one in reply["files"]:
                found[one["session"]].append(int(one["token"], 16))
            after = reply.get("next")
            if not after:
                return found

    def orphans(self):
        """Names of sessions that nobody holds."""
        found = self.control.must("ListSessions", after=None)["sessions"]
        return [one["name"] for one in found if one["orphaned"]]

    def fsck(self):
        """What is leaked stays: on a busy machine a look may come between a death and its end."""
        until = time.monotonic() + PATIENCE_OF_FSCK
        while True:
            found = self.control.must("Fsck")
            if found["clean"] or time.monotonic() > until:
                return found

    # ---- does it fit ----------------------------------------------------------------------------

    def check(self):
        """Raises Wrong."""
        sessions, files = self.real_sessions(), self.real_files()
        for name, wanted in self.sessions.items():
            if name not in sessions:
                raise Wrong("lost", f"session {name} is gone")
            tokens = [token for token, _ in wanted]
            got = files.get(name, [])
            if set(tokens) - set(got):
                raise Wrong("lost", f"session {name} has {got}, not {tokens}")
            if got != tokens or sessions[name][0] != len(tokens):
                raise Wrong("diverged", f"session {name} has {got}, not {tokens}")
            if sessions[name][1] != (name in self.incoming):
                raise Wrong("diverged", f"session {name}: direction {sessions[name][1]}")
        more = set(sessions) - set(self.sessions) - self.of_services
        if more:
            raise Wrong("diverged", f"sessions {more} are there")
        for name, data in self.notes.items():
            reply = self.device.ask(p.RETRIEVE_SUBTREE, note_body(name))
            if reply.result:
                raise Wrong("lost", f"note {name} is gone: {reply.text}")
            if reply.body[72:] != data:
                raise Wrong("diverged", f"note {name} is another one")
        self.check_table()
        found = self.fsck()
        if not found["clean"]:
            raise Wrong("leaked", f"fsck: {found['findings']}")

    def check_table(self):
        wanted = {file for files in self.sessions.values() for _, file in files}

        def wrong():
            self.excess = self.open_files()
            self.missing = wanted - set(self.excess) - self.told
            self.excess.subtract(wanted)
            for name in self.told:
                del self.excess[name]
            return self.missing or +self.excess

        if not wrong():
            return
        if self.missing:
            self.told |= self.missing
            raise Wrong("lost", f"not open any more: {self.missing}")
        try:  # the closer takes its time
            wait_for("files to be closed", lambda: not wrong(), 20)
        except AssertionError:
            self.told |= set(+self.excess)
            raise Wrong("leaked", f"still open: {+self.excess}") from None

    def close(self):
        self.device.close()
        self.control.close()


def p_text(raw):
    return raw.split(b"\0")[0].decode()


def note_body(name, data=b""):
    return struct.pack("<II64s", 72, len(data), name.encode()) + data
