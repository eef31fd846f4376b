"""A connection to the control socket that stays: it outlives workers, and has one call in flight."""

import json
import socket
import uuid

from protocol import Closed

TRIES = 20  # of one call, at connections that are closed


class VarlinkError(Exception):
    def __init__(self, name, parameters):
        super().__init__(f"{name}: {parameters}")
        self.name, self.parameters = name, parameters


class VarlinkPipe:
    def __init__(self, runtime_dir, timeout=60):
        self.path, self.timeout = runtime_dir + "/control.sock", timeout
        self.connect()

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
        self.data = b""

    def close(self):
        self.sock.close()

    def send(self, method, **parameters):
        call = {"method": "org.outlive.Orchestrator." + method, "parameters": parameters}
        self.sent = json.dumps(call).encode() + b"\0"
        try:
            self.sock.sendall(self.sent)
        except (BrokenPipeError, ConnectionResetError):
            self.again()

    def again(self):
        """As outlive does: the same call, with the same request_id, on another connection."""
        self.sock.close()
        self.connect()
        self.sock.sendall(self.sent)

    def receive(self):
        """(error or None, parameters)"""
        for _ in range(TRIES):
            answer = self.received()
            if answer is not None:
                return answer
        raise Closed("the control socket was closed before the reply, again and again")

    def received(self):
        """The same; None: the connection was closed before it, and the call was sent again."""
        try:
            return self.reply()
        except (Closed, ConnectionResetError):
            self.again()
            return None

    def reply(self):
        while b"\0" not in self.data:
            part = self.sock.recv(1 << 16)
            if not part:
                raise Closed("the control socket was closed before the reply")
            self.data += part
        text, _, self.data = self.data.partition(b"\0")
        if self.data:
            raise AssertionError(f"two replies to one call: {text} and {self.data}")
        reply = json.loads(text)
        return reply.get("error"), reply.get("parameters") or {}

    def call(self, method, **parameters):
        self.send(method, **parameters)
        return self.receive()

    def must(self, method, **parameters):
        error, result = self.call(method, **parameters)
        if error:
            raise VarlinkError(error, result)
        return result


def request_id():
    return uuid.uuid4().hex
