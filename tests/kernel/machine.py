"""A virtual machine with a kernel that has LUO: boots, runs programs, goes through a kexec.

    machine = Machine(kernel, folder, bin_dir)   # kernel: what build-kernel.sh prints
    machine.boot()
    machine.offer(machine.program("prog"))       # also while it runs: /host/prog in there
    done = machine.run("prog", "arg")            # done.code, done.out (stdout and stderr)
    machine.kexec()                              # what programs have preserved crosses
    text = machine.read("/proc/cmdline")
    machine.close()

The processor is emulated (TCG): no /dev/kvm, no privileges. Programs must be static. The folder `host`
below `folder` is all that the machine sees of ours, read-only. It has no network but with `forward`, a
port of its own: then machine.forwarded() is a port of 127.0.0.1 here that leads to it, once kernel-network
has run in there (each kernel starts without addresses). Every wait has a limit, and so has the machine's
whole life. QEMU dies with this process, however that ends.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import initramfs

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from harness import Failed, check, equal  # noqa: E402

QEMU = "qemu-system-x86_64"
PATIENCE = 240.0  # seconds for one boot or program: one or two, where nothing else runs
LIFE = 500.0
# no_timer_check: on a busy host the emulated timer's first ticks come late, and the kernel would panic.
COMMAND_LINE = "console=ttyS0 kho=on liveupdate=on panic=-1 no_timer_check quiet loglevel=4"
PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """Something that the machine needs isn't on this host: the test is skipped."""


class Ran:
    """How a program ended: its exit code, or minus the signal's number; and what it said."""

    def __init__(self, words, code, out):
        self.words = words
        self.code = code
        self.out = out


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Machine:
    def __init__(self, kernel, folder, bin_dir, memory="1G", life=LIFE, more=(), clock="utc", forward=None):
        self.kernel = kernel
        self.folder = folder
        self.bin = bin_dir
        self.memory = memory
        self.life = life
        self.more = more
        self.clock = clock
        self.forward = forward
        self.home = "/host"  # where programs are, in there
        self.host = os.path.join(folder, "host")
        self.console = os.path.join(folder, "console.log")
        self.stage = 0
        self.process = None
        self.line = None
        self.unread = b""
        self.end = 0.0

    # ---- life -----------------------------------------------------------------------------------

    def boot(self):
        os.makedirs(self.host)
        # The next kernel finds both there again, after any number of kexecs.
        self.offer(os.path.join(self.kernel, "bzImage"), "kernel")
        with open(os.path.join(self.host, "initrd"), "wb") as initrd:
            initrd.write(self.initrd())
        self.line, theirs = socket.socketpair()
        self.end = time.monotonic() + self.life
        with theirs:
            self.process = subprocess.Popen(self.command(theirs.fileno()), stdin=subprocess.DEVNULL,
                                            pass_fds=(theirs.fileno(),), preexec_fn=die_with_parent)
        self.wait_ready(1)
        return self

    def initrd(self):
        with open(self.program("kernel-guest"), "rb") as guest:
            return initramfs.pack(guest.read())

    def command(self, line):
        network = ()
        if self.forward:
            # Port 0: any that is free. Nothing leads from in there to us or any further.
            network = ("-netdev", f"user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-:{self.forward}",
                       "-device", "virtio-net-pci,netdev=net,romfile=")
        return [
            QEMU, "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", self.memory, "-smp", "1",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-serial", f"file:{self.console}", "-rtc", f"base={self.clock}",
            "-chardev", f"socket,id=line,fd={line}",
            "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=line,name=outlive.guest",
            "-virtfs", f"local,path={self.host},mount_tag=host,security_model=none,readonly=on",
            "-kernel", f"{self.host}/kernel", "-initrd", f"{self.host}/initrd",
            "-append", " ".join((COMMAND_LINE, *self.more)), *network]

    def forwarded(self):
        """The one TCP port that QEMU listens on."""
        folder = f"/proc/{self.process.pid}"
        sockets = set()
        for number in os.listdir(f"{folder}/fd"):
            try:
                sockets.update(re.findall(r"^socket:\[(\d+)\]", os.readlink(f"{folder}/fd/{number}")))
            except FileNotFoundError:
                pass  # closed meanwhile
        with open(f"{folder}/net/tcp") as table:
            rows = [line.split() for line in table][1:]
        ports = [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in sockets]
        equal(len(ports), 1, f"ports that QEMU listens on: {ports}")
        return ports[0]

    def power_off(self):
        """An orderly end; QEMU's exit code counts."""
        self.ask("poweroff")
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed("the machine didn't power off") from None
        equal(code, 0, "QEMU's exit code")

    def close(self):
        """Ends it, however far things got."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.line:
            self.line.close()

    def console_text(self):
        try:
            with open(self.console, errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    # ---- what it can be told --------------------------------------------------------------------

    def program(self, name):
        """One that our build makes."""
        path = os.path.join(self.bin, name)
        check(os.access(path, os.X_OK), f"{path} is missing: build it first")
        return path

    def offer(self, path, name=None):
        """Shows a file of ours in there as /host/NAME."""
        target = os.path.join(self.host, name or os.path.basename(path))
        shutil.copy(path, target)

    def run(self, program, *arguments, timeout=PATIENCE, environment=()):
        # An absolute path stays one: a program that the machine has itself.
        words = ("run", *environment, os.path.join(self.home, program), *arguments)
        return Ran(words[1:], *self.request(words, timeout))

    def must(self, program, *arguments, timeout=PATIENCE, environment=()):
        """The same, and it must go well: what it said."""
        ran = self.run(program, *arguments, timeout=timeout, environment=environment)
        check(ran.code == 0, f"{' '.join(ran.words)} ended with {ran.code}:\n{ran.out}")
        return ran.out

    def start(self, program, *arguments, output, environment=()):
        """Starts it, and goes on; what it says goes into a file in there."""
        words = ("start", output, *environment, os.path.join(self.home, program), *arguments)
        code, said = self.request(words, PATIENCE)
        equal((code, said), (0, ""), f"the start of {program}")

    def signal(self, pid, number):
        self.request(("signal", str(pid), str(number)), PATIENCE)

    def read(self, path, timeout=PATIENCE):
        return self.request(("read", path), timeout)[1]

    def kernel_log(self):
        """The lines of this kernel's log: records of /dev/kmsg are "level,number,time,flags;text"."""
        records = self.read("/dev/kmsg").splitlines()
        return [record.partition(";")[2] for record in records if not record.startswith(" ")]

    def kexec(self, timeout=PATIENCE):
        """Into the same kernel, which starts as the next stage."""
        self.ask("kexec", "/host/kernel", "/host/initrd")
        self.wait_ready(self.stage + 1, timeout)

    # ---- the line: guest/channel.h has the words ------------------------------------------------

    def ask(self, *words):
        text = "\0".join(words)
        check("\n" not in text, f"a word can't have a newline: {words}")
        self.line.settimeout(PATIENCE)
        self.line.sendall(text.encode() + b"\n")

    def request(self, words, timeout):
        """Sends, collects the output, and returns (code, output)."""
        self.ask(*words)
        out = b""
        end = time.monotonic() + timeout
        while True:
            kind, value = self.header(end, out)
            if kind == "out":
                out += self.take(int(value), end, out)
            elif kind in ("exit", "signal"):
                code = int(value) if kind == "exit" else -int(value)
                return code, out.decode(errors="replace")
            else:
                raise Failed(f"{' '.join(words)}: {kind} {value}")

    def wait_ready(self, stage, timeout=PATIENCE):
        kind, value = self.header(time.monotonic() + timeout)
        check(kind == "ready", f"the machine says: {kind} {value}")
        equal(int(value), stage, "the stage of the kernel that has started")
        self.stage = stage

    def header(self, end, so_far=b""):
        while b"\n" not in self.unread:
            self.receive(end, so_far)
        header, _, self.unread = self.unread.partition(b"\n")
        kind, _, value = header.decode().partition(" ")
        return kind, value

    def take(self, size, end, so_far):
        while len(self.unread) < size:
            self.receive(end, so_far)
        taken, self.unread = self.unread[:size], self.unread[size:]
        return taken

    def receive(self, end, so_far):
        left = min(end, self.end) - time.monotonic()
        said = so_far.decode(errors="replace")
        try:
            self.line.settimeout(max(left, 0.001))
            got = self.line.recv(1 << 16)
        except TimeoutError:
            raise Failed(f"no answer in time; said so far:\n{said}") from None
        except ConnectionError:
            got = b""
        if not got:
            raise Failed(f"the machine has ended; said before:\n{said}")
        self.unread += got
