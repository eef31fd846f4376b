"""Requests in the agent's words (agent/agent.h), and sequences of them.

A sequence is a list of phases; between two phases the kernel is another one. Sequences run one after
another on the same device, and don't see each other: every name of a session has the sequence's id in it.
"""

import dataclasses
import struct

CREATE, RETRIEVE_SESSION = 0xBA00, 0xBA01
PRESERVE, RETRIEVE, FINISH, GET_NAME = 0xBA40, 0xBA41, 0xBA42, 0xBA43
ID = "{id}"  # in the hex of a name: 4 bytes, the sequence's own
ID_BYTES = b"\x01id\x01"  # where it shall be, before it is hex


@dataclasses.dataclass(frozen=True)
class Request:
    """`kind` is what it is counted as; `text` a line of the agent's script."""
    kind: str
    text: str

    def line(self, number):
        return self.text.replace(ID, f"{number:04x}".encode().hex())


@dataclasses.dataclass
class Sequence:
    phases: list  # of (number of the kernel, [Request]), in order

    def requests(self):
        return sum(len(requests) for _, requests in self.phases)

    def lines(self, phase, number):
        """What the agent gets for this phase: [] when there is none."""
        for at, (kernel, requests) in enumerate(self.phases):
            if kernel == phase:
                last = at + 1 == len(self.phases)
                return ([f"seq {number} {phase}"] + [f"{r.line(number)}  # {r.kind}" for r in requests] +
                        ["end" if last else "keep"])
        return []

    def without(self, dropped):
        """The same without some requests: a set of (index of the phase, index in there)."""
        return Sequence([(kernel, [r for n, r in enumerate(requests) if (at, n) not in dropped])
                         for at, (kernel, requests) in enumerate(self.phases)])

    def by_hand(self):
        """Scripts to run by hand, one for each kernel."""
        return "\n".join(f"--- kernel {kernel}:\n" + "\n".join(self.lines(kernel, 0))
                         for kernel, _ in self.phases)


def hex_of(body):
    return body.hex().replace(ID_BYTES.hex(), ID)


def named(name):
    """A name of this sequence's own."""
    return ID_BYTES + name


def ioctl(kind, slot, command, body, memory="plain", fd=None, into=None):
    text = f"ioctl {slot} {command:#x} {memory} {hex_of(body) or '-'}"
    text += f" fd={fd}" if fd else ""
    text += f" into={into}" if into else ""
    return Request(kind, text)


def session_body(name, size=72, fd=-1):
    return struct.pack("<Ii", size, fd) + name.ljust(64, b"\0")


def file_body(token, size=16, fd=-1):
    return struct.pack("<IiQ", size, fd, token)


def finish_body(reserved=0, size=8):
    return struct.pack("<II", size, reserved)


def name_body(fill=b"\0", reserved=0, size=72):
    return struct.pack("<II", size, reserved) + fill * 64


def create(slot, name, device="d", kind="create", **more):
    return ioctl(kind, device, CREATE, session_body(name), into=slot, **more)


def retrieve_session(slot, name, device="d", kind="retrieve-session", **more):
    return ioctl(kind, device, RETRIEVE_SESSION, session_body(name), into=slot, **more)


def preserve(session, token, fd, kind="preserve", **more):
    return ioctl(kind, session, PRESERVE, file_body(token), fd=fd, **more)


def retrieve(session, token, slot, kind="retrieve", **more):
    return ioctl(kind, session, RETRIEVE, file_body(token), into=slot, **more)


def finish(session, kind="finish", **more):
    return ioctl(kind, session, FINISH, finish_body(), **more)


def get_name(session, kind="get-name", **more):
    return ioctl(kind, session, GET_NAME, name_body(b"\xff"), **more)


def do(text, kind=None):
    """Any other request of the agent's; its first word is its kind."""
    return Request(kind or text.split()[0], text)
