"""A client of the socket protocol (src/abi/wire.h) with nothing between: struct and SCM_RIGHTS."""

import errno
import json
import os
import socket
import struct

MAGIC, VERSION = 0x314C564F, 1
HEADER = struct.Struct("<IHHIiQ")
FLAG_REPLY, FLAG_EVENT, FLAG_LINGER, FLAG_DIRECT = 1, 2, 4, 8
ASK_SEQUENCE = 2**64 - 1

CREATE_SESSION, RETRIEVE_SESSION = 0x00, 0x01
PRESERVE_FD, RETRIEVE_FD, FINISH, GET_NAME = 0x40, 0x41, 0x42, 0x43
LIST, STATUS, ADD_SUBTREE, REMOVE_SUBTREE, RETRIEVE_SUBTREE = 0x80, 0x81, 0x82, 0x83, 0x84
PARTICIPATE, READY, VETO, END_SESSION, PREVIEW_LIST = 0x85, 0x86, 0x87, 0x88, 0x89
FD_DATA_QUERY, ADOPT_ALL, FINISH_ALL, PREVIEW_MANY = 0x8A, 0x8B, 0x8C, 0x8D
UNPRESERVE_FD, PRESERVE_MANY, RETRIEVE_MANY, ADOPT = 0x90, 0x91, 0x92, 0x93
LIST_FILES, UNPRESERVE_MANY, KERNEL_SESSION = 0x94, 0x95, 0x96
EVENT = 0xF0

START, PREPARE, FREEZE, CANCEL, ADOPT_STEP, COMMITTED, RETIRE, FINISH_STEP, PREVIEW_STEP = (
    range(1, 10))
STEPS = {START: "start", PREPARE: "prepare", FREEZE: "freeze", CANCEL: "cancel",
         ADOPT_STEP: "adopt", COMMITTED: "committed", RETIRE: "retire", FINISH_STEP: "finish",
         PREVIEW_STEP: "preview"}
NONE, FRESH, RESTARTED, SUCCESSOR = range(4)


class Refused(OSError):
    """A reply with an error."""


class Closed(ConnectionError):
    """The other end has hung up."""


def session_body(name, size=72):
    raw = name if isinstance(name, bytes) else name.encode()
    return struct.pack("<Ii64s", size, -1, raw)


def fd_body(token, size=16):
    return struct.pack("<IiQ", size, -1, token)


def preview_body(name, tokens=(), after=0):
    return (struct.pack("<IIQ64s", 80, len(tokens), after, name.encode())
            + struct.pack(f"<{len(tokens)}Q", *tokens))


def many_body(tokens):
    return struct.pack("<II", 8, len(tokens)) + struct.pack(f"<{len(tokens)}Q", *tokens)


class Reply:
    def __init__(self, result, body, fds):
        self.result, self.body, self.fds = result, body, fds

    @property
    def text(self):
        return self.body[4:].split(b"\0")[0].decode(errors="replace") if self.result else ""

    def close(self):
        for fd in self.fds:
            os.close(fd)


class Wire:
    """One connection, of a device or of a session. Sequences are counted here."""

    def __init__(self, sock, timeout=30):
        self.sock = sock
        self.sock.settimeout(timeout)
        self.sequence = 0
        self.events = []

    @classmethod
    def connect(cls, runtime_dir, **more):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(runtime_dir + "/liveupdate.sock")
        return cls(sock, **more)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, request, body=b"", fds=(), flags=0, sequence=None):
        """Sends only. Without a sequence: the next one."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        header = HEADER.pack(MAGIC, VERSION, request, flags, 0, sequence)
        try:
            socket.send_fds(self.sock, [header + body], list(fds))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error
        return sequence

    def receive(self, sequence):
        """The reply of that sequence; events are kept, older replies dropped."""
        while True:
            message = self.read()
            if message is None:
                continue
            number, reply = message
            if number == sequence:
                return reply
            reply.close()

    def read(self):
        """One packet: (sequence, Reply), or None when it was an event."""
        try:
            data, fds, flags, _ = socket.recv_fds(self.sock, 65536, 253)
        except ConnectionResetError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("the connection was closed")
        _, _, request, flags, result, number = HEADER.unpack_from(data)
        if flags & FLAG_EVENT and result:
            raise Closed(f"turned away: {os.strerror(-result)}")
        if flags & FLAG_EVENT:
            _, step, update, deadline = struct.unpack_from("<IIQQ", data, HEADER.size)
            reason = data[HEADER.size + 24:].split(b"\0")[0].decode(errors="replace")
            self.events.append((step, update, reason))
            return None
        return number, Reply(result, data[HEADER.size:], list(fds))

    def ask(self, request, body=b"", fds=(), flags=0, sequence=None):
        """A request and its reply, whatever it says."""
        return self.receive(self.send(request, body, fds, flags, sequence))

    def call(self, request, body=b"", fds=(), flags=0):
        """A request that has to succeed."""
        reply = self.ask(request, body, fds, flags)
        if reply.result:
            raise Refused(-reply.result, f"request {request:#x}: {reply.text}")
        return reply

    def wait_event(self):
        while not self.events:
            self.read()
        return self.events.pop(0)

    def last_sequence(self):
        """Asks for it, as who got this fd from somebody else."""
        header = HEADER.pack(MAGIC, VERSION, GET_NAME, 0, 0, ASK_SEQUENCE)
        self.sock.send(header + struct.pack("<II64s", 72, 0, b""))
        message = None
        while message is None:
            message = self.read()
        if -message[1].result != errno.EPROTO:
            raise Refused(-message[1].result, "asked for the last sequence")
        return message[0]

    # ---- a device connection --------------------------------------------------------------------

    def create_session(self, name, linger=False):
        reply = self.call(CREATE_SESSION, session_body(name), flags=FLAG_LINGER if linger else 0)
        return Wire(socket.socket(fileno=reply.fds[0]))

    def retrieve_session(self, name):
        reply = self.call(RETRIEVE_SESSION, session_body(name))
        return Wire(socket.socket(fileno=reply.fds[0]))

    def add_note(self, name, data):
        self.call(ADD_SUBTREE, struct.pack("<II64s", 72, len(data), name.encode()) + data)

    def read_note(self, name):
        return self.call(RETRIEVE_SUBTREE, struct.pack("<II64s", 72, 0, name.encode())).body[72:]

    def fill_with_notes(self, data, number=0):
        """note0, note1, ... until no more fits: (how many there are then, the refusal)."""
        while number < 100_000:
            try:
                self.add_note(f"note{number}", data)
            except Refused as refused:
                return number, refused
            number += 1
        raise AssertionError(f"{number} notes fit, and more")

    def remove_note(self, name):
        self.call(REMOVE_SUBTREE, struct.pack("<II64s", 72, 0, name.encode()))

    def participate(self, instance=None):
        if instance is None:
            instance = int(os.environ.get("OUTLIVE_INSTANCE", "0"))
        body = struct.pack("<IIIIQ", 24, 0, 0, 0, instance)
        return struct.unpack_from("<IQ", self.call(PARTICIPATE, body).body, 4)  # role, update

    def ready(self, step, update):
        self.call(READY, struct.pack("<IIQ128s", 144, step, update, b""))

    def veto(self, step, update, reason):
        self.call(VETO, struct.pack("<IIQ128s", 144, step, update, reason.encode()))

    def adopt_all(self):
        self.call(ADOPT_ALL, struct.pack("<II", 8, 0))

    def preview_list(self, name):
        """{token: order} of what the old one's session holds."""
        files, after = {}, 0
        while True:
            body = self.call(PREVIEW_LIST, preview_body(name, after=after)).body
            _, count, after = struct.unpack_from("<IIQ", body)
            files.update(struct.unpack_from("<QQ", body, 16 + 16 * i) for i in range(count))
            if not after:
                return files

    def preview(self, name, tokens):
        return dict(zip(tokens, self.call(PREVIEW_MANY, preview_body(name, tokens)).fds))

    # ---- a session connection -------------------------------------------------------------------

    def preserve(self, token, fd):
        self.call(PRESERVE_FD, fd_body(token), [fd])

    def unpreserve(self, token):
        self.call(UNPRESERVE_FD, fd_body(token))

    def retrieve(self, token):
        return self.call(RETRIEVE_FD, fd_body(token)).fds[0]

    def files(self):
        """Tokens in recorded order."""
        tokens, after = [], 0
        while True:
            body = self.call(LIST_FILES, struct.pack("<IIQ", 16, 0, after)).body
            _, count, after = struct.unpack_from("<IIQ", body)
            tokens += [struct.unpack_from("<Q", body, 16 + 72 * i)[0] for i in range(count)]
            if not after:
                return tokens


def varlink(runtime_dir, method, parameters=None, timeout=60):
    """(error name or None, parameters) of one call to the control socket."""
    call = {"method": "org.outlive.Orchestrator." + method, "parameters": parameters or {}}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(runtime_dir + "/control.sock")
        sock.sendall(json.dumps(call).encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            part = sock.recv(65536)
            if not part:
                raise Closed("the control socket was closed before the reply")
            data += part
    reply = json.loads(data[:-1])
    return reply.get("error"), reply.get("parameters", {})
