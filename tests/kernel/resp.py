"""A client of kv over TCP: Redis' protocol, as far as tests need it."""

import select
import socket
import time

from harness import Failed, check


class Client:
    """One connection. `ask` waits for the reply; `send` and `reply` apart keep several on their way."""

    def __init__(self, port, timeout):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb", 1 << 18)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.replies.close()
        self.socket.close()

    def fileno(self):
        return self.socket.fileno()

    def send(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(parts))

    def reply(self):
        """bytes, int, None, or a list of them; ConnectionError: the end came before it was whole."""
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection ended before the reply")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Failed(f"kv: {rest.decode()}")
        if kind == b"+":
            return rest
        size = int(rest)
        if kind == b":":
            return size
        if kind == b"*":
            return [self.reply() for _ in range(size)]
        check(kind == b"$", f"a reply of no known kind: {line}")
        if size < 0:
            return None
        value = self.replies.read(size + 2)
        if len(value) != size + 2:
            raise ConnectionError("the connection ended before the reply")
        return value[:-2]

    def ask(self, *words):
        self.send(*words)
        return self.reply()

    def info(self):
        lines = self.ask(b"INFO").decode().splitlines()
        return {name: int(value) for name, _, value in (line.partition(":") for line in lines) if value}


def reach(port, seconds, every=0.25, at_most=40):
    """A connection that answers, and when it did. QEMU takes a connection also while nobody in there does, so
    there is a new attempt each `every` seconds, and the older ones still count."""
    end = time.monotonic() + seconds
    attempts = []
    try:
        while time.monotonic() < end:
            if len(attempts) == at_most:
                attempts.pop(0).close()
            until = time.monotonic() + every
            try:
                attempts.append(Client(port, every))
                attempts[-1].send(b"PING")
            except OSError:
                pass  # a closed one is readable, too
            while (left := until - time.monotonic()) > 0:
                ready = select.select(attempts, [], [], left)[0]
                for one in ready:
                    attempts.remove(one)
                    try:
                        one.reply()
                        return one, time.monotonic()
                    except OSError:
                        one.close()
    finally:
        for one in attempts:
            one.close()
    raise Failed(f"kv didn't answer within {seconds:.0f} s")
