"""A service whose process does nothing: its part is played from here, request by request.

outlived starts `sh`, which tells its instance through a FIFO and sleeps. Whoever knows the instance
may take part as that service."""

import os
import select
import signal

import protocol as p
from varlink_pipe import VarlinkPipe, request_id

SCRIPT = 'echo "$OUTLIVE_INSTANCE $$" >"$0"; exec sleep 100000'


class Stage:
    def __init__(self, world, reference, name):
        self.world, self.reference, self.name = world, reference, name
        self.fifo = world.path(name + ".fifo")
        os.mkfifo(self.fifo, 0o600)
        self.told = os.fdopen(os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK), "rb", 0)
        self.control = VarlinkPipe(world.runtime)
        self.device = self.session = None
        self.text = b""

    def argv(self):
        return ["/bin/sh", "-c", SCRIPT, self.fifo]

    def next_process(self, seconds=60):
        """(instance, pid) of the next process that was started."""
        while b"\n" not in self.text:
            if not select.select([self.told], [], [], seconds)[0]:
                raise AssertionError(f"{self.name}: no process was started in {seconds} s")
            self.text += self.told.read(4096)
        line, _, self.text = self.text.partition(b"\n")
        instance, pid = line.decode().split()
        return int(instance), int(pid)

    def send_run(self, request=None, control=None):
        (control or self.control).send(
            "Run", request_id=request or request_id(), name=self.name, argv=self.argv(), env=[],
            cwd="/", listen=[], restart="no", notify=True, ready_timeout_ms=60000,
            stop_timeout_ms=1000, policy="fail")

    def join(self, instance):
        device = p.Wire.connect(self.world.runtime, timeout=60)
        role, update = device.participate(instance)
        return device, role, update

    def start(self, files=3):
        """Runs it, with a session of so many files."""
        self.send_run()
        instance, self.pid = self.next_process()
        self.device, _, _ = self.join(instance)
        self.device.ready(p.START, 0)
        error, reply = self.control.receive()
        assert not error, (error, reply)
        self.fill(self.name + ".s", files)
        return self

    def fill(self, session, files):
        self.session = self.device.create_session(session)
        self.reference.sessions[session] = []
        for token in range(1, files + 1):
            fd, name = self.reference.file()
            self.session.preserve(token, fd)
            os.close(fd)
            self.reference.sessions[session].append((token, name))

    @staticmethod
    def is_gone(pid, seconds=10):
        """A process that was started, said so and was killed since: waits for its end."""
        try:
            with os.fdopen(os.pidfd_open(pid), "rb") as process:
                return bool(select.select([process], [], [], seconds)[0])
        except ProcessLookupError:
            return True

    def leave_processes(self, pid):
        """The old process leaves, as it was told."""
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
