"""The other side of src/base/fault_page.h: arms one fault point of a running outlived, and counts."""

import mmap
import os
import struct

POINT = struct.Struct("<16s40sQ")
HEAD, MOST = 256, 508
MAGIC = 0x3145474150464C4F
ARMED, ROLE, NAME, AT, TIMES, ACTION, HITS, FIRED, COUNTING, USED = (
    8, 16, 32, 72, 80, 88, 96, 104, 112, 120)
KILL, STOP = -1, -2


def text_of(raw):
    return raw.split(b"\0")[0].decode()


class FaultPage:
    def __init__(self, path):
        with open(path, "wb+") as file:
            file.truncate(HEAD + MOST * POINT.size)
            self.map = mmap.mmap(file.fileno(), 0)
        os.chmod(path, 0o600)
        self.put(0, MAGIC)
        self.path = path

    def put(self, at, value):
        struct.pack_into("<q" if at == ACTION else "<Q", self.map, at, value)

    def get(self, at):
        return struct.unpack_from("<Q", self.map, at)[0]

    def arm(self, role, name, at=1, times=1, action=KILL):
        self.disarm()
        struct.pack_into("<16s40s", self.map, ROLE, role.encode(), name.encode())
        for where, value in ((AT, at), (TIMES, times), (ACTION, action), (HITS, 0), (FIRED, 0),
                             (ARMED, 1)):
            self.put(where, value)

    def disarm(self):
        """How often it has fired since it was armed."""
        self.put(ARMED, 0)
        return self.get(FIRED)

    @property
    def fired(self):
        return self.get(FIRED)

    def count(self):
        self.put(COUNTING, 0)
        self.put(USED, 0)
        self.map[HEAD:] = bytes(MOST * POINT.size)
        self.put(COUNTING, 1)

    def counts(self):
        """Stops; {(role, name): hits}."""
        self.put(COUNTING, 0)
        found = {}
        for index in range(min(self.get(USED), MOST)):
            role, name, hits = POINT.unpack_from(self.map, HEAD + index * POINT.size)
            found[text_of(role), text_of(name)] = hits
        return found
